"""`temper run`: the agent without Kubernetes. A workloads file in, one loop, the engine out.

One pass: hear the switch and the engine, re-plan if something changed, beat. The beat comes last and from
this loop, so a loop that stops, or a pass that can't finish, stops the heartbeat and the scheduler leaves.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from temper.agent.events import event
from temper.agent.events import load as load_log
from temper.agent.spawn import Spawned
from temper.agent.states import State
from temper.agent.status import Publisher, Status
from temper.agent.supervisor import Supervisor
from temper.errors import InvalidInput, Refused, TemperError
from temper.node.cgroups import DEFAULT_ROOT, Cgroups
from temper.node.run_dir import RunDir
from temper.node.snapshot import snapshot
from temper.node.topology import read_machine
from temper.plan.layers import Plan
from temper.plan.planner import make_plan
from temper.settings.workloads import WorkloadsFile, load

BEAT_S = 1.0
STATS_S = 5.0
# Changes come in bursts (an editor's rename, a pod's containers): wait until it is quiet, but not for ever.
QUIET_S = 0.010
LONGEST_WAIT_S = 0.100
# Without any event the cgroup tree is looked at this often: inotify can drop events when its queue is full.
RESYNC_S = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """What `temper run` was told. deadman_ms: no beat for this long and the scheduler leaves by itself."""

    workloads: Path
    deadman_ms: int = 10_000
    cgroup_root: Path = DEFAULT_ROOT
    run_root: Path = field(default_factory=lambda: RunDir().root)


class Agent:
    """One loop over one supervisor."""

    def __init__(self, options: Options, spawned: Spawned | None = None) -> None:
        self._options = options
        self._run_dir = RunDir(options.run_root)
        self._status = Status(agent_pid=os.getpid())
        self._publisher = Publisher(self._run_dir)
        self._wake = asyncio.Event()
        self._supervisor = Supervisor(self._status, deadman_ms=options.deadman_ms, on_news=self._wake.set)
        self._stop = False
        self._changed_ns = 0  # when the oldest change not yet planned was seen; 0: none
        self._file: WorkloadsFile = load(options.workloads)
        self._spawned = spawned  # an engine started before this was imported
        self._last_good: Plan | None = None
        self._resync_at_s = time.monotonic() + RESYNC_S

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. On the way out the scheduler is detached, whatever happened.

        Refused when this machine can't be attached at the start: nothing here would change that.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._request_stop)
        loop.add_signal_handler(signal.SIGHUP, self.changed)
        watcher: asyncio.Task[None] | None = None
        why = "agent stopped"
        try:
            await self._first_attach()
            watcher = asyncio.create_task(self._watch(), name="watch")
            await self._loop(watcher)
        except Refused as refused:
            why = str(refused)
            raise
        finally:
            if watcher is not None:
                watcher.cancel()
            await self._supervisor.stand_down(why)
            if self._status.state == State.SAFE_MODE:
                self._status.state, self._status.reason = State.DETACHED, why
            self._publisher.publish(self._status)
            load_log()

    def changed(self) -> None:
        """Something that the plan is made of may have changed."""
        self._changed_ns = self._changed_ns or time.monotonic_ns()
        self._wake.set()

    def _request_stop(self) -> None:
        self._stop = True
        self._wake.set()

    async def _first_attach(self) -> None:
        """The shortest way to an attached scheduler: the engine starts while we plan."""
        if self._run_dir.safe_mode_reason() is None:
            self._supervisor.spawn(self._spawned)
            await self._attach()
            if self._supervisor.refused is not None:
                raise self._supervisor.refused
        self._publisher.publish(self._status)

    async def _attach(self) -> None:
        started_ns = time.monotonic_ns()
        plan = self._plan_to_attach()
        self._status.timings_ns["plan"] = time.monotonic_ns() - started_ns
        self._changed_ns = 0
        await self._supervisor.attach(plan)
        self._last_good = plan
        # Said to the scheduler and the world before the log, whose library takes longer to import than all of this.
        await self._supervisor.beat()
        self._publisher.publish(self._status)
        if self._supervisor.attached:
            event("attached", engine_pid=self._status.engine_pid, memory_locked=self._status.memory_locked)

    def _plan_to_attach(self) -> Plan:
        """The plan as of now; the one last in force, with a note, when there can be none."""
        try:
            plan = self._make_plan()
        except InvalidInput as error:
            if self._last_good is None:
                raise
            self._note(error)
            return self._last_good
        self._status.notes = [str(finding) for finding in plan.findings]
        return plan

    def _make_plan(self) -> Plan:
        cgroups, machine = Cgroups(self._options.cgroup_root), read_machine()
        return make_plan(machine, snapshot(self._file, cgroups, machine))

    async def _watch(self) -> None:
        """Log and watch for ever. What this needs is imported in a thread, for the loop must beat meanwhile."""
        await asyncio.to_thread(load_log)
        watching = await asyncio.to_thread(importlib.import_module, "temper.agent.watching")
        await watching.Watcher(
            workloads=self._options.workloads,
            run_dir=self._run_dir,
            cgroup_root=self._options.cgroup_root,
            rules=lambda: self._file.rules,
            on_change=self.changed,
            on_switch=self._wake.set,
        ).run()

    async def _loop(self, watcher: asyncio.Task[None]) -> None:
        next_stats_s = time.monotonic() + STATS_S
        while not self._stop:
            await self._sleep(BEAT_S)
            if watcher.done():
                watcher.result()  # a watcher never ends by itself: raise what ended it
            if time.monotonic() >= self._resync_at_s:
                self._resync_at_s = time.monotonic() + RESYNC_S
                self.changed()
            await self._pass()
            if time.monotonic() >= next_stats_s:
                next_stats_s = time.monotonic() + STATS_S
                await self._supervisor.read_stats()
            self._publisher.publish(self._status)

    async def _sleep(self, longest_s: float) -> None:
        """Until woken; then until changes have been quiet for a moment."""
        try:
            async with asyncio.timeout(longest_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
        deadline = time.monotonic() + LONGEST_WAIT_S
        while self._changed_ns and time.monotonic() < deadline:
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._wake.wait()
                self._wake.clear()
            except TimeoutError:
                return

    async def _pass(self) -> None:
        """One look at everything. An error in what a person wrote keeps the last good plan in force."""
        reason = self._run_dir.safe_mode_reason()
        if reason is not None:
            if self._status.state != State.SAFE_MODE or self._supervisor.attached:
                await self._supervisor.stand_down(reason)
            return
        await self._supervisor.check()
        try:
            await self._replan()
        except TemperError as error:
            self._changed_ns = 0  # until it changes again, there is nothing new to read
            self._note(error)
        await self._supervisor.beat()

    async def _replan(self) -> None:
        if self._changed_ns:
            self._file = load(self._options.workloads)
        if self._supervisor.wants_engine:
            self._status.state, self._status.reason = State.STARTING, ""
            self._supervisor.spawn()
            self._publisher.publish(self._status)
            await self._attach()
        elif self._supervisor.attached and self._changed_ns:
            seen_ns, self._changed_ns = self._changed_ns, 0
            plan = self._make_plan()
            before = self._status.nr_commits
            self._status.notes = [str(finding) for finding in plan.findings]  # a rejection takes their place
            await self._supervisor.commit(plan)
            if self._status.nr_commits != before:
                self._status.last_commit_ns["from_change_seen"] = time.monotonic_ns() - seen_ns
                self._last_good = plan

    def _note(self, error: TemperError) -> None:
        findings = error.findings if isinstance(error, InvalidInput) else (error,)
        self._status.notes = [f"kept the last good plan: {finding}" for finding in findings]
