"""How long tasks waited for a cpu, from counts by powers of two: the scheduler's `wait_hist`.

counts[0]: waits below 1 us; counts[i]: from 2^(i-1) us to below 2^i us; the last one: all the rest. So every wait is
known to a factor of two. Empty counts are those of nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import sub


def bounds_us(nr_counts: int) -> list[int]:
    """Upper bounds in microseconds, of all counts but the last, which has none."""
    return [1 << bucket for bucket in range(nr_counts - 1)]


def percentile_us(counts: Sequence[int], share: float, *, longest_ns: int) -> float | None:
    """The wait that a share of all (0.99) did not exceed, by nearest rank, in microseconds; None when there was none.

    It is the upper bound of the bucket, so up to twice the true value, or the longest wait where that is less.
    """
    nr_waits = sum(counts)
    if not nr_waits:
        return None
    rank = max(1, math.ceil(share * nr_waits))
    bucket = next(bucket for bucket, total in enumerate(accumulate(counts)) if total >= rank)
    longest_us = longest_ns / 1e3
    return longest_us if bucket == len(counts) - 1 else min(float(1 << bucket), longest_us)


def longest_at_least_ns(counts: Sequence[int]) -> int:
    """The lower bound of the highest bucket that has any, in nanoseconds; 0 when there was none."""
    highest = max((bucket for bucket, count in enumerate(counts) if count), default=0)
    return (1 << highest >> 1) * 1000


def waits_since(before: Sequence[int], now: Sequence[int]) -> tuple[int, ...]:
    """The counts of what was waited between two readings of them."""
    return tuple(map(sub, now, before)) if before else tuple(now)
