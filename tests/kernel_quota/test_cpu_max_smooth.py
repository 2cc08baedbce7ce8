"""docs/failure-modes/cpu-max.md: in a smooth tier what a service leaves of its periods serves its next burst."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.limits import PERIOD_US, TICK_S, cpus_used, freeze, limit, thaw
from tests.kernel.harness.waiting import until

CPUS = 4
QUOTA_US = 25_000
SAVED_PERIODS = 10
BURST_S = 0.15
# 150 ms of cpu once a second: 0.15 cpus of 0.25, but six periods' quota at once.
SERVICE = f"""
with open(sys.argv[1], "w") as told:
    while True:
        began = time.monotonic()
        until = time.process_time() + {BURST_S}
        while time.process_time() < until:
            pass
        print(time.monotonic() - began, file=told, flush=True)
        time.sleep(max(0, began + 1 - time.monotonic()))
"""


@pytest.fixture
def tier(run_agent):
    """tier(mode): an agent with test-q in Normal, whose cpu.max is strict or smooth."""
    cgroups.make("test-q")

    def attach(mode):
        tiers = f'[tiers]\nsmooth_periods = {SAVED_PERIODS}\nquota.normal = "{mode}"\n'
        run_agent(workloads.text(("normal", "test-q", 2)) + tiers).until_attached()

    return attach


def bursts_s(cgroup, file, count):
    """How long the service's bursts took, the first one left out: it had saved up nothing."""
    load.start_python(SERVICE, cgroup, file)
    until("the bursts are over", lambda: file.exists() and len(file.read_text().splitlines()) > count)
    return [float(line) for line in file.read_text().splitlines()[1 : count + 1]]


def test_a_burst_below_the_average_passes(tier, folder, measured):
    tier("smooth")
    took = bursts_s(limit("test-q/service", QUOTA_US), folder / "told", 4)
    measured(f"{BURST_S * 1e3:g} ms of cpu once a second, quota 25 %, smooth: the longest burst", max(took))
    assert max(took) <= BURST_S + 0.02


def test_strict_cuts_it(tier, folder, measured):
    tier("strict")
    took = bursts_s(limit("test-q/service", QUOTA_US), folder / "told", 4)
    measured("... strict: the shortest burst", min(took))
    assert min(took) >= 0.4


def test_the_average_stays_the_quota(tier, measured):
    tier("smooth")
    cgroup = limit("test-q/greedy", None)
    load.spinners(cgroup, 4)
    freeze(cgroup)
    limit("test-q/greedy", QUOTA_US)
    rested, before = time.monotonic(), cgroups.used_s(cgroup)
    time.sleep(2 * SAVED_PERIODS * PERIOD_US / 1e6)
    thaw(cgroup)
    quota = QUOTA_US / PERIOD_US
    since_thaw_s = cpus_used(cgroup, 1.0)
    measured("smooth, greedy after a rest: cpus in the first second, quota 0.25", f"{since_thaw_s:.3f}")
    assert since_thaw_s == pytest.approx(quota * 2, abs=2 * CPUS * TICK_S + QUOTA_US / 1e6)
    # A window may begin and end anywhere in a period: so long that a quota more or less is below a hundredth.
    used = cpus_used(cgroup, 20.0)
    measured("... in the twenty that follow, of the quota", f"{used / quota:.3f}")
    assert used == pytest.approx(quota, rel=0.01)
    assert cgroups.used_s(cgroup) - before <= quota * (time.monotonic() - rested) + CPUS * TICK_S
