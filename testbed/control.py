"""How a command inside `testbed/cluster` reaches the server programs: it is not their parent, and cannot restart them.

A socket in the cluster's folder takes one line, `<component> <action>`, and answers `ok` or what went wrong.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed.component import ACTIONS, STOP_S, Component
from testbed.progress import TestbedError

DONE = "ok"


def listen(path: Path) -> socket.socket:
    """The launcher's end."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


def answer(listening: socket.socket, components: Mapping[str, Component]) -> None:
    """Take one connection and do what it asks for."""
    connection, _ = listening.accept()
    with connection, connection.makefile("rw") as lines:
        connection.settimeout(5.0)
        try:
            line = lines.readline()
            lines.write(perform(line, components) + "\n")
            lines.flush()
        except OSError:
            return  # whoever asked has gone


def perform(line: str, components: Mapping[str, Component]) -> str:
    """Do what a line asks for; returns the answer."""
    name, _, action = line.strip().partition(" ")
    component = components.get(name)
    if component is None or action not in ACTIONS:
        return f"{line.strip()!r}: one of {', '.join(components)} and one of {', '.join(ACTIONS)} are wanted"
    try:
        getattr(component, action)()
    except TestbedError as error:
        return " ".join(str(error).splitlines())
    return DONE


@dataclass(frozen=True, slots=True)
class Remote:
    """A component of the cluster that `testbed/cluster` runs around this process."""

    path: Path
    name: str

    def start(self) -> None:
        """See Component."""
        self._ask("start")

    def stop(self) -> None:
        """See Component."""
        self._ask("stop")

    def kill(self) -> None:
        """See Component."""
        self._ask("kill")

    def pause(self) -> None:
        """See Component."""
        self._ask("pause")

    def resume(self) -> None:
        """See Component."""
        self._ask("resume")

    def _ask(self, action: str) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2 * STOP_S)
            connection.connect(str(self.path))
            with connection.makefile("rw") as lines:
                lines.write(f"{self.name} {action}\n")
                lines.flush()
                told = lines.readline().strip()
        if told != DONE:
            raise TestbedError(f"{self.name} {action}: {told or 'no answer'}")
