"""What was consumed in windows of a length, wherever they begin: exact, from what ran when."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from itertools import accumulate
from typing import NamedTuple

from bench import switches
from bench.switches import Switches


class Step(NamedTuple):
    """A time in which so many ran at once."""

    length_ns: int
    running: int


class Consumption:
    """Cpu time over a time, in nanoseconds, from steps that follow each other."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = steps = list(steps)
        self._changes_ns = [0, *accumulate(step.length_ns for step in steps)]
        self._consumed_ns = [0, *accumulate(step.length_ns * step.running for step in steps)]

    @classmethod
    def of(cls, trace: Switches, threads: Collection[int], start_ns: int, end_ns: int) -> Consumption:
        """Of these threads, from one instant to another."""
        return cls(
            Step(span.length_ns, sum(pid in threads for pid in span.running.values()))
            for span in switches.spans(trace.switches, start_ns, end_ns)
        )

    @property
    def total_ns(self) -> int:
        """All of it."""
        return self._consumed_ns[-1]

    def most_in(self, window_ns: int) -> int:
        """Of the busiest window; of the whole when it is shorter than one.

        Between two changes consumption grows evenly, so no window has more than one that begins or ends at a change.
        """
        last_ns = self._changes_ns[-1] - window_ns
        if last_ns <= 0:
            return self.total_ns
        edges = (begin_ns for change_ns in self._changes_ns for begin_ns in (change_ns, change_ns - window_ns))
        return max(self._within(begin_ns, window_ns) for begin_ns in edges if 0 <= begin_ns <= last_ns)

    def share_with(self, least_ns: int, window_ns: int, every_ns: int) -> float:
        """The share of windows, of which one begins as often, with so much or more; nan without a whole window."""
        begins_ns = range(0, self._changes_ns[-1] - window_ns + 1, every_ns)
        if not begins_ns:
            return float("nan")
        return sum(self._within(begin_ns, window_ns) >= least_ns for begin_ns in begins_ns) / len(begins_ns)

    def _within(self, begin_ns: int, window_ns: int) -> int:
        return self._until(begin_ns + window_ns) - self._until(begin_ns)

    def _until(self, t_ns: int) -> int:
        index = min(bisect_right(self._changes_ns, t_ns), len(self._steps)) - 1
        return self._consumed_ns[index] + (t_ns - self._changes_ns[index]) * self._steps[index].running
