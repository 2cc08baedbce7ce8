"""The machine as the plan sees it: online cpus and what they share. Read by `temper.node.topology`."""

from __future__ import annotations

import msgspec


class Cpu(msgspec.Struct, frozen=True):
    """One online logical cpu. Ids of core, llc and node are unique across the whole machine."""

    id: int
    core: int
    llc: int
    node: int


class Machine(msgspec.Struct, frozen=True):
    """All online cpus, ascending by id; never empty."""

    cpus: tuple[Cpu, ...]

    def cores(self) -> dict[int, tuple[int, ...]]:
        """Core id -> its cpu ids, both ascending."""
        cores: dict[int, list[int]] = {}
        for cpu in self.cpus:
            cores.setdefault(cpu.core, []).append(cpu.id)
        return {core: tuple(ids) for core, ids in sorted(cores.items())}
