"""The machine's cpus, read anew only when they changed: reading them all, every few seconds, would be dear."""

from __future__ import annotations

from pathlib import Path

from temper.node.small_files import read_bytes
from temper.node.topology import read_machine
from temper.plan.machine import Machine


class Shape:
    """Keeps the last machine that was read below one root."""

    def __init__(self, sys_root: Path = Path("/sys")) -> None:
        self._root = sys_root
        self._key = (b"", b"")
        self._machine: Machine | None = None

    def read(self) -> Machine:
        """As it stands now. Refused when no online cpu is found."""
        key = (
            read_bytes(f"{self._root}/devices/system/cpu/online"),
            read_bytes(f"{self._root}/fs/cgroup/cpuset.cpus.effective"),
        )
        if self._machine is None or key != self._key:
            self._machine, self._key = read_machine(self._root), key
        return self._machine
