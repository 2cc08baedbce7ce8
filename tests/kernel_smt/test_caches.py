"""docs/failure-modes/starvation.md: who waits at one cache has his turn there, though others have theirs elsewhere."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, load
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

from temper.node.topology import read_machine

CACHES = sorted({cpu.llc for cpu in read_machine().cpus})
WINDOW_S = 6.0
# A turn for each of a queue in about a second. One that is late may be rescued after one and a half; not all of them.
LONGEST_WAIT_S, MOST_RESCUED = 1.9, 4


def test_turns_at_a_busy_cache(attached_scheduler, measured):
    assert len(CACHES) == 2
    ours, below = cgroups.make("test-n"), cgroups.make("test-b")
    attached_scheduler.commit(plan(("normal", "test-n", 2), ("background", "test-b")))
    busy = [cpu.id for cpu in read_machine().cpus if cpu.llc == CACHES[0]]
    outranked = load.spinners(below, 3 * len(busy))
    for cpu in busy:
        load.spinners(ours, 1, cpu=cpu)

    with tracing("sched_switch") as trace:
        time.sleep(WINDOW_S)
    waits = trace.waits_s(one.pid for one in outranked)
    measured(f"longest wait of {len(outranked)} Background spinners, one cache of two kept busy by Normal", max(waits))
    assert max(waits) <= LONGEST_WAIT_S, waits
    assert attached_scheduler.stats()["background"].nr_rescued <= MOST_RESCUED
