"""`temper agent`: the parts of a node's agent, put together and run as tasks of one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from temper.agent.annotations import Reporter
from temper.agent.loop import Agent
from temper.agent.node_source import NodeSource
from temper.agent.source import Options
from temper.kube.client import connect
from temper.node.run_dir import RunDir
from temper.settings.agent import AgentSettings, Mode


def options(settings: AgentSettings) -> Options:
    """The loop's part of the settings. A refused machine is not this process's end: the node object says so."""
    return Options(
        deadman_ms=settings.safety.deadman_ms,
        quiet_s=settings.commit.quiet_ms / 1e3,
        longest_wait_s=settings.commit.longest_wait_ms / 1e3,
        resync_s=settings.commit.resync_s,
        enforce=settings.mode is Mode.ENFORCE,
        stay_refused=True,
        cgroup_root=Path(settings.cgroups.root),
    )


class NodeAgent:
    """Source, loop and reporter of one node. settings(): those in force now."""

    def __init__(self, settings: Callable[[], AgentSettings]) -> None:
        self._client = connect(settings().kubernetes.kubeconfig)
        self.source = NodeSource(settings, self._client, RunDir())
        self.reporter = Reporter(self._client, settings, self._present)
        self.loop = Agent(
            self.source, options(settings()), on_status=lambda status: self.reporter.publish(status, self.source.views)
        )

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. A part that breaks ends all the others, and the node is on stock."""
        try:
            async with asyncio.TaskGroup() as group:
                others = [
                    group.create_task(self.source.follow(), name="follow"),
                    group.create_task(self.reporter.run(), name="annotate"),
                ]
                await self.loop.run()
                for task in others:
                    task.cancel()
        finally:
            await self.reporter.last_word()
            await self._client.close()  # type: ignore[no-untyped-call]

    def _present(self) -> Mapping[str, Any]:
        """The node object's annotations, as last heard."""
        for node in self.source.node.objects.values():
            return node.metadata.annotations or {}
        return {}
