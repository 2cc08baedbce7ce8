"""docs/failure-modes/pinned-task.md: a task pinned to a fenced cpu is a guest there, with a stated share."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.trace import tracing

WINDOW_S = 4.0
SHARE = 1 / 8
# A slice ends at a tick, and a guest whose tick falls on the owner's is given one more.
TICKS = 0.05


def test_pinned_task(run_agent, measured):
    critical, background = cgroups.make("test-c"), cgroups.make("test-b")
    run_agent(workloads.text(("critical", "test-c", 2), ("background", "test-b"))).until_attached()
    owners = load.spinners(critical, 2)
    guest = load.spinners(background, 1, cpu=3)[0]

    started, before = time.monotonic(), guest.ran_s()
    with tracing() as trace:
        time.sleep(WINDOW_S)
    share = (guest.ran_s() - before) / (time.monotonic() - started)
    measured("a guest's time in a second of a busy fenced cpu", share)
    assert trace.cpus_of(guest.pid) == {3}
    assert 0.01 < share <= SHARE + TICKS

    for one in owners:
        one.kill()
    before = guest.ran_s()
    time.sleep(1)
    assert guest.ran_s() - before > 0.5  # nobody else wants the cpu: it has it
