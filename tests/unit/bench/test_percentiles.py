import math

import pytest
from bench.percentiles import ms, percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5], 0.99, 5),
        (list(range(1, 101)), 0.50, 50),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 1001)), 0.999, 999),
        (list(range(1, 1001)), 0.99, 990),
        ([1, 2], 0.99, 2),
        ([1, 2, 3], 1.0, 3),
    ],
)
def test_percentile_is_the_nearest_rank(values, share, expected):
    assert percentile(values, share) == expected


def test_nothing_has_no_percentile():
    assert math.isnan(percentile([], 0.5))


def test_milliseconds_are_exact_to_a_microsecond():
    assert ms(1_234_567) == 1.235
