"""Starts the engine's process. Imports next to nothing: it is the first thing that `temper run` does."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

from temper.node.run_dir import RunDir
from temper.node.sched_ext import read_hotplug_seq
from temper.wire.pair import make_pair, send_start

NICE = -20
DISCARD_S = 0.5


class Spawned:
    """An engine's process and the agent's end of its socket. loads: it was told to load the scheduler.

    Until then it waits, with its modules in memory: an interpreter's start saved.
    """

    __slots__ = ("end", "loads", "process")

    def __init__(self, process: subprocess.Popen[bytes], end: socket.socket) -> None:
        self.process, self.end, self.loads = process, end, False

    def start(self) -> None:
        """Let it load the scheduler, if it does not yet, and greet. OSError when it is gone.

        The cpus that a plan for it is made of must be read after this: the hotplug count is taken here.
        """
        if not self.loads:
            send_start(self.end, read_hotplug_seq())
            self.loads = True

    @property
    def ended(self) -> bool:
        """Is its process gone?"""
        return self.process.poll() is not None

    def discard(self) -> None:
        """End one that nobody needs. It has attached nothing, so one that can't be killed yet is not waited for."""
        self.end.close()
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(DISCARD_S)


def ready_to_spawn() -> bool:
    """Would an engine be of use? Not without root, nor in safe mode, nor beside another agent.

    Raises this process's priority on the way (the engine inherits it): attaching must not wait behind what it is to
    relieve. At rest both need next to nothing.
    """
    run_dir = RunDir()
    if os.geteuid() != 0 or run_dir.agent_alive() or run_dir.safe_mode_reason() is not None:
        return False
    if run_dir.losses.exists():  # perhaps too many of them
        return False
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    return True


def spawn_engine() -> Spawned:
    """Start one, which waits for its `start()`. It dies with the calling thread (the main one)."""
    end, theirs = make_pair()
    numbers = (theirs.fileno(), os.getpid())
    # -P: a module of the working folder is nobody's to run as root.
    command = [sys.executable, "-P", "-m", "temper", "engine", *map(str, numbers)]
    with theirs:
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    end.setblocking(False)
    return Spawned(process, end)
