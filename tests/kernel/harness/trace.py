"""Who ran where and when, from the kernel's trace. Nothing is sampled: every nanosecond and switch is in it."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from contextlib import contextmanager
from math import inf
from typing import NamedTuple

from bench.guest.tracing import ROOT, overruns, recording
from tests.kernel.harness.load import is_kernel_thread, is_realtime

# sched_stat_runtime accounts at ticks and at switches; and since 7.0, where the timer of a cpu's ext_server fires on
# another cpu, it is told there: then the switches say where the task is.
RAN = re.compile(r"\[(\d+)\] .* sched_stat_runtime: comm=(.*) pid=(\d+) runtime=(\d+)")
SWITCH = re.compile(r"\[(\d+)\] .* (\d+\.\d+): sched_switch: .* prev_pid=(\d+) .* next_pid=(\d+) ")


class Task(NamedTuple):
    """A task in a trace."""

    pid: int
    name: str


class Spell(NamedTuple):
    """A task on a cpu, from one switch to the next; CLOCK_MONOTONIC."""

    cpu: int
    start_s: float
    end_s: float


class Trace:
    """Filled when the block ends.

    ran_ns: cpu -> task -> nanoseconds.
    away_s: pid -> the longest time for which it was off the cpus, for each task in a switch; one that is first seen
    as it starts was away from the beginning.
    spells: pid -> its spells on cpus, those that end within the block, and one more for who runs at its end.
    """

    def __init__(self):
        self._started_s = time.monotonic()
        self.ran_ns = defaultdict(lambda: defaultdict(int))
        self.away_s = {}
        self.spells = defaultdict(list)
        self._length_s = 0.0
        self._left_s = {}
        self._on = {}  # pid -> the cpu that runs it
        self._current = {}  # cpu -> whom it runs
        self._since_s = {}  # cpu -> who runs there, since when

    def cpus_of(self, pid):
        """Where a process ran."""
        return {cpu for cpu, tasks in self.ran_ns.items() if any(task.pid == pid for task in tasks)}

    def runs_after(self, pid, since_s):
        """Seconds from an instant to a task's next run; 0 when it ran at that instant, infinite when it never did."""
        later = (spell.start_s for spell in self.spells[pid] if spell.end_s > since_s)
        return max(0.0, min(later, default=inf) - since_s)

    def waits_s(self, pids):
        """The longest time that each was off the cpus; the whole block, for a task that is in no switch."""
        return [self.away_s.get(pid, self._length_s) for pid in pids]

    def users_on(self, cpus):
        """Tasks that are under sched_ext and no kernel threads, and how long each ran on these cpus."""
        ran = defaultdict(int)
        for cpu in cpus:
            for task, nanoseconds in self.ran_ns[cpu].items():
                if not is_kernel_thread(task.pid) and not is_realtime(task.pid):
                    ran[task] += nanoseconds
        return dict(ran)

    def read_all(self, lines):
        """Take the trace in. Whom a cpu leaves first had it from the beginning."""
        first = {}  # cpu -> whom it leaves first
        for line in lines:
            if match := SWITCH.search(line):
                first.setdefault(int(match[1]), int(match[3]))
        self._on = {pid: cpu for cpu, pid in first.items()}
        self._current = first
        for line in lines:
            self._read(line)

    def _read(self, line):
        if match := RAN.search(line):
            cpu, name, pid, nanoseconds = int(match[1]), match[2], int(match[3]), int(match[4])
            if self._current.get(cpu) != pid:
                cpu = self._on.get(pid, cpu)
            self.ran_ns[cpu][Task(pid, name)] += nanoseconds
        elif match := SWITCH.search(line):
            cpu, now, previous, following = int(match[1]), float(match[2]), int(match[3]), int(match[4])
            # Of one instant on two cpus, the line of where a task came to may stand before that of where it left.
            if self._on.get(previous, cpu) == cpu:
                self._on.pop(previous, None)
                self._left_s[previous] = now
            if following not in self._on:
                self._back(following, now)
            self._on[following] = cpu
            self._current[cpu] = following
            self.spells[previous].append(Spell(cpu, self._since_s.pop(cpu, (previous, self._started_s))[1], now))
            self._since_s[cpu] = following, now

    def _back(self, pid, now_s):
        since_s = self._left_s.pop(pid, self._started_s)
        self.away_s[pid] = max(self.away_s.get(pid, 0.0), now_s - since_s)

    def end(self, now_s):
        """Who is still away has been so until now."""
        self._length_s = now_s - self._started_s
        for pid in list(self._left_s):
            self._back(pid, now_s)
        for cpu, (pid, since_s) in self._since_s.items():
            self.spells[pid].append(Spell(cpu, since_s, now_s))


@contextmanager
def tracing(*events):
    """Trace the scheduler's events of these names during the block, or all we know: `with tracing() as trace: ...`."""
    with recording(*(f"sched:{event}" for event in events or ("sched_stat_runtime", "sched_switch"))):
        trace = Trace()
        yield trace
        ended_s = time.monotonic()  # not after it: to stop takes as long as a busy machine lets this process wait
    for stats, counts in overruns().items():
        assert counts == [0], f"{stats}: events were lost"
    with (ROOT / "trace").open() as lines:
        trace.read_all(list(lines))
    trace.end(ended_s)
