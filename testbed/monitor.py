"""QEMU's monitor: commands in its QMP protocol."""

from __future__ import annotations

import json
import socket

from testbed.progress import TestbedError

ANSWER_S = 60.0  # QEMU's start is waited for too


class Monitor:
    """The conversation on a connected socket; it waits for QEMU to be up. TestbedError or OSError when it fails."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(ANSWER_S)
        self._lines = connection.makefile("rw")
        self._read()  # the greeting
        self._ask({"execute": "qmp_capabilities"})

    def human(self, command: str) -> str:
        """A command of the monitor for people; returns what it prints."""
        return str(self._ask({"execute": "human-monitor-command", "arguments": {"command-line": command}}))

    def _ask(self, command: dict[str, object]) -> object:
        self._lines.write(json.dumps(command) + "\n")
        self._lines.flush()
        while "event" in (answer := self._read()):
            pass
        if "return" not in answer:
            raise TestbedError(f"QEMU refused {command}: {answer}")
        return answer["return"]

    def _read(self) -> dict[str, object]:
        line = self._lines.readline()
        if not line:
            raise TestbedError("QEMU has ended")
        answer: dict[str, object] = json.loads(line)
        return answer
