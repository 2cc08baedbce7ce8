"""docs/failure-modes/pinned-task.md: who is pinned to a fenced cpu is a guest there, with a stated share."""

from __future__ import annotations

import time

import pytest
from bench.guest import tasks
from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

CPU = 3
WINDOW_S = 4.0
SHARE, MOST_SHARE = 1 / 8, 1 / 4
# The switches to and from those that only look in, and a slice that ends at a tick.
BESIDE = 0.05
LONGEST_WAIT_S = 2.0
A_RUN_S = 0.001  # a run that was not ended at once


def test_pinned_task(run_agent, measured):
    critical, background = cgroups.make("test-c"), cgroups.make("test-b")
    run_agent(workloads.text(("critical", "test-c", 2), ("background", "test-b"))).until_attached()
    owners = load.spinners(critical, 2)
    guest = load.spinners(background, 1, cpu=CPU)[0]

    started, before = time.monotonic(), guest.ran_s()
    with tracing() as trace:
        time.sleep(WINDOW_S)
    share = (guest.ran_s() - before) / (time.monotonic() - started)
    measured("a guest's time in a second of a busy fenced cpu", share)
    assert trace.cpus_of(guest.pid) == {CPU}
    assert 0.01 < share <= SHARE + BESIDE

    for one in owners:
        one.kill()
    before = guest.ran_s()
    time.sleep(1)
    assert guest.ran_s() - before > 0.5  # nobody else wants the cpu: it has it


@pytest.fixture
def fenced(attached_scheduler):
    """Critical owns cpu 3, where one of its own spins; the cgroup of Background, to be pinned there."""
    critical, background = cgroups.make("test-c"), cgroups.make("test-b")
    attached_scheduler.commit(plan(("critical", "test-c", 1), ("background", "test-b")))
    (owner,) = load.spinners(critical, 1)
    return owner, background


# Of 160 every second one is due when the quarter is used up: were it always the same ones, half would stand still.
@pytest.mark.parametrize(("count", "window_s", "run_on"), [(2, 2.0, 1.0), (160, 8.0, 0.85), (500, 3.0, 0.1)])
def test_a_crowd_pinned_to_a_fenced_cpu(fenced, measured, count, window_s, run_on):
    owner, background = fenced
    guests = load.crowd(background, count, before=["taskset", "-c", str(CPU)])

    load.go(guests)
    with kernel.Watch() as watch:
        time.sleep(1.0)
        before_s, started_s = owner.ran_s(), time.monotonic()
        had_ns = tasks.ran_ns(guests)
        with tracing("sched_switch") as trace:
            time.sleep(window_s)
        share = 1 - (owner.ran_s() - before_s) / (time.monotonic() - started_s)
        went_on = load.nr_gone_on(had_ns, A_RUN_S) / count
    assert owner.cpu() == CPU
    waits = trace.waits_s(guests)
    measured(f"what {count} guests take of a busy fenced cpu", share)
    measured("... the longest of their waits", max(waits))
    measured(f"... went on in {window_s:g} s", f"{went_on:.0%}")
    assert 0.05 < share <= MOST_SHARE + BESIDE
    assert max(waits) <= LONGEST_WAIT_S
    assert went_on >= run_on
    assert watch.states == ["enabled"]


def test_guests_have_a_cpu_that_nobody_else_wants(attached_scheduler, measured):
    """Though a queue of its owner's is never empty: who waits there may use another cpu only."""
    critical, background = cgroups.make("test-c"), cgroups.make("test-b")
    attached_scheduler.commit(plan(("critical", "test-c", 2), ("background", "test-b")))
    load.spinners(critical, 2, cpu=2)
    guests = load.spinners(background, 2, cpu=CPU)
    time.sleep(0.5)
    before_s, started_s = sum(one.ran_s() for one in guests), time.monotonic()
    time.sleep(2.0)
    share = (sum(one.ran_s() for one in guests) - before_s) / (time.monotonic() - started_s)
    measured("what two guests take of a fenced cpu that nobody else wants", share)
    assert share > 0.9
