"""A guest for a measurement: its machine, how it is started, and its words as they come."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Shape:
    """A guest's machine under the virtual clock.

    cpus: that its kernel uses. declared: that its machine has: twice as many even the turns that QEMU gives the cpus
    out (bench/load/turns.c); as many, where turns do not matter. topology: sockets, cores, threads of the machine, for
    which `declared` is then their product.
    """

    cpus: int
    declared: int
    topology: tuple[int, int, int] | None = None

    @classmethod
    def even(cls, cpus: int) -> Shape:
        """With cpus of nearly even speed."""
        return cls(cpus, 2 * cpus)


def command(shape: Shape, share: Path, *, kernel: str | None, timeout_s: float) -> list[str]:
    """The words of `testbed/run` before the command. timeout_s: of wall time."""
    words = [str(REPO / "testbed/run"), "--clock", "virtual"]
    if shape.topology:
        words += ["--topology", ",".join(map(str, shape.topology))]
    else:
        words += ["--cpus", str(shape.declared)]
    words += ["--timeout", f"{timeout_s:g}"]
    words += ["--append", f"nr_cpus={shape.cpus}"] if shape.declared != shape.cpus else []
    words += ["--share", str(share)]
    return words + (["--kernel", kernel] if kernel else [])


def follow(words: list[str], module: str, hear: Callable[[str, float], None]) -> int:
    """Run a Python module in the guest, with `/share` as its argument; its exit status.

    hear: called with each line of its stdout and the seconds of wall time since the start. `turns` must be built.
    """
    started = time.monotonic()
    inside = f"/share/bin/turns && exec python3 -m {module} /share"
    with subprocess.Popen([*words, "--", "sh", "-c", inside], stdout=subprocess.PIPE, text=True) as guest:
        assert guest.stdout is not None
        for line in guest.stdout:
            hear(line, time.monotonic() - started)
    return guest.returncode
