"""What a process costs: its cpu time and its memory, from /proc."""

from __future__ import annotations

import os
from typing import NamedTuple

from temper.node.small_files import read_bytes

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")


class Cost(NamedTuple):
    """cpu_s: of all its threads since it started; resident_bytes: memory it holds now."""

    cpu_s: float
    resident_bytes: int


def read_cost(pid: int, proc_root: str = "/proc") -> Cost | None:
    """Of one process; None when it is gone."""
    # The name in field 2 may hold anything, so fields are counted from its last parenthesis: utime, stime, rss.
    fields = read_bytes(f"{proc_root}/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 22:
        return None
    return Cost((int(fields[11]) + int(fields[12])) / _TICKS_PER_S, int(fields[21]) * _PAGE)
