"""Waiting for an event, never for a time: look often, stop at once when it is there, say what did not come."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

from bench.guest import tasks

POLL_S = 0.01
# A guest without hardware help runs about twenty times slower than a machine, and its host is shared.
PATIENCE_S = 60.0


def until(what, test, within_s=PATIENCE_S):
    """Look until test() is true and return its value. AssertionError names what did not come."""
    deadline = time.monotonic() + within_s
    while True:
        found = test()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {within_s:g} s"
        time.sleep(POLL_S)


def until_stopped(pid):
    """Wait until a process has heard SIGSTOP; its other threads stop with its main one, or at their next look."""
    until(f"{pid} stopped", lambda: tasks.stat(Path(f"/proc/{pid}"))[0] == "T")


def until_gone(pid, within_s=PATIENCE_S):
    """Wait for a process's end, anybody's child; a zombie has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended = select.poll()  # select() takes no descriptor above 1023, and schedulers in this process leave theirs
        ended.register(descriptor, select.POLLIN)
        assert ended.poll(within_s * 1000), f"process {pid}: still there after {within_s:g} s"
    finally:
        os.close(descriptor)
