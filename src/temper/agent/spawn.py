"""Starts the engine's process. Imports next to nothing: it is the first thing that `temper run` does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from temper.node.sched_ext import read_hotplug_seq
from temper.wire.pair import make_pair


@dataclass(frozen=True, slots=True)
class Spawned:
    """An engine's process and the agent's end of its socket."""

    process: subprocess.Popen[bytes]
    end: socket.socket


def spawn_engine(*, deadman_ms: int) -> Spawned:
    """Start one; it loads the scheduler by itself and then greets. It dies with the calling thread (the main one).

    The cpus that a plan for it is made of must be read after this: the hotplug count is taken here.
    """
    end, theirs = make_pair()
    numbers = (theirs.fileno(), os.getpid(), deadman_ms, read_hotplug_seq())
    command = [sys.executable, "-m", "temper", "engine", *map(str, numbers)]
    with theirs:
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    end.setblocking(False)
    return Spawned(process, end)
