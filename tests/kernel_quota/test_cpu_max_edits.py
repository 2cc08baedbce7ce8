"""docs/failure-modes/cpu-max.md: a limit that is written while tasks run, or wait for it."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, load
from tests.kernel.harness.limits import TICK_S, cpus_used, limit
from tests.kernel.harness.waiting import until

CPUS = 4
SPELL_S = 0.1
EDITS = 500
# Each cpu runs until the tick that sees the limit, then until the one that finds it used up; cpu.stat is one behind.
LATE_S = 3 * CPUS * TICK_S


def used_in(cgroup, seconds):
    """Seconds of cpu that it used in a time, and that time."""
    began, before = time.monotonic(), cgroups.used_s(cgroup)
    time.sleep(seconds)
    return cgroups.used_s(cgroup) - before, time.monotonic() - began


def test_a_quota_below_what_is_used_already(normal, measured):
    cgroup = limit("test-q/lowered", None)
    load.spinners(cgroup, 4)
    limit("test-q/lowered", 800_000, 1_000_000)
    began, before = time.monotonic(), cgroups.used_s(cgroup)
    until("half a second is used up", lambda: cgroups.used_s(cgroup) - before > 0.5)
    limit("test-q/lowered", 100_000, 1_000_000)
    rest, _ = used_in(cgroup, began + 1.0 - time.monotonic())
    measured("quota 800 ms in 1 s lowered to 100 when 500 are used: used in the rest of the period", rest)
    assert rest <= 0.1 + LATE_S
    used, window_s = used_in(cgroup, 3.0)
    measured("... in the three periods that follow", used)
    assert used == pytest.approx(0.1 * window_s, abs=2 * CPUS * TICK_S)


@pytest.mark.parametrize("quota_us", [10_000, 1_000])
def test_max_and_finite_ten_times_a_second(normal, measured, quota_us):
    cgroup = limit("test-q/edited", None)
    load.spinners(cgroup, 4)
    finite, unlimited = [], []
    for _ in range(15):
        limit("test-q/edited", quota_us)
        finite.append(used_in(cgroup, SPELL_S)[0])
        limit("test-q/edited", None)
        used, window_s = used_in(cgroup, SPELL_S)
        unlimited.append(used / window_s)
    measured(
        f"quota {quota_us} us in 100 ms for 0.1 s, then max for 0.1 s, 15 times: most used while finite", max(finite)
    )
    measured("... fewest cpus while it was max", f"{min(unlimited):.2f}")
    assert max(finite) <= quota_us / 1e6 + LATE_S
    assert min(unlimited) >= 0.85 * CPUS
    limit("test-q/edited", quota_us)
    time.sleep(SPELL_S)
    assert cpus_used(cgroup, 2.0) <= quota_us / 1e5 + LATE_S / 2.0
    limit("test-q/edited", None)
    time.sleep(SPELL_S)
    assert cpus_used(cgroup, 1.0) >= 0.97 * CPUS


def test_a_thousand_edits_take_one_bucket(normal, attached_scheduler, measured):
    """Between max and finite, as fast as a process can write: a bucket let go each time would be held for a while."""
    cgroup = limit("test-q/edited", None)
    load.spinners(cgroup, 4)
    began = time.monotonic()
    for _ in range(EDITS):
        limit("test-q/edited", 10_000)
        limit("test-q/edited", None)
    measured(f"{2 * EDITS} writes of cpu.max: a second", f"{2 * EDITS / (time.monotonic() - began):.0f}")
    limit("test-q/edited", 10_000)
    assert sum(bool(each.cgroup_id) for each in attached_scheduler._quotas) == 1
    time.sleep(SPELL_S)
    assert cpus_used(cgroup, 2.0) <= 0.1 + LATE_S / 2.0
