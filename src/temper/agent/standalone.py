"""`temper run`: plans from a workloads file, without Kubernetes."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path

from temper.agent.source import Options
from temper.node.cgroups import Cgroups
from temper.node.run_dir import RunDir
from temper.node.snapshot import snapshot
from temper.node.topology import read_machine
from temper.plan.demand import NO_DEMAND, Demands
from temper.plan.layers import Plan
from temper.plan.planner import make_plan
from temper.settings.workloads import WorkloadsFile, load


class FileSource:
    """A `Source`. InvalidInput when the file is wrong at the start."""

    def __init__(self, workloads: Path, options: Options) -> None:
        self._path = workloads
        self._options = options
        self._file: WorkloadsFile = load(workloads)
        self._fresh = True  # not yet planned with
        self._on_change: Callable[[], None] = lambda: None
        self._on_switch: Callable[[], None] = lambda: None

    def not_ready(self) -> str:
        """A file is there or it isn't; nothing to wait for."""
        return ""

    def safe_mode_reason(self) -> str | None:
        """A file switches nothing."""
        return None

    def switch_heard_ns(self) -> int:
        """Never."""
        return 0

    def trouble(self) -> str:
        """A file can always be read, or make_plan says why not."""
        return ""

    def make_plan(self, demand: Demands = NO_DEMAND) -> Plan:
        """From the file as it is now, and the cgroups and cpus that there are now."""
        if not self._fresh:
            self._file = load(self._path)
        self._fresh = False
        cgroups, machine = Cgroups(self._options.cgroup_root), read_machine()
        return make_plan(machine, snapshot(self._file, cgroups, machine), demand, self._file.bandwidths)

    def refresh(self) -> None:
        """Nothing but the plan is published of a file."""

    def bind(self, on_change: Callable[[], None], on_switch: Callable[[], None]) -> None:
        """Whom to tell."""
        self._on_change, self._on_switch = on_change, on_switch

    async def watch(self) -> None:
        """The file, the cgroups that its rules are about, and the local switch."""
        watching = await asyncio.to_thread(importlib.import_module, "temper.agent.watching")
        await watching.Watcher(
            workloads=self._path,
            run_dir=RunDir(self._options.run_root),
            cgroup_root=self._options.cgroup_root,
            rules=lambda: self._file.rules,
            on_change=self._on_change,
            on_switch=self._on_switch,
        ).run()
