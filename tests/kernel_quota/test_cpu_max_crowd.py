"""docs/failure-modes/cpu-max.md: hundreds of threads behind the smallest quota. No watchdog trips, the limit holds."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, kernel, load
from tests.kernel.harness.limits import TICK_S, cpus_used, limit
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

CPUS = 4
CROWD = 500
QUOTA_US = 1_000
# Longer than it takes to pay a tick of each cpu; then longer than the watchdog and half of that, at which it looks.
SETTLING_S = 3.0
WINDOW_S = 8.0
LONGEST_AWAY_S = 3.5  # of the watchdog's 5


@pytest.mark.parametrize("spinners_above", [0, CPUS], ids=["alone", "below-a-busy-tier"])
def test_five_hundred_behind_a_hundredth_of_a_cpu(attached_scheduler, measured, spinners_above):
    busy, _ = cgroups.make("test-busy"), cgroups.make("test-q")
    attached_scheduler.commit(plan(("normal", "test-busy", 2), ("background", "test-q")))
    cgroup = limit("test-q/crowd", None)
    crowd = load.crowd(cgroup, CROWD)
    load.spinners(busy, spinners_above)
    limit("test-q/crowd", QUOTA_US)
    before = kernel.look()
    load.go(crowd)
    with kernel.Watch() as watch:
        time.sleep(SETTLING_S)
        with tracing("sched_switch") as trace:
            used = cpus_used(cgroup, WINDOW_S)
    away_s = trace.waits_s(crowd)
    measured(
        f"{CROWD} threads, quota 1 ms in 100, {spinners_above} above: used of what was asked for", f"{used / 0.01:.3f}"
    )
    measured("... the longest that one was off the cpus", max(away_s))
    assert watch.states == ["enabled"]
    assert kernel.look() == before
    assert max(away_s) <= LONGEST_AWAY_S
    assert used <= 0.01 + CPUS * TICK_S / WINDOW_S
    if not spinners_above:
        assert used >= 0.01 - CPUS * TICK_S / WINDOW_S
