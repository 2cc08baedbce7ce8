"""The engine's priority when a busy machine leaves it no cpu to load the scheduler with.

A nice level counts inside one cgroup alone. Among pods that keep every cpu busy the stock scheduler gave the engine, at
the lowest nice level there is, a few hundredths of a cpu, and once in a dozen times it had not loaded within the minute
that it may take (docs/failure-modes/hotplug.md). So who takes too long goes before every ordinary task, until its
scheduler is in; the kernel's own part of an attach is real-time from the start. Not so at once: it takes a cpu from
what it is to relieve, whose slowest requests took twelve times as long (docs/demo.md).
"""

from __future__ import annotations

import contextlib
import os

LOWEST = os.sched_param(1)  # real-time, below whatever else is


def go_first(pid: int) -> bool:
    """Another process's one thread. False, and nothing has changed, where that is not permitted (CAP_SYS_NICE)."""
    with contextlib.suppress(PermissionError, ProcessLookupError):  # the latter: it has gone
        os.sched_setscheduler(pid, os.SCHED_RR, LOWEST)
        return True
    return False


def step_back() -> None:
    """The calling thread has its nice level again, and no more."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
