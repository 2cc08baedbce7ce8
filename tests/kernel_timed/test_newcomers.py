"""docs/decisions/0008-weight-is-a-price.md: who ran alone owes nobody anything; newcomers share with it."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, load
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

ALONE_S = 5.0
NEWCOMERS = 6
WINDOW_S = 2.0
# Seven on four cpus: three slices of Normal's 20 ms, each to its tick.
LONGEST_WAIT_S = 0.075


def test_who_ran_alone(attached_scheduler, measured):
    path = cgroups.make("test-v")
    attached_scheduler.commit(plan(("normal", "test-v")))
    (first,) = load.spinners(path, 1)
    time.sleep(ALONE_S)
    with tracing("sched_switch") as trace:
        load.spinners(path, NEWCOMERS)
        time.sleep(WINDOW_S)
    wait_s = trace.away_s[first.pid]
    measured(f"the longest wait of who ran alone for {ALONE_S:g} s, beside {NEWCOMERS} newcomers", wait_s)
    assert wait_s <= LONGEST_WAIT_S
