"""docs/failure-modes/cpu-max.md: limits below limits. A task runs while every one above it lets it."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, load
from tests.kernel.harness.limits import PERIOD_US, TICK_S, limit

CPUS = 4
WINDOW_S = 4.0
CLOSE = 0.01


@pytest.mark.parametrize(
    ("percents", "wanted"),
    [
        ({"pod": 25, "pod/a": 20, "pod/b": 20, "pod/c": None}, {"pod": 0.25}),
        ({"slice": 15, "slice/pod": 30, "slice/pod/a": 20, "slice/pod/b": 20}, {"slice": 0.15}),
        ({"pod": 50, "pod/a": 10, "pod/b": 20}, {"pod": 0.3, "pod/a": 0.1, "pod/b": 0.2}),
    ],
    ids=["pod-below-its-containers", "grandparent-tightest", "containers-below-their-pod"],
)
def test_the_tightest_above_counts(normal, measured, percents, wanted):
    limits = {
        name: limit(f"test-q/{name}", percent and percent * PERIOD_US // 100) for name, percent in percents.items()
    }
    leaves = [name for name in limits if not any(other.startswith(f"{name}/") for other in limits)]
    for name in leaves:
        load.spinners(limits[name], 2)
    time.sleep(0.3)  # the first period is full, and a tick of each cpu is owed
    began, before = time.monotonic(), {name: cgroups.used_s(path) for name, path in limits.items()}
    time.sleep(WINDOW_S)
    window_s = time.monotonic() - began
    used = {name: (cgroups.used_s(path) - before[name]) / window_s for name, path in limits.items()}
    measured(f"limits in percent {percents}: cpus used", ", ".join(f"{name} {cpus:.3f}" for name, cpus in used.items()))
    late = 2 * CPUS * TICK_S / window_s
    for name, cpus in wanted.items():
        assert used[name] == pytest.approx(cpus, rel=CLOSE, abs=late)
    for name in leaves:
        assert 0 < used[name] <= (percents[name] or 100 * CPUS) / 100 * (1 + CLOSE) + late
