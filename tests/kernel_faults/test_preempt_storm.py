"""docs/failure-modes/preempt-storm.md: thousands of wake-ups a second of a tier that preempts, on one cpu."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, load
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

CPU = 1
WAKERS, NAP_S = 4, 0.001
WINDOW_S = 1.0
MOST_PREEMPTIONS = 1000  # of one cpu in a second: PREEMPT_INTERVAL_NS
LEAST_SHARE = 0.25


def test_preempt_storm(attached_scheduler, measured):
    storm, below = cgroups.make("test-storm"), cgroups.make("test-below")
    attached_scheduler.commit(plan(("high", "test-storm", 1), ("background", "test-below")))
    victim = load.spinners(below, 1, cpu=CPU)[0]
    wakers = {one.pid for one in load.nappers(storm, WAKERS, NAP_S, [CPU])}
    time.sleep(0.5)

    with tracing("sched_switch") as trace:
        started_s, before, ran_s = time.monotonic(), attached_scheduler.stats(), victim.ran_s()
        time.sleep(WINDOW_S)
        took_s, now = time.monotonic() - started_s, attached_scheduler.stats()
        share = (victim.ran_s() - ran_s) / took_s
    wakes = now["high"].nr_wakes - before["high"].nr_wakes
    preempts = now["high"].nr_preempts - before["high"].nr_preempts
    measured("wake-ups of High on one cpu, in a second", round(wakes / took_s))
    measured("... how often one of them took it", round(preempts / took_s))
    measured("... what is left of the second to the one below", share)
    assert wakes > 1000 * took_s
    assert all({spell.cpu for spell in trace.spells[pid]} == {CPU} for pid in wakers)
    assert 0 < preempts <= MOST_PREEMPTIONS * took_s
    assert share >= LEAST_SHARE
