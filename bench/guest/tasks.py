"""The guest's threads: who they are, where they may run, and how long they ran."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.guest import stage

PROC = Path("/proc")
PF_KTHREAD = 0x00200000
RUNNABLE = "R"


def of_pod(name: str) -> list[int]:
    """Thread ids in pods/`name`."""
    return [int(tid) for tid in (stage.ROOT / name / "cgroup.threads").read_text().split()]


def command_line(tid: int) -> str:
    """A process's words, or the title that it gave itself; empty when it has gone."""
    with contextlib.suppress(OSError):
        return (PROC / str(tid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def runnable(tids: list[int]) -> list[int]:
    """Those that run or wait for a cpu just now."""
    found = []
    for tid in tids:
        with contextlib.suppress(OSError):
            if stat(PROC / str(tid) / "task" / str(tid))[0] == RUNNABLE:
                found.append(tid)
    return found


def ran_ns(tids: list[int]) -> dict[int, int]:
    """Nanoseconds of cpu that each has had; those that have gone are left out."""
    found = {}
    for tid in tids:
        with contextlib.suppress(OSError):
            found[tid] = int((PROC / str(tid) / "task" / str(tid) / "schedstat").read_text().split()[0])
    return found


def everybody() -> dict[int, dict[str, Any]]:
    """Every thread now: `cgroup` (path below the root), `kernel`, `policy` (sched.h's number), `allowed` (cpu ids)."""
    found = {}
    for place in _threads():
        tid = int(place.name)
        with contextlib.suppress(OSError):
            fields = stat(place)
            found[tid] = {
                "cgroup": (place / "cgroup").read_text().strip().rpartition(":")[2],
                "kernel": bool(int(fields[6]) & PF_KTHREAD),
                "policy": int(fields[38]),
                "allowed": sorted(os.sched_getaffinity(tid)),
            }
    return found


def _threads() -> Iterator[Path]:
    for process in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield from (process / "task").iterdir()


def stat(place: Path) -> list[str]:
    """proc_pid_stat(5) from the third field on: the second, a name in brackets, may hold anything."""
    return (place / "stat").read_text().rpartition(")")[2].split()
