"""Child processes that can't outlive `run`, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Protocol

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class HasFileno(Protocol):
    """A socket or a file."""

    def fileno(self) -> int:
        """The descriptor's number."""


def start(argv: Sequence[str], log: int, *, keep: Sequence[HasFileno | int] = ()) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own (a Ctrl-C is `run`'s to handle), output to `log`.

    keep: descriptors that the program inherits. The kernel kills it when this process dies.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    fds = [one if isinstance(one, int) else one.fileno() for one in keep]
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=fds,
        preexec_fn=die_with_parent,  # noqa: PLW1509 (no threads here)
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill it now and wait until it is gone."""
    process.kill()
    process.wait()
