"""What the player brought home: requests, events, and who was attached when. Times are CLOCK_MONOTONIC ns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.request_log import Request, between, read_requests


class Span(NamedTuple):
    """The kernel's word between two looks that differed. ops is empty under the stock scheduler."""

    start_ns: int
    end_ns: int
    state: str
    ops: str

    @property
    def ours(self) -> bool:
        """Did our scheduler decide?"""
        return self.state == "enabled" and self.ops.startswith("temper")


class Event(NamedTuple):
    """Something that the player did or saw."""

    t_ns: int
    name: str
    data: dict[str, Any]


class Records(NamedTuple):
    """One run. requests are in the order of their planned instants; spans are contiguous."""

    requests: list[Request]
    events: list[Event]
    spans: list[Span]
    longest_gap_ns: int

    def event(self, name: str, after_ns: int = 0) -> Event:
        """The first event of that name from a time on; KeyError when there is none."""
        for event in self.events:
            if event.name == name and event.t_ns >= after_ns:
                return event
        raise KeyError(name)

    def window(self, phase: str) -> tuple[Event, Event]:
        """Start and end of a phase's measured window."""
        bounds = [e for e in self.events if e.name in ("window_start", "window_end") and e.data["phase"] == phase]
        start, end = bounds
        return start, end

    def between(self, start_ns: int, end_ns: int) -> list[Request]:
        """Requests planned within [start, end)."""
        return between(self.requests, start_ns, end_ns)

    def spans_between(self, start_ns: int, end_ns: int) -> list[Span]:
        """The parts of the spans that lie within [start, end)."""
        cut = [
            span._replace(start_ns=max(span.start_ns, start_ns), end_ns=min(span.end_ns, end_ns)) for span in self.spans
        ]
        return [span for span in cut if span.start_ns < span.end_ns]


def read(raw: Path) -> Records:
    """Everything in a run's raw folder; ValueError when a file is not what it should be."""
    requests = sorted(read_requests(raw / "requests.bin"))
    spans, gap_ns = read_spans((raw / "watch.txt").read_text().splitlines())
    return Records(requests, read_events((raw / "events.jsonl").read_text().splitlines()), spans, gap_ns)


def read_events(lines: Sequence[str]) -> list[Event]:
    """events.jsonl."""
    parsed = [json.loads(line) for line in lines if line]
    return [Event(line.pop("t_ns"), line.pop("event"), line) for line in parsed]


def read_spans(lines: Sequence[str]) -> tuple[list[Span], int]:
    """statewatch's lines as spans, and the longest time without a look."""
    changes: list[tuple[int, str, str]] = []
    end_ns = gap_ns = 0
    for line in lines:
        time_ns, kind, *rest = line.split()
        if kind == "state":
            changes.append((int(time_ns), rest[0], "" if rest[1] == "-" else rest[1]))
        elif kind == "end":
            end_ns, gap_ns = int(time_ns), int(rest[1])
    ends = [start for start, _, _ in changes[1:]] + [end_ns]
    return [Span(start, end, state, ops) for (start, state, ops), end in zip(changes, ends, strict=True)], gap_ns
