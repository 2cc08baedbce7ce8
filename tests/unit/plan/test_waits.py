import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.plan.waits import bounds_us, longest_at_least_ns, percentile_us, waits_since

NR = 24  # as many as the scheduler keeps
LONG = 10**12


def counted(waits_us, nr=NR):
    """The counts of these waits, by the definition."""
    counts = [0] * nr
    for wait in waits_us:
        counts[next((i for i, bound in enumerate(bounds_us(nr)) if wait < bound), nr - 1)] += 1
    return counts


def test_bounds_double_from_a_microsecond():
    assert bounds_us(4) == [1, 2, 4]
    assert bounds_us(NR)[-1] == 4_194_304


@pytest.mark.parametrize(
    ("waits_us", "share", "expected"),
    [
        ([0], 0.99, 1),
        ([1], 0.99, 2),
        ([3, 3, 3, 1000], 0.50, 4),
        ([3, 3, 3, 1000], 0.75, 4),
        ([3, 3, 3, 1000], 0.76, 1024),
        ([3] * 99 + [1000], 0.99, 4),
        ([3] * 98 + [1000] * 2, 0.99, 1024),
        ([3, 1000], 0.0, 4),
    ],
)
def test_a_percentile_is_the_upper_bound_of_its_bucket(waits_us, share, expected):
    assert percentile_us(counted(waits_us), share, longest_ns=LONG) == expected


@pytest.mark.parametrize(("wait_us", "longest_ns"), [(700, 700_000), (5_000_000, 5_000_000_000), (0, 400)])
def test_no_percentile_is_above_the_longest_wait(wait_us, longest_ns):
    assert percentile_us(counted([wait_us]), 0.99, longest_ns=longest_ns) == longest_ns / 1e3


@pytest.mark.parametrize("counts", [(), (0, 0, 0)])
def test_without_a_wait_there_is_no_percentile(counts):
    assert percentile_us(counts, 0.99, longest_ns=0) is None
    assert longest_at_least_ns(counts) == 0


@given(st.lists(st.integers(0, 10**8), min_size=1), st.floats(0, 1))
def test_a_percentile_is_at_most_twice_the_true_one(waits_us, share):
    longest = max(waits_us)
    said = percentile_us(counted(waits_us), share, longest_ns=longest * 1000)
    assert sum(wait <= said for wait in waits_us) >= share * len(waits_us)
    true = sorted(waits_us)[max(0, -int(-share * len(waits_us) // 1) - 1)]
    assert true <= said <= max(1, 2 * true, longest if true >= bounds_us(NR)[-1] else 0)


@given(st.lists(st.integers(0, 10**8), min_size=1))
def test_the_longest_is_told_from_below(waits_us):
    least_us = longest_at_least_ns(counted(waits_us)) / 1000
    assert least_us <= max(waits_us)
    assert max(waits_us) < max(1, 2 * least_us) or least_us == bounds_us(NR)[-1]


def test_what_was_waited_between_two_readings():
    assert waits_since((1, 2, 3), (1, 4, 8)) == (0, 2, 5)
    assert waits_since((), (1, 4)) == (1, 4)
    assert waits_since((), ()) == ()
