import math

import pytest
from bench.switches import Switch, Switches
from bench.windows import Consumption, Step
from hypothesis import given
from hypothesis import strategies as st

steps = st.lists(st.builds(Step, st.integers(1, 30), st.integers(0, 8)), max_size=20)


def windows(found, window_ns):
    """What each window has, one that begins at each nanosecond."""
    each_ns = [step.running for step in found for _ in range(step.length_ns)]
    return [sum(each_ns[begin : begin + window_ns]) for begin in range(len(each_ns) - window_ns + 1)]


def test_a_window_may_begin_between_two_changes():
    assert Consumption([Step(10, 0), Step(4, 3), Step(6, 0), Step(4, 2), Step(10, 0)]).most_in(10) == 4 * 3
    assert Consumption([Step(10, 0), Step(4, 3), Step(5, 0), Step(4, 2), Step(10, 0)]).most_in(10) == 4 * 3 + 1 * 2


def test_what_is_shorter_than_a_window_is_one():
    assert Consumption([Step(3, 2)]).most_in(10) == 6
    assert Consumption([]).most_in(10) == 0
    assert math.isnan(Consumption([Step(3, 2)]).share_with(1, 10, 1))


@given(steps, st.integers(1, 200))
def test_no_window_has_more(found, window_ns):
    everything = sum(step.length_ns * step.running for step in found)
    assert Consumption(found).most_in(window_ns) == max(windows(found, window_ns), default=everything)


@given(steps, st.integers(1, 50), st.integers(0, 200), st.integers(1, 9))
def test_windows_with_so_much_are_counted(found, window_ns, least_ns, every_ns):
    looked_at = windows(found, window_ns)[::every_ns]
    if looked_at:
        expected = sum(each >= least_ns for each in looked_at) / len(looked_at)
        assert Consumption(found).share_with(least_ns, window_ns, every_ns) == pytest.approx(expected)


def test_a_trace_tells_what_some_threads_consumed():
    trace = Switches([Switch(10, 0, 0, 7), Switch(20, 1, 0, 8), Switch(25, 0, 7, 9), Switch(40, 1, 8, 0)], {})
    found = Consumption.of(trace, {7, 8}, 0, 50)
    assert (found.total_ns, found.most_in(10)) == (15 + 20, 15)
