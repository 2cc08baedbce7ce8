"""What the kernel tests read from a trace."""

from __future__ import annotations

import pytest
from tests.kernel.harness.trace import Trace


@pytest.fixture
def trace():
    """One that started at 1 s."""
    found = Trace()
    found._started_s = 1.0
    return found


def switch(cpu, at_s, previous, following):
    """A line of the kernel's."""
    return (
        f"  x-{previous}  [{cpu:03d}] d..2.  {at_s:.6f}: sched_switch: prev_comm=x prev_pid={previous} prev_prio=120 "
        f"prev_state=R ==> next_comm=y next_pid={following} next_prio=120"
    )


def test_the_longest_time_off_the_cpus(trace):
    trace.read_all([switch(0, 1.1, 7, 8), switch(0, 1.3, 8, 7), switch(0, 1.35, 7, 8)])
    trace.end(1.4)
    assert trace.away_s == pytest.approx({7: 0.2, 8: 0.1})
    assert trace.waits_s([7, 9]) == pytest.approx([0.2, 0.4])  # 9 was never seen
    assert [spell[1:] for spell in trace.spells[7]] == [pytest.approx((1.0, 1.1)), pytest.approx((1.3, 1.35))]


def test_who_changes_cpus_was_not_away_though_its_coming_is_told_before_its_going(trace):
    trace.read_all([switch(0, 1.1, 9, 7), switch(1, 1.5, 6, 7), switch(0, 1.5, 7, 9), switch(1, 1.6, 7, 6)])
    trace.end(1.7)
    assert trace.away_s[7] == pytest.approx(0.1)


def test_nor_was_who_ran_from_the_beginning(trace):
    trace.read_all([switch(1, 1.5, 6, 7), switch(0, 1.5, 7, 9), switch(1, 1.6, 7, 6)])
    trace.end(1.7)
    assert trace.away_s[7] == pytest.approx(0.1)


def ran(cpu, at_s, pid, nanoseconds):
    """The other line."""
    return f"  x-{pid}  [{cpu:03d}] d..2.  {at_s:.6f}: sched_stat_runtime: comm=x pid={pid} runtime={nanoseconds} [ns]"


def test_what_ran_is_of_the_cpu_that_ran_it_whoever_tells(trace):
    told_elsewhere, told_before_it_is_gone = ran(2, 1.2, 7, 1000), ran(0, 1.5, 7, 300)
    began = [switch(2, 1.05, 4, 5), switch(0, 1.1, 9, 7), told_elsewhere]
    moved = [switch(1, 1.5, 6, 7), told_before_it_is_gone, switch(0, 1.5, 7, 9)]
    trace.read_all([*began, *moved, ran(1, 1.6, 7, 20), ran(3, 1.6, 8, 1)])
    assert {cpu: {task.pid: ns for task, ns in tasks.items()} for cpu, tasks in trace.ran_ns.items()} == {
        0: {7: 1300},
        1: {7: 20},
        3: {8: 1},
    }
