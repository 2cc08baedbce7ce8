"""docs/failure-modes/retiered.md: tasks that wait in one tier's queue become another tier's with the commit."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, load
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

CPUS = 4
FENCE = {2, 3}
LONGEST_S = 0.1
BUSY, CROWD = ("normal", "test-busy", 1), ("background", "test-crowd")


# More in front of them in the queue than the scheduler looks at in one go (LOOK_BATCH).
@pytest.mark.parametrize("count", [8, 150])
def test_promoted_while_queued(attached_scheduler, measured, count):
    busy, crowd, moved = (cgroups.make(f"test-{name}") for name in ("busy", "crowd", "moved"))
    attached_scheduler.commit(plan(BUSY, CROWD, ("background", "test-moved")))
    beside = load.crowd(crowd, count)
    moved = load.spinners(moved, 2)
    load.spinners(busy, CPUS)  # last: below them, others have turns only, and a crowd takes long to start

    with tracing("sched_switch") as trace:
        load.go(beside)
        time.sleep(0.2)
        attached_scheduler.commit(plan(BUSY, CROWD, ("critical", "test-moved", 1)))
        committed_s = time.monotonic()
        time.sleep(0.7)
    waits = [trace.runs_after(one.pid, committed_s) for one in moved]
    measured(f"a commit -> the next run of a task that it made Critical, {count} beside it in the queue", max(waits))
    assert max(waits) <= LONGEST_S


def test_demoted_while_it_runs(attached_scheduler, measured):
    cgroups.make("test-kept")  # of nobody: so each of the fence's cpus runs one of the others, until it may not
    moved = cgroups.make("test-moved")
    attached_scheduler.commit(plan(("critical", "test-kept", 1), ("critical", "test-moved", 1)))
    moved = load.spinners(moved, 2)

    with tracing("sched_switch") as trace:
        time.sleep(0.2)
        attached_scheduler.commit(plan(("critical", "test-kept", 1), ("background", "test-moved")))
        committed_s = time.monotonic()
        time.sleep(0.5)
    spells = [spell for one in moved for spell in trace.spells[one.pid]]
    assert {spell.cpu for spell in spells if spell.end_s < committed_s} <= FENCE
    left_s = max(spell.end_s for spell in spells if spell.cpu == max(FENCE))
    # Whoever is on the other cpu stays there, perhaps without a switch.
    left = [one.pid for one in moved if any(spell.cpu == max(FENCE) for spell in trace.spells[one.pid])]
    measured("a commit -> the last instant on a fenced cpu of a task that it made Background", left_s - committed_s)
    assert left_s - committed_s <= LONGEST_S
    assert all(trace.runs_after(pid, left_s) < LONGEST_S for pid in left)
