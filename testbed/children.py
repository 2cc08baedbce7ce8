"""Child processes that can't outlive `run`, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
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
    fds = [one if isinstance(one, int) else one.fileno() for one in keep]
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=fds,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 (no threads here)
        start_new_session=True,
    )


def start_command(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command of the user's on this terminal, with this environment; it dies with this process too."""
    return subprocess.Popen(
        argv,
        env=environment,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 (no threads here)
    )


def _die_with_parent() -> Callable[[], None]:
    parent = os.getpid()

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill it now and wait until it is gone."""
    process.kill()
    process.wait()
