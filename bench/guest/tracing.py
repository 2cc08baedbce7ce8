"""The kernel's own trace of sched_switch: every change of a running task, none sampled."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/kernel/tracing")
SWITCH = ROOT / "events/sched/sched_switch/enable"
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
def tracing() -> Iterator[Trace]:
    """Trace during the block."""
    (ROOT / "tracing_on").write_text("0")
    (ROOT / "trace").write_text("")
    (ROOT / "trace_clock").write_text("mono")
    (ROOT / "buffer_size_kb").write_text(str(BUFFER_KB))
    SWITCH.write_text("1")
    trace = Trace()
    (ROOT / "tracing_on").write_text("1")
    try:
        yield trace
    finally:
        (ROOT / "tracing_on").write_text("0")
        SWITCH.write_text("0")
    for stats in ROOT.glob("per_cpu/cpu*/stats"):
        trace.lost += sum(map(int, OVERRUN.findall(stats.read_text())))
