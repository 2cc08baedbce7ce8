"""What a scenario finds in the guest: its folders, its order, and a way to bring files home."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.scenario import Order


@dataclass(frozen=True, slots=True)
class House:
    """share: the folder shared with the host. work: the guest's own, in memory: a file there costs no host's time."""

    share: Path
    work: Path
    order: Order

    @property
    def bin(self) -> Path:
        """The load programs."""
        return self.share / "bin"

    @property
    def packages(self) -> Path:
        """The scenario's Debian packages, copied to memory."""
        return self.work / "packages"

    @property
    def with_libraries(self) -> list[str]:
        """The words before a command that needs the libraries of those packages."""
        return ["env", f"LD_LIBRARY_PATH={self.packages / 'usr/lib/x86_64-linux-gnu'}"]

    @property
    def workloads(self) -> Path:
        """The agent's workloads file. Its folder holds nothing else: the agent watches it."""
        return self.work / "workloads/workloads.toml"

    def bring(self, path: Path, arm: str, point: str) -> str:
        """Copy a file of `work` to the host, whole when this returns; its name there."""
        name = f"{arm}-{point}-{path.name}"
        shutil.copyfile(path, self.share / "raw" / name)
        with (self.share / "raw" / name).open("rb") as file:
            os.fsync(file.fileno())
        return name
