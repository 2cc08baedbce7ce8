"""The kernel's own trace of sched_switch: every change of a running task, none sampled."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/kernel/tracing")
BUFFER_KB = 16384  # per cpu: some hundred thousand switches
OVERRUN = re.compile(r"^overrun: (\d+)$", re.MULTILINE)


class Trace:
    """Filled when the block ends. lost: events that were overwritten before anybody read them."""

    lost = 0

    @staticmethod
    def write(path: Path) -> None:
        """The trace as text, CLOCK_MONOTONIC to a microsecond."""
        with (ROOT / "trace").open("rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)


@contextmanager
def recording(*events: str) -> Iterator[None]:
    """The kernel's trace holds each of these events in the block, and no other. events: as `sched:sched_switch`."""
    chosen = ROOT / "set_event"
    (ROOT / "tracing_on").write_text("0")
    (ROOT / "trace").write_text("")
    (ROOT / "trace_clock").write_text("mono")
    (ROOT / "buffer_size_kb").write_text(str(BUFFER_KB))
    chosen.write_text(" ".join(events))
    (ROOT / "tracing_on").write_text("1")
    try:
        yield
    finally:
        (ROOT / "tracing_on").write_text("0")
        chosen.write_text("")


def overruns() -> dict[Path, list[int]]:
    """Each cpu's statistics of the trace, and how many of its events were overwritten before anybody read them."""
    stats = ROOT.glob("per_cpu/cpu*/stats")
    return {path: list(map(int, OVERRUN.findall(path.read_text()))) for path in stats}


@contextmanager
def tracing() -> Iterator[Trace]:
    """Trace every switch during the block."""
    trace = Trace()
    with recording("sched:sched_switch"):
        yield trace
    trace.lost = sum(sum(counts) for counts in overruns().values())
