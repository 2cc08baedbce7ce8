"""docs/failure-modes/crowd.md: thousands of spinners in one tier, below a busy one and on a cpu of their own."""

from __future__ import annotations

import time

from bench.guest import tasks
from tests.kernel.harness import cgroups, kernel, load
from tests.kernel.harness.limits import TICK_S
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

CPUS = 4
# A tick for each of them takes longer than the kernel's watchdog waits (timeout_ms): below, they have an eighth for it.
BELOW, ALONE = 3_000, 2_000
# Longer than the watchdog and half of that, at which it looks.
WINDOW_S = 8.0
LONGEST_WAIT_S = 3.0
# Of each cpu: their turns get an eighth, and to switch to thousands that only look in takes emulated cpus some percent.
LEAST_SHARE = 0.75
# Of what that eighth has ticks for: so many others had theirs.
LEAST_PROGRESS = 0.5
ROUNDS, LEAST_WENT_ON = 3, 0.85
A_TICK_S = TICK_S / 2  # more than a look


def test_a_crowd_below(attached_scheduler, realtime, measured):
    busy, crowd = cgroups.make("test-busy"), cgroups.make("test-crowd")
    attached_scheduler.commit(plan(("normal", "test-busy", 2), ("background", "test-crowd")))
    pids = load.crowd(crowd, BELOW)
    owners = load.spinners(busy, CPUS)

    with kernel.Watch() as watch, tracing("sched_switch") as trace:
        load.go(pids)
        had_ns = tasks.ran_ns(pids)
        before_s, started_s = sum(one.ran_s() for one in owners), time.monotonic()
        time.sleep(WINDOW_S)
        share = (sum(one.ran_s() for one in owners) - before_s) / (time.monotonic() - started_s) / CPUS
        went_on = load.nr_gone_on(had_ns, A_TICK_S)
    longest_s = max(trace.waits_s(pids))
    measured(f"what a busy Normal keeps of each cpu above {BELOW} Background spinners", f"{share:.0%}")
    measured("... the longest of their waits", longest_s)
    measured(f"... had a tick in {WINDOW_S:g} s", went_on)
    assert watch.states == ["enabled"]
    assert share >= LEAST_SHARE
    assert longest_s <= LONGEST_WAIT_S
    assert went_on >= LEAST_PROGRESS * WINDOW_S * CPUS / 8 / TICK_S


def test_a_crowd_alone(attached_scheduler, realtime, measured):
    crowd = cgroups.make("test-crowd")
    attached_scheduler.commit(plan(("critical", "test-crowd", 1)))
    pids = load.crowd(crowd, ALONE)

    with kernel.Watch() as watch, tracing("sched_switch") as trace:
        load.go(pids)
        had_ns = tasks.ran_ns(pids)
        time.sleep(ROUNDS * ALONE * TICK_S)
        went_on = load.nr_gone_on(had_ns, A_TICK_S) / ALONE
    longest_s = max(trace.waits_s(pids))
    measured(f"longest wait of {ALONE} Critical spinners on one cpu", longest_s)
    measured(f"... had a tick, in the time that takes {ROUNDS} of them each", f"{went_on:.0%}")
    assert watch.states == ["enabled"]
    assert longest_s <= LONGEST_WAIT_S
    assert went_on >= LEAST_WENT_ON
