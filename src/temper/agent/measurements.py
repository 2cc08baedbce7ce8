"""What passes by and would be lost: how long stand-downs and commits took, and how fast the layers' counters grow.

Everything else that is measured stands in the status, or is read when somebody asks.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import msgspec

from temper.agent.states import State
from temper.agent.status import Status
from temper.plan.samples import LayerSample
from temper.plan.waits import longest_at_least_ns, waits_since
from temper.wire.messages import LayerStats

# Seconds. Detaching takes milliseconds; the bound to keep is a second, and a forced one may take several.
STAND_DOWN_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# A commit takes the kernel microseconds, and the agent about a millisecond.
COMMIT_BOUNDS_S = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0)
STEPS = ("decide", "detach", "reap")
COMMIT_PARTS = ("kernel", "commit", "from_change_seen")


class Histogram:
    """Counts by bound, as Prometheus has them. counts[i]: values up to bounds[i]; the last one is all the rest."""

    def __init__(self, bounds_s: Sequence[float], counts: Sequence[int] = (), sum_s: float = 0.0) -> None:
        self.bounds_s = tuple(bounds_s)
        self.counts = list(counts) or [0] * (len(bounds_s) + 1)
        self.sum_s = sum_s

    def add(self, value_ns: int) -> None:
        """One value, in nanoseconds."""
        self.counts[bisect_left(self.bounds_s, value_ns / 1e9)] += 1
        self.sum_s += value_ns / 1e9

    def cumulative(self) -> list[tuple[float, int]]:
        """(bound, values up to it), the last bound infinite."""
        total, found = 0, []
        for bound, count in zip((*self.bounds_s, float("inf")), self.counts, strict=True):
            total += count
            found.append((bound, total))
        return found


class Growth(msgspec.Struct, frozen=True):
    """What the layers' counters grew by between two readings of the engine's."""

    layers: tuple[LayerSample, ...] = ()
    over_ns: int = 0


class Readings:
    """The engine's counters, as last read, and when (CLOCK_MONOTONIC)."""

    def __init__(self) -> None:
        self.stats: Mapping[str, LayerStats] = {}
        self._stats_ns = 0

    def next(self, stats: Mapping[str, LayerStats], now_ns: int) -> Growth:
        """By how much they have grown since the last reading, which this one replaces."""
        growth = Growth(grown(self.stats, stats), now_ns - self._stats_ns)
        self.stats, self._stats_ns = stats, now_ns
        return growth


class Measurements:
    """Hears of each status. last_pass_s: CLOCK_MONOTONIC of the loop's last pass. settled: it knows what it does."""

    def __init__(self) -> None:
        self.stand_down = Histogram(STAND_DOWN_BOUNDS_S)
        self.stand_down_steps = {step: Histogram(STAND_DOWN_BOUNDS_S) for step in STEPS}
        self.commits = {part: Histogram(COMMIT_BOUNDS_S) for part in COMMIT_PARTS}
        self.growth = Growth()
        self.last_pass_s = time.monotonic()
        self.settled = False
        self._nr_stand_downs = 0
        self._nr_commits = 0
        self._readings = Readings()

    def hear(self, status: Status) -> None:
        """After each pass. What it counts, it counts once, however often the same status comes."""
        self.last_pass_s = time.monotonic()
        self.settled = self.settled or status.state is not State.STARTING
        if status.nr_stand_downs != self._nr_stand_downs:
            self._nr_stand_downs = status.nr_stand_downs
            self._add_stand_down(status.stand_down_ns)
        if status.nr_commits != self._nr_commits:
            self._nr_commits = status.nr_commits
            for part, histogram in self.commits.items():
                if part in status.last_commit_ns:
                    histogram.add(status.last_commit_ns[part])
        if status.stats is not self._readings.stats:
            self.growth = self._readings.next(status.stats, time.monotonic_ns())

    def _add_stand_down(self, took_ns: Mapping[str, int]) -> None:
        if "total" in took_ns:
            self.stand_down.add(took_ns["total"])
        for step, histogram in self.stand_down_steps.items():
            if step in took_ns:
                histogram.add(took_ns[step])


def grown(before: Mapping[str, LayerStats], now: Mapping[str, LayerStats]) -> tuple[LayerSample, ...]:
    """By how much each layer's counters grew; nothing when another engine has begun to count from 0."""
    if not before or any(now[name].nr_runs < old.nr_runs for name, old in before.items() if name in now):
        return ()
    return tuple(_grew(name, before.get(name, LayerStats()), stats) for name, stats in now.items())


def _grew(name: str, old: LayerStats, now: LayerStats) -> LayerSample:
    waits = waits_since(old.wait_hist, now.wait_hist)
    return LayerSample(
        layer=name,
        ran_ns=now.run_ns - old.run_ns,
        wait_ns=now.wait_ns - old.wait_ns,
        nr_runs=now.nr_runs - old.nr_runs,
        nr_guest_runs=now.nr_guest_runs - old.nr_guest_runs,
        nr_rescued=now.nr_rescued - old.nr_rescued,
        longest_wait_ns=now.max_wait_ns if now.max_wait_ns > old.max_wait_ns else longest_at_least_ns(waits),
        wait_hist=waits,
    )
