"""docs/failure-modes/pinned-task.md: however many are pinned to a fenced cpu, its owner keeps three quarters of it."""

from __future__ import annotations

import os
import time

from tests.kernel.harness import cgroups, kernel, load
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

GUESTS = 500
CPU = 3
WINDOW_S = 3.0
SHARE = 1 / 4
# The switches to and from those that only look in, and the owner's queue seen a moment late.
BESIDE = 0.05
LONGEST_WAIT_S = 2.0


def test_a_crowd_pinned_to_a_fenced_cpu(attached_scheduler, folder, measured):
    critical, background = cgroups.make("test-c"), cgroups.make("test-b")
    attached_scheduler.commit(plan(("critical", "test-c", 1), ("background", "test-b")))
    (owner,) = load.spinners(critical, 1)
    os.mkfifo(folder / "gate")
    guests = load.crowd(background, GUESTS, folder / "gate", before=["taskset", "-c", str(CPU)])

    with (folder / "gate").open("w"), kernel.Watch() as watch:
        time.sleep(1.0)
        before_s, started_s = owner.ran_s(), time.monotonic()
        with tracing("sched_switch") as trace:
            time.sleep(WINDOW_S)
        share = 1 - (owner.ran_s() - before_s) / (time.monotonic() - started_s)
    assert owner.cpu() == CPU
    waits = [trace.away_s.get(pid, WINDOW_S) for pid in guests]
    measured(f"what {GUESTS} guests take of a busy fenced cpu", share)
    measured("... and the longest of their waits", max(waits))
    assert 0.05 < share <= SHARE + BESIDE
    assert max(waits) <= LONGEST_WAIT_S
    assert watch.states == ["enabled"]
