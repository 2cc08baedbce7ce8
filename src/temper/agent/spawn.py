"""Starts the engine's process. Imports next to nothing: it is the first thing that `temper run` does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from temper.wire.pair import make_pair


@dataclass(frozen=True, slots=True)
class Spawned:
    """An engine's process and the agent's end of its socket."""

    process: subprocess.Popen[bytes]
    end: socket.socket


def spawn_engine(*, deadman_ms: int) -> Spawned:
    """Start one; it gets ready by itself and then greets. It dies with the calling thread (the main one)."""
    end, theirs = make_pair()
    command = [sys.executable, "-m", "temper", "engine", str(theirs.fileno()), str(os.getpid()), str(deadman_ms)]
    with theirs:
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    end.setblocking(False)
    return Spawned(process, end)
