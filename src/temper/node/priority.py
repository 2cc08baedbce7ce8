"""Who has the cpu while a scheduler is being attached: the agent and its engine, before every ordinary task.

A nice level counts inside one cgroup alone. Among busy pods the stock scheduler gave the engine, at the lowest nice
level there is, a twentieth of a cpu: 16 to 23 s went by on an emulated machine until what holds the pods apart was
back, where an idle one takes two (docs/failure-modes/hotplug.md). The kernel's own part of an attach is real-time too.

It is a second or so of one cpu, and ends with the attach: the engine steps back as soon as its scheduler is in, the
agent when it has heard so. Where real-time priorities are not permitted the nice level has to do, and where that is not
either (both take CAP_SYS_NICE) an attach takes its turn.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

NICE = -20
LOWEST = os.sched_param(1)  # real-time, below whatever else is


def go_first() -> None:
    """The calling thread, from now on; not the threads and processes that it starts."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, LOWEST)


def step_back() -> None:
    """The calling thread has its nice level again, and no more."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def children_first() -> Iterator[None]:
    """Processes that are started inside go first from their beginning, until they step back themselves."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, LOWEST)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)
