import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.agent.measurements import Histogram, Measurements, grown
from temper.agent.states import State
from temper.agent.status import Status
from temper.wire.messages import LayerStats


def stats(**counters):
    return LayerStats(**(dict.fromkeys(LayerStats.__struct_fields__, 0) | counters))


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
        measured.hear(Status(stats={"high": stats(nr_runs=runs, wait_ns=runs * 100)}))
    (high,) = measured.growth.layers
    assert (high.nr_runs, high.mean_wait_ns) == (30, 100)
    assert measured.growth.over_ns > 0


def test_the_same_reading_heard_again_changes_nothing():
    measured, status = Measurements(), Status(stats={"high": stats(nr_runs=1)})
    measured.hear(status)
    measured.hear(Status(stats={"high": stats(nr_runs=5)}))
    growth = measured.growth
    measured.hear(Status(stats=measured._stats))
    assert measured.growth is growth


@pytest.mark.parametrize("before", [{}, {"high": stats(nr_runs=50)}], ids=["none before", "another engine"])
def test_nothing_to_compare_with(before):
    assert grown(before, {"high": stats(nr_runs=5)}) == ()


def test_a_layer_that_is_new_counts_from_nothing():
    (low, high) = grown({"high": stats(nr_runs=1)}, {"low": stats(nr_runs=4), "high": stats(nr_runs=1)})
    assert (low.nr_runs, high.nr_runs) == (4, 0)


def test_the_longest_wait_counts_only_if_it_grew():
    before = {"a": stats(max_wait_ns=7), "b": stats(max_wait_ns=7)}
    a, b = grown(before, {"a": stats(max_wait_ns=7), "b": stats(max_wait_ns=9)})
    assert (a.longest_wait_ns, b.longest_wait_ns) == (0, 9)
