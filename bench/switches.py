"""The kernel's trace of sched_switch, read: who ran where, all the time of a window."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# `  spin-77  [001] d..2.  12.345678: sched_switch: prev_comm=spin prev_pid=77 ... ==> next_comm=swapper/1 next_pid=0`
_LINE = re.compile(
    r"\[(?P<cpu>\d+)\] +\S+ +(?P<s>\d+)\.(?P<us>\d{6}): sched_switch: "
    r"prev_comm=(?P<prev>.*) prev_pid=(?P<prev_pid>\d+) prev_prio=-?\d+ prev_state=\S+ ==> "
    r"next_comm=(?P<next>.*) next_pid=(?P<next_pid>\d+) next_prio=-?\d+"
)
IDLE = 0  # the process id of every cpu's idle task


class Switch(NamedTuple):
    """From one task to another. t_ns: CLOCK_MONOTONIC, to a microsecond."""

    t_ns: int
    cpu: int
    before: int
    after: int


class Switches(NamedTuple):
    """A trace. switches: in the order of time; names: of every process id in it, the last one seen."""

    switches: list[Switch]
    names: dict[int, str]


class Span(NamedTuple):
    """A time in which nothing changed. running: cpu -> process id; a cpu whose task nobody knows yet is left out.

    The mapping is one and the same object, changed from span to span: look at it at once.
    """

    length_ns: int
    running: Mapping[int, int]


def read(path: Path) -> Switches:
    """A file of tracefs' `trace`."""
    with path.open(errors="replace") as lines:
        return parse(lines)


def parse(lines: Iterable[str]) -> Switches:
    """Its lines; those that are no sched_switch are left out."""
    switches, names = [], {}
    for line in lines:
        if found := _LINE.search(line):
            t_ns = int(found["s"]) * 10**9 + int(found["us"]) * 1000
            before, after = int(found["prev_pid"]), int(found["next_pid"])
            switches.append(Switch(t_ns, int(found["cpu"]), before, after))
            names[before], names[after] = found["prev"], found["next"]
    return Switches(sorted(switches, key=lambda switch: switch.t_ns), names)


def spans(switches: Sequence[Switch], start_ns: int, end_ns: int) -> Iterator[Span]:
    """The window [start, end) cut at every switch. What ran on a cpu before its first switch is told by that switch."""
    running: dict[int, int] = {}
    for switch in switches:
        running.setdefault(switch.cpu, switch.before)
    now_ns = start_ns
    for switch in switches:
        if now_ns < switch.t_ns:
            until_ns = min(switch.t_ns, end_ns)
            if until_ns > now_ns:
                yield Span(until_ns - now_ns, running)
                now_ns = until_ns
        running[switch.cpu] = switch.after
    if now_ns < end_ns:
        yield Span(end_ns - now_ns, running)
