"""docs/failure-modes/cpu-max.md: a cgroup's cpu.max holds while attached."""

from __future__ import annotations

import os
import time
from itertools import pairwise

import pytest
from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.limits import TICK_S, cpus_used, limit
from tests.kernel.harness.trace import tracing

CPUS = 4
WINDOW_S = 10.0
# Of what was asked. One cpu's tick, and what its switches take, may fall into a window and is owed to the next.
CLOSE = 0.01
OWED_S = 1.25 * TICK_S
# After a refill: what else is due at that moment on that cpu, and two clocks.
LATE_S = 0.001


@pytest.fixture
def attached(run_agent):
    """An agent with every test cgroup in Normal."""
    cgroups.make("test-q")
    agent = run_agent(workloads.text(("normal", "test-q", 2)))
    agent.until_attached()
    return agent


@pytest.mark.parametrize(
    ("quota_us", "period_us", "threads"),
    [(5_000, 100_000, 1), (50_000, 1_000_000, 8), (25_000, 100_000, 8), (2_500, 10_000, 4)],
)
def test_what_is_asked_for_is_what_is_used(attached, measured, quota_us, period_us, threads):
    cgroup = limit("test-q/one", quota_us, period_us)
    load.spinners(cgroup, threads)
    time.sleep(2.5 * period_us / 1e6)  # what it had saved up before the first period is gone
    with kernel.Watch() as watch:
        used = cpus_used(cgroup, WINDOW_S)
    wanted = min(quota_us / period_us, threads, CPUS)
    measured(f"{quota_us} us in {period_us}, {threads} threads: used of what was asked for", f"{used / wanted:.3f}")
    assert watch.states == ["enabled"]
    assert abs(used - wanted) <= CLOSE * wanted + OWED_S / WINDOW_S


def test_an_edit_counts_at_once(attached):
    cgroup = limit("test-q/edited", 10_000)
    load.spinners(cgroup, 4)
    time.sleep(0.3)
    assert cpus_used(cgroup, 1.0) == pytest.approx(0.1, abs=0.04)
    limit("test-q/edited", 50_000)
    assert cpus_used(cgroup, 1.0) == pytest.approx(0.5, abs=0.06)
    limit("test-q/edited", None)
    assert cpus_used(cgroup, 1.0) > 2
    limit("test-q/edited", 20_000)
    time.sleep(0.1)
    assert cpus_used(cgroup, 1.0) == pytest.approx(0.2, abs=0.06)


# Idle cpus that it may not use were woken in place of its own: it was up to 20 ms late, and had two quotas in 100 ms.
def test_who_may_use_some_cpus_goes_on_at_the_refill(attached, measured):
    (one,) = load.spinners(limit("test-q/some", 5_000), 1)
    os.sched_setaffinity(one.pid, {0, 1})
    with tracing("sched_switch") as trace:
        time.sleep(3.0)
    begins_s = [spell.start_s for last, spell in pairwise(trace.spells[one.pid]) if spell.start_s - last.end_s > 0.05]
    off_s = [(begin_s - begins_s[0] + 0.05) % 0.1 - 0.05 for begin_s in begins_s]
    measured(f"{len(off_s)} times on at a refill: the latest after the soonest", max(off_s) - min(off_s))
    assert len(off_s) > 20
    assert max(off_s) - min(off_s) <= LATE_S
