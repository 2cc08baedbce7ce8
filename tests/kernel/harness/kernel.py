"""What the kernel itself says of sched_ext. The tests believe this, not what Temper says of itself."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import NamedTuple

from tests.kernel.harness.waiting import PATIENCE_S, until

ROOT = Path("/sys/kernel/sched_ext")
SYSRQ = Path("/proc/sysrq-trigger")


class Seen(NamedTuple):
    """One look. seq: how many schedulers were attached since boot."""

    state: str
    ops: str
    seq: int


def look():
    """The kernel's state now. The folder `root` is there only while a scheduler is attached."""
    ops = ""
    with contextlib.suppress(OSError):
        ops = (ROOT / "root/ops").read_text().strip()
    return Seen(state(), ops, int((ROOT / "enable_seq").read_text()))


def state():
    """The first word of it: enabled, disabled, or on the way to either."""
    return (ROOT / "state").read_text().strip()


def until_stock(within_s=PATIENCE_S):
    """Wait until the kernel runs its own scheduler; seconds waited."""
    started = time.monotonic()
    until("the kernel says disabled", lambda: state() == "disabled", within_s)
    return time.monotonic() - started


def until_enabled(within_s=PATIENCE_S):
    """Wait until a scheduler is attached."""
    until("the kernel says enabled", lambda: state() == "enabled", within_s)


def eject():
    """SysRq-S: a person at the console takes whichever scheduler is attached out."""
    SYSRQ.write_text("S")


class Watch:
    """Looks at the kernel from another thread all the while: `with Watch() as watch: ...`.

    states: what was seen, in order, repeats left out. looks: how often.
    """

    def __init__(self):
        self.states = []
        self.looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(0.002):
            now = state()
            self.looks += 1
            if self.states[-1:] != [now]:
                self.states.append(now)
