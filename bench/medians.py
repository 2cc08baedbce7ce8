"""Medians over the repeats of a record, and each arm held against stock."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.lines import Line
from bench.scenario import STOCK


class Condition(NamedTuple):
    """Figures are compared only if all of this is the same. settings: as JSON, "{}" when none was changed."""

    scenario: str
    kernel: str
    clock: str
    cpus: int
    settings: str


class Row(NamedTuple):
    """One metric at one point in one arm.

    median: of the valid repeats, None without one. valid, repeats: how many of how many. ratio: median over that of
    stock, None when either is missing or stock's is 0. reasons: why some are not valid, each once.
    """

    point: str
    metric: str
    unit: str
    arm: str
    median: float | None
    valid: int
    repeats: int
    ratio: float | None
    reasons: tuple[str, ...]


def tables(lines: Iterable[Line]) -> dict[Condition, list[Row]]:
    """A table for each condition; conditions, points, metrics and arms in the order of their first line."""
    found: dict[Condition, dict[tuple[str, str, str], dict[str, list[Line]]]] = defaultdict(dict)
    for line in lines:
        settings = json.dumps(dict(line.settings), sort_keys=True)
        condition = Condition(line.scenario, line.kernel, line.clock, line.cpus, settings)
        arms = found[condition].setdefault((line.point, line.metric, line.unit), {})
        arms.setdefault(line.arm, []).append(line)
    return {
        condition: [row for key in by_point(metrics) for row in _rows(*key, metrics[key])]
        for condition, metrics in found.items()
    }


def by_point(keys: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The same keys with those of one point together, both in the order of first appearance."""
    points: dict[str, list[tuple[str, str, str]]] = {}
    for key in keys:
        points.setdefault(key[0], []).append(key)
    return [key for together in points.values() for key in together]


def median(lines: Sequence[Line]) -> float | None:
    """The median of the valid figures; None without one."""
    values = [line.value for line in lines if line.valid and line.value is not None]
    return statistics.median(values) if values else None


def _rows(point: str, metric: str, unit: str, arms: dict[str, list[Line]]) -> list[Row]:
    stock = median(arms.get(STOCK, ()))
    rows = []
    for arm, lines in arms.items():
        middle = median(lines)
        ratio = middle / stock if middle is not None and stock else None
        valid = sum(line.valid for line in lines)
        reasons = tuple(dict.fromkeys(line.reason for line in lines if not line.valid))
        rows.append(Row(point, metric, unit, arm, middle, valid, len(lines), ratio, reasons))
    return rows
