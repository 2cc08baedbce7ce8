import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.agent.measurements import Histogram, Measurements, grown
from temper.agent.states import State
from temper.agent.status import Status
from temper.wire.messages import LayerStats


@given(st.lists(st.integers(0, 10**10)))
def test_a_histogram_counts_each_value_once(values_ns):
    histogram = Histogram((0.001, 0.1, 1.0))
    for value in values_ns:
        histogram.add(value)
    cumulative = histogram.cumulative()
    assert [bound for bound, _ in cumulative] == [0.001, 0.1, 1.0, float("inf")]
    assert [count for _, count in cumulative] == [
        sum(value <= bound * 1e9 for value in values_ns) for bound, _ in cumulative
    ]


def test_it_is_settled_once_it_was_not_starting():
    measured = Measurements()
    measured.hear(Status(state=State.STARTING))
    assert not measured.settled
    measured.hear(Status(state=State.SAFE_MODE))
    measured.hear(Status(state=State.STARTING))
    assert measured.settled


def test_growth_is_of_the_last_two_readings():
    measured = Measurements()
    for runs in (10, 40):
        measured.hear(Status(stats={"high": LayerStats(nr_runs=runs, wait_ns=runs * 100)}))
    (high,) = measured.growth.layers
    assert (high.nr_runs, high.mean_wait_ns) == (30, 100)
    assert measured.growth.over_ns > 0


def test_the_same_reading_heard_again_changes_nothing():
    measured, status = Measurements(), Status(stats={"high": LayerStats(nr_runs=1)})
    measured.hear(status)
    last = Status(stats={"high": LayerStats(nr_runs=5)})
    measured.hear(last)
    growth = measured.growth
    measured.hear(Status(stats=last.stats))
    assert measured.growth is growth


@pytest.mark.parametrize("before", [{}, {"high": LayerStats(nr_runs=50)}], ids=["none before", "another engine"])
def test_nothing_to_compare_with(before):
    assert grown(before, {"high": LayerStats(nr_runs=5)}) == ()


def test_a_layer_that_is_new_counts_from_nothing():
    (low, high) = grown({"high": LayerStats(nr_runs=1)}, {"low": LayerStats(nr_runs=4), "high": LayerStats(nr_runs=1)})
    assert (low.nr_runs, high.nr_runs) == (4, 0)


@pytest.mark.parametrize(
    ("now", "longest_ns"),
    [
        (LayerStats(wait_hist=(2, 5, 1), max_wait_ns=7_000), 0),
        (LayerStats(wait_hist=(1, 6, 1), max_wait_ns=7_000), 1_000),
        (LayerStats(wait_hist=(2, 6, 2), max_wait_ns=7_000), 2_000),
        (LayerStats(wait_hist=(1, 5, 2), max_wait_ns=9_000), 9_000),
    ],
    ids=["shortest", "middle", "as long as one before", "longer than any before"],
)
def test_the_longest_wait_is_that_of_the_time_between(now, longest_ns):
    before = LayerStats(wait_hist=(1, 5, 1), max_wait_ns=7_000)
    (sample,) = grown({"a": before}, {"a": now})
    assert sample.longest_wait_ns == longest_ns


def test_waits_are_those_of_the_time_between():
    old, new = LayerStats(wait_hist=(1, 5, 1)), LayerStats(wait_hist=(1, 9, 2))
    assert [each.wait_hist for each in grown({"a": old}, {"a": new, "b": new})] == [(0, 4, 1), (1, 9, 2)]
