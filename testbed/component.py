"""One server program of the cluster, and what a test does to it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from testbed import children
from testbed.progress import TestbedError, tail

STOP_S = 20.0
ACTIONS = ("start", "stop", "kill", "pause", "resume")


class Component(Protocol):
    """A server program, of this process or of another one."""

    def start(self) -> None:
        """Start it again with its old data; it is not ready yet."""

    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait until it has."""

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""

    def pause(self) -> None:
        """SIGSTOP: its connections stay open and nobody answers."""

    def resume(self) -> None:
        """SIGCONT."""


class Server:
    """A program that this process has started; the kernel kills it when this process dies."""

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        self.argv = list(argv)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The program's name."""
        return Path(self.argv[0]).name

    def start(self) -> None:
        """Start it; its output is added to its log."""
        if self.process and self.process.poll() is None:
            raise TestbedError(f"{self.name} is running already")
        with self.log.open("ab") as log:
            self.process = children.start(self.argv, log.fileno())

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        process = self._signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            children.stop(process)

    def kill(self) -> None:
        """SIGKILL; nothing to do when it is gone already."""
        if self.process:
            children.stop(self.process)

    def pause(self) -> None:
        """SIGSTOP, and wait until it has stopped."""
        process = self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def check(self) -> None:
        """Raise TestbedError when it has ended by itself."""
        if self.process and (status := self.process.poll()) is not None:
            raise TestbedError(f"{self.name} has ended with status {status}:\n{tail(self.log.read_text('utf-8'))}")

    def _signal(self, number: signal.Signals) -> subprocess.Popen[bytes]:
        if not self.process or self.process.poll() is not None:
            raise TestbedError(f"{self.name} is not running")
        self.process.send_signal(number)
        return self.process
