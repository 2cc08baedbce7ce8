"""Percentiles, and nanoseconds for people: one definition for every figure."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them don't exceed (nearest rank); nan for none. values: ascending."""
    if not values:
        return float("nan")
    return float(values[min(len(values) - 1, max(0, -(-len(values) * round(share * 10_000) // 10_000) - 1))])


def ms(value_ns: float) -> float:
    """Nanoseconds as milliseconds, to a microsecond."""
    return round(value_ns / 1e6, 3)
