"""docs/failure-modes/preempt-storm.md: who may take a cpu does not wait for a lower tier's slice, however it comes."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, load
from tests.kernel.harness.limits import limit
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing
from tests.kernel.harness.waiting import until

CPUS = 4
WINDOW_S = 4.0
# Two ticks, and what an emulated switch takes. Low's slice is 28 ms.
LONGEST_WAIT_S = 0.009
NAP_S = 0.0002
ONE_CPU = 1
QUOTA_US, PERIOD_US = 8_000, 20_000
# Forks, and keeps its cpu until the child has run.
FORKER = """
while True:
    shared = mmap.mmap(-1, 8)
    began = time.monotonic_ns()
    if not os.fork():
        shared[:] = (time.monotonic_ns() - began).to_bytes(8, "little")
        os._exit(0)
    while shared[:] == bytes(8):
        pass
    print(int.from_bytes(shared[:], "little"), file=sink, flush=True)
    os.wait()
    time.sleep(0.01)
"""


def test_a_fork(attached_scheduler, folder, measured):
    above, below = cgroups.make("test-h"), cgroups.make("test-l")
    attached_scheduler.commit(plan(("high", "test-h", 1), ("low", "test-l")))
    load.spinners(below, 2 * CPUS)
    file = folder / "forks"
    load.start_python(f"import mmap\nsink = open({str(file)!r}, 'w')\n{FORKER}", above)
    until("fifty forks", lambda: file.exists() and len(file.read_text().splitlines()) > 50)
    waits = sorted(int(line) / 1e9 for line in file.read_text().splitlines()[:50])
    measured("a High process forks beside Low on every cpu: until the child runs, median", waits[25])
    measured("... longest of 50", waits[-1])
    assert waits[-1] <= LONGEST_WAIT_S


def test_wake_ups_that_take_the_same_cpus(attached_scheduler, realtime, measured):
    """Both cpus that it may use were taken less than a millisecond ago, and the lower tier runs there again."""
    above, below = cgroups.make("test-h"), cgroups.make("test-l")
    attached_scheduler.commit(plan(("high", "test-h", 1), ("low", "test-l")))
    load.spinners(below, 2 * CPUS)
    (napper,) = load.nappers(above, 1, NAP_S, [1, 2])
    with tracing("sched_switch") as trace:
        time.sleep(WINDOW_S)
    wait_s = trace.away_s[napper.pid] - NAP_S
    measured(f"High wakes up {len(trace.spells[napper.pid]) / WINDOW_S:.0f} times a second: the longest wait", wait_s)
    assert wait_s <= LONGEST_WAIT_S


def test_a_refill(attached_scheduler, realtime, measured):
    """Whose quota comes again does not wake up: where it was, a lower tier's slice ends at the next tick."""
    below = cgroups.make("test-l")
    above = limit("test-h", QUOTA_US, PERIOD_US)
    attached_scheduler.commit(plan(("high", "test-h", 1), ("low", "test-l")))
    load.spinners(below, 1, cpu=ONE_CPU)
    (one,) = load.spinners(above, 1, cpu=ONE_CPU)
    with tracing("sched_switch") as trace:
        time.sleep(WINDOW_S)
    wait_s = trace.away_s[one.pid] - (PERIOD_US - QUOTA_US) / 1e6
    measured("8 ms in 20: the longest time off the cpu beyond what the limit takes", wait_s)
    assert wait_s <= LONGEST_WAIT_S
