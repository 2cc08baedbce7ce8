"""What was consumed in windows of a length, wherever they begin: exact, from what ran when."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from bench import switches
from bench.switches import Switches


class Step(NamedTuple):
    """A time in which so many ran at once. others: cpus that they could have used, and somebody else had."""

    length_ns: int
    running: int
    others: int = 0


class Consumption:
    """Cpu time over a time, in nanoseconds, from steps that follow each other."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = steps = list(steps)
        self._changes_ns = [0, *accumulate(step.length_ns for step in steps)]
        self._consumed_ns = [0, *accumulate(step.length_ns * step.running for step in steps)]
        self._kept_ns = [0, *accumulate(step.length_ns * step.others for step in steps)]
        self._began_ns = list(_beginnings(steps))

    @classmethod
    def of(
        cls, trace: Switches, threads: Collection[int], start_ns: int, end_ns: int, cpus: Collection[int] = ()
    ) -> Consumption:
        """Of these threads, from one instant to another. cpus: which they could have used."""

        def step(span: switches.Span) -> Step:
            running = sum(pid in threads for pid in span.running.values())
            busy = sum(pid != switches.IDLE for cpu, pid in span.running.items() if cpu in cpus)
            return Step(span.length_ns, running, max(0, min(busy, len(threads)) - running))

        return cls(step(span) for span in switches.spans(trace.switches, start_ns, end_ns))

    @property
    def total_ns(self) -> int:
        """All of it."""
        return self._consumed_ns[-1]

    @property
    def kept_ns(self) -> int:
        """All that others kept them from."""
        return self._kept_ns[-1]

    def most_in(self, window_ns: int) -> int:
        """Of the busiest window; of the whole when it is shorter than one.

        Between two changes consumption grows evenly, so no window has more than one that begins or ends at a change.
        """
        return self._most(self._within, (0, -window_ns), window_ns)

    def most_owed_in(self, window_ns: int) -> int:
        """The same, less what others kept them from before the window (within one), since they last all stood still.

        Who has a quota for each period and was kept from it at the period's begin has it at its end. A window that
        begins in between holds more than a quota, by no more than that.
        """

        def owed_within(begin_ns: int, window_ns: int) -> int:
            return self._within(begin_ns, window_ns) - self._kept_before(begin_ns, window_ns)

        return self._most(owed_within, (0, -window_ns, window_ns), window_ns)

    def share_with(self, least_ns: int, window_ns: int, every_ns: int) -> float:
        """The share of windows, of which one begins as often, with so much or more; nan without a whole window."""
        begins_ns = range(0, self._changes_ns[-1] - window_ns + 1, every_ns)
        if not begins_ns:
            return float("nan")
        return sum(self._within(begin_ns, window_ns) >= least_ns for begin_ns in begins_ns) / len(begins_ns)

    def _most(self, amount_ns: Callable[[int, int], int], shifts_ns: Iterable[int], window_ns: int) -> int:
        """The largest amount of a whole window that begins at a change, or so much after one."""
        last_ns = self._changes_ns[-1] - window_ns
        begins_ns = {change_ns + shift_ns for shift_ns in shifts_ns for change_ns in self._changes_ns}
        amounts_ns = (amount_ns(begin_ns, window_ns) for begin_ns in begins_ns if 0 <= begin_ns <= last_ns)
        return max(amounts_ns, default=self.total_ns)

    def _kept_before(self, t_ns: int, window_ns: int) -> int:
        began_ns = self._began_ns[self._step_at(t_ns)]
        if began_ns is None:
            return 0
        return self._sum(self._kept_ns, t_ns) - self._sum(self._kept_ns, max(began_ns, t_ns - window_ns))

    def _within(self, begin_ns: int, window_ns: int) -> int:
        return self._sum(self._consumed_ns, begin_ns + window_ns) - self._sum(self._consumed_ns, begin_ns)

    def _sum(self, at_changes_ns: Sequence[int], t_ns: int) -> int:
        """Up to an instant, of what grows evenly between changes."""
        index = self._step_at(t_ns)
        length_ns = self._steps[index].length_ns
        grown_ns = at_changes_ns[index + 1] - at_changes_ns[index]
        return at_changes_ns[index] + grown_ns * (t_ns - self._changes_ns[index]) // length_ns

    def _step_at(self, t_ns: int) -> int:
        return min(bisect_right(self._changes_ns, t_ns), len(self._steps)) - 1


def _beginnings(steps: Iterable[Step]) -> Iterator[int | None]:
    """For each step, when they began to run after all of them had stood still; None while they do."""
    now_ns, began_ns = 0, None
    for step in steps:
        began_ns = None if not step.running else now_ns if began_ns is None else began_ns
        yield began_ns
        now_ns += step.length_ns
