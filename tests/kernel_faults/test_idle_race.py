"""docs/failure-modes/idle-race.md: as many runnable tasks as cpus, which sleep and wake all the time."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, load
from tests.kernel.harness.plans import plan

from temper.plan.waits import waits_since

CPUS = 4
WINDOW_S = 1.0
LONG_BUCKET = 11  # from 1.024 ms on
MOST_LONG = 0.005
# Of each pair one runs and the other waits for its byte.
PAIRS = """
for _ in range(int(sys.argv[1])):
    there, back = os.pipe(), os.pipe()
    for give, take in ((there, back), (back, there)):
        if os.fork() == 0:
            if give is there:
                os.write(give[1], b"x")
            while True:
                os.read(take[0], 1)
                os.write(give[1], b"x")
os.wait()
"""


def test_idle_race(attached_scheduler, measured):
    cgroup = cgroups.make("test-pairs")
    attached_scheduler.commit(plan(("normal", "test-pairs", 1)))
    load.start_python(PAIRS, cgroup, CPUS)
    time.sleep(0.3)

    before = attached_scheduler.stats()["normal"].wait_hist
    time.sleep(WINDOW_S)
    waits = waits_since(before, attached_scheduler.stats()["normal"].wait_hist)
    long = sum(waits[LONG_BUCKET:])
    measured(f"waits of {CPUS} pairs on {CPUS} cpus", sum(waits))
    measured("... longer than 1 ms", long)
    measured("... longer than 16 ms", sum(waits[15:]))
    assert sum(waits) > 1000
    assert long <= MOST_LONG * sum(waits)
