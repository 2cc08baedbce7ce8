import math

import pytest
from bench.switches import Switch, Switches
from bench.windows import Consumption, Step
from hypothesis import given
from hypothesis import strategies as st

steps = st.lists(st.builds(Step, st.integers(1, 30), st.integers(0, 8), st.integers(0, 4)), max_size=20)


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


def test_what_others_kept_them_from_may_be_used_later_in_the_period():
    """A quota of 20 in 10 on four cpus: the second time others had two of them for 4, so it ends 2 later."""
    found = [Step(5, 4), Step(5, 0), Step(4, 2, 2), Step(3, 4), Step(3, 0), Step(5, 4), Step(5, 0)]
    assert Consumption(found).most_in(10) == 28
    assert Consumption(found).most_owed_in(10) == 20


def test_what_runs_while_they_stand_still_keeps_them_from_nothing():
    found = [Step(4, 4), Step(6, 0, 4), Step(8, 4), Step(2, 0)]
    assert Consumption(found).most_owed_in(10) == Consumption(found).most_in(10) == 32


@given(steps, st.integers(1, 200))
def test_kept_from_something_or_not_no_window_has_more(found, window_ns):
    consumption = Consumption(found)
    assert consumption.most_owed_in(window_ns) <= consumption.most_in(window_ns)
    alone = Consumption([step._replace(others=0) for step in found])
    assert alone.most_owed_in(window_ns) == consumption.most_in(window_ns)


def test_a_trace_tells_which_cpus_others_had():
    trace = Switches([Switch(10, 0, 9, 7), Switch(10, 1, 9, 8), Switch(20, 1, 8, 9), Switch(24, 0, 7, 8)], {})
    trace.switches.append(Switch(30, 1, 9, 0))
    found = Consumption.of(trace, {7, 8}, 0, 40, cpus={0, 1})
    assert (found.most_in(10), found.kept_ns) == (20, 2 * 10 + 10)
