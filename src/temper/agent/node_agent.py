"""`temper agent`: the parts of a node's agent, put together and run as tasks of one loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from temper.agent.annotations import Reporter
from temper.agent.asides import keep_going, serve_http
from temper.agent.events import set_level
from temper.agent.facts import Api, Facts, copy_of
from temper.agent.lint import Linter
from temper.agent.live_settings import LiveSettings
from temper.agent.loop import Agent
from temper.agent.measurements import Measurements
from temper.agent.node_source import NodeSource
from temper.agent.source import Options
from temper.agent.status import Status
from temper.kube.client import connect
from temper.kube.reviews import may_get
from temper.node.cgroup_paths import CgroupPaths
from temper.node.run_dir import RunDir
from temper.settings.agent import AgentSettings, Mode

# HTTP's libraries are imported once it is clear what this node does, so that the attach doesn't wait for them; or after
# this long, because whoever asks an agent that waits (for the API server) should hear that.
SETTLE_S = 5.0


def options(settings: AgentSettings, run_dir: RunDir) -> Options:
    """The loop's part of the settings. A refused machine is not this process's end: the node object says so."""
    return Options(
        deadman_ms=settings.safety.deadman_ms,
        quiet_s=settings.commit.quiet_ms / 1e3,
        longest_wait_s=settings.commit.longest_wait_ms / 1e3,
        resync_s=settings.commit.resync_s,
        most_losses=settings.safety.max_losses,
        most_ejections=settings.safety.max_ejections,
        window_s=settings.safety.window_s,
        follow_demand=settings.sizing.follow_demand,
        enforce=settings.mode is Mode.ENFORCE,
        stay_refused=True,
        cgroup_root=Path(settings.cgroups.root),
        run_root=run_dir.root,
    )


class NodeAgent:
    """Source, loop, reporter, linter and HTTP of one node. settings(): those in force now."""

    def __init__(self, settings: LiveSettings, run_dir: RunDir | None = None) -> None:
        self._settings = settings
        self._client = connect(settings().kubernetes.kubeconfig)
        self._settled = asyncio.Event()
        self.measured = Measurements()
        self._cgroup_paths = CgroupPaths(settings().cgroups.root)
        self._run_dir = run_dir or RunDir()
        self.source = NodeSource(settings, self._client, self._run_dir)
        self.reporter = Reporter(self._client, settings, self._present)
        self.loop = Agent(self.source, self._options(), on_status=self._hear, on_hangup=settings.reload)
        set_level(settings().log.level)
        settings.on_change = self._adopt
        self.linter = Linter(
            settings, self.loop.status, views=lambda: self.source.views, mismatched=lambda: self.source.mismatched
        )

    def _adopt(self) -> None:
        """Go on with the settings as they are now."""
        set_level(self._settings().log.level)
        self.loop.adopt(self._options())

    def _options(self) -> Options:
        return options(self._settings(), self._run_dir)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. A part that breaks ends all the others, and the node is on stock."""
        try:
            async with asyncio.TaskGroup() as group:
                others = [
                    group.create_task(self.source.follow(), name="follow"),
                    group.create_task(keep_going("annotate", self.reporter.run), name="annotate"),
                    group.create_task(keep_going("lint", self.linter.run), name="lint"),
                    group.create_task(keep_going("http", self._serve), name="http"),
                ]
                await self.loop.run()
                for task in others:
                    task.cancel()
        finally:
            await self.reporter.last_word()
            await self._client.close()

    def facts(self) -> Facts:
        """This moment, for /metrics and /observe."""
        settings = self._settings()
        return Facts(
            node=settings.node_name,
            mode=settings.mode.value,
            cgroup_root=settings.cgroups.root,
            cgroup_paths=self._cgroup_paths,
            lint_enabled=settings.lint.enabled,
            lint_interval_s=settings.lint.interval_s,
            status=copy_of(self.loop.status),
            views=self.source.views,
            api=self._api(),
            measured=self.measured,
            linter=self.linter,
        )

    def _hear(self, status: Status) -> None:
        self.measured.hear(status)
        if self.measured.settled:
            self._settled.set()
        self.reporter.publish(status, self.source.views)

    async def _serve(self) -> None:
        http = self._settings().http
        if http.address is None:
            await asyncio.Event().wait()  # off: nothing to do, until cancelled
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._settled.wait()
        review = functools.partial(may_get, self._client) if http.observe_token_review else None
        await serve_http(http.address, self.facts, review)

    def _api(self) -> Api:
        node, pods, reporter = self.source.node, self.source.pods, self.reporter
        return Api(
            requests=node.nr_requests + pods.nr_requests,
            patches=reporter.nr_writes,
            failures=node.nr_failures + pods.nr_failures + reporter.nr_failures,
            trouble={"node": node.trouble, "pods": pods.trouble, "annotations": reporter.trouble},
        )

    def _present(self) -> Mapping[str, Any]:
        """The node object's annotations, as last heard."""
        for found in self.source.node.objects.values():
            return dict(found)
        return {}
