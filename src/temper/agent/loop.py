"""The agent: one loop, a source of plans in, the engine out.

One pass: hear the switches and the engine, re-plan if something changed, beat. The beat comes last and from
this loop, so a loop that stops, or a pass that can't finish, stops the heartbeat and the scheduler leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from temper.agent.breaker import Breaker
from temper.agent.events import event, warning
from temper.agent.events import load as load_log
from temper.agent.kept_losses import KeptLosses
from temper.agent.source import Options, Source
from temper.agent.spawn import Spawned
from temper.agent.states import State
from temper.agent.status import Publisher, Status
from temper.agent.supervisor import Supervisor
from temper.errors import InvalidInput, Refused, TemperError
from temper.node.run_dir import RunDir
from temper.plan.demand import NO_DEMAND
from temper.plan.layers import Plan

if TYPE_CHECKING:
    from temper.agent.demand import Follower

BEAT_S = 1.0
STATS_S = 5.0
CALLED_OFF_S = 0.05  # how often an attach under way looks whether it is still wanted
WATCH_AGAIN_S = 60.0


class Agent:
    """One loop over one supervisor.

    spawned: an engine started before this was imported.
    on_hangup: what SIGHUP does instead of planning anew.
    on_status: called after each pass with the status, when it may have changed. Must not raise, nor wait.
    """

    def __init__(
        self,
        source: Source,
        options: Options,
        spawned: Spawned | None = None,
        on_status: Callable[[Status], None] = lambda _: None,
        on_hangup: Callable[[], None] | None = None,
    ) -> None:
        self.status = Status(agent_pid=os.getpid())
        self._source = source
        self._options = options
        self._run_dir = RunDir(options.run_root)
        self._publisher = Publisher(self._run_dir)
        self._on_status = on_status
        self._on_hangup = on_hangup
        self._wake = asyncio.Event()
        self._breaker = Breaker()
        self._follower: Follower | None = None  # made after the attach, which its import would hold up
        kept = KeptLosses(self._run_dir.losses)
        self._supervisor = Supervisor(
            self.status, self._breaker, kept, deadman_ms=options.deadman_ms, on_news=self._wake.set, ready=spawned
        )
        self._set_breaker()
        source.bind(self.changed, self._wake.set)
        self._stop = False
        self._changed_ns = 0  # when the oldest change not yet planned was seen; 0: none
        self._last_good: Plan | None = None
        self._started = False  # the first pass is over
        self._resync_at_s = time.monotonic() + options.resync_s

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. On the way out the scheduler is detached, whatever happened.

        Refused when this machine can't be attached at the start and `stay_refused` is off: nothing would change that.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._request_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup or self.changed)
        watcher: asyncio.Task[None] | None = None
        why = "agent stopped"
        try:
            await self._pass()
            self._started = True
            self._publish()
            watcher = asyncio.create_task(self._watch(), name="watch")
            await self._loop(watcher)
        except Exception as error:
            why = str(error) if isinstance(error, TemperError) else f"{type(error).__name__}: {error}"
            raise
        finally:
            if watcher is not None:
                watcher.cancel()
            await self._supervisor.leave(why)
            if self.status.state == State.SAFE_MODE:
                self.status.state, self.status.reason = State.DETACHED, why
            self._publish()
            load_log()

    def adopt(self, options: Options) -> None:
        """Go on with other options, in as far as they matter to a running loop, and plan anew."""
        self._options = options
        self._set_breaker()
        if not options.follow_demand:
            self._forget()
        self.changed()

    def _set_breaker(self) -> None:
        given = self._options
        self._breaker.most_losses, self._breaker.most_ejections = given.most_losses, given.most_ejections
        self._breaker.window_s = given.window_s

    def changed(self) -> None:
        """Something that the plan is made of may have changed."""
        self._changed_ns = self._changed_ns or time.monotonic_ns()
        self._wake.set()

    def _request_stop(self) -> None:
        self._stop = True
        self._wake.set()

    def _publish(self) -> None:
        self.status.api_trouble = self._source.trouble()
        self._publisher.publish(self.status)
        self._on_status(self.status)

    async def _watch(self) -> None:
        """Log and watch for ever. The log's library is imported in a thread, for the loop must beat meanwhile."""
        await asyncio.to_thread(load_log)
        gc.freeze()  # what is there by now stays: a look through it for garbage would hold up a commit
        while True:
            try:
                await self._source.watch()
            except OSError as error:  # no inotify instance left, say: the resync finds changes too, later
                warning("watch_failed", reason=error.strerror or str(error), again_s=WATCH_AGAIN_S)
            await asyncio.sleep(WATCH_AGAIN_S)

    async def _loop(self, watcher: asyncio.Task[None]) -> None:
        next_stats_s = time.monotonic() + STATS_S
        while not self._stop:
            await self._sleep(BEAT_S)
            if watcher.done():
                watcher.result()  # a watcher never ends by itself: raise what ended it
            if time.monotonic() >= self._resync_at_s:
                self._resync_at_s = time.monotonic() + self._options.resync_s
                self.changed()
            await self._pass()
            if time.monotonic() >= next_stats_s:
                next_stats_s = time.monotonic() + STATS_S
                await self._supervisor.read_stats()
                self._follow()
            self._publish()

    def _follow(self) -> None:
        """A reading of the counters may say that a layer should own another number of cpus: then plan anew."""
        plan = self.status.plan
        if not self._options.follow_demand or plan is None or not self._supervisor.attached:
            self._forget()
            return
        if self._follower is None:
            from temper.agent.demand import Follower

            self._follower = Follower()
        if self._follower.hear(self.status.stats, time.monotonic_ns(), plan):
            self.changed()
        self.status.nr_resizes, self.status.used_millicpu = self._follower.nr_resizes, self._follower.used_millicpu

    def _forget(self) -> None:
        """What was measured holds no more; sizes are by request until there is something new."""
        self.status.used_millicpu = {}
        if self._follower is not None:
            self._follower.forget()

    async def _sleep(self, longest_s: float) -> None:
        """Until woken; then until changes have been quiet for a moment. A switch that was moved doesn't wait."""
        beat_at_s = time.monotonic() + BEAT_S / 2
        try:
            async with asyncio.timeout(longest_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
        deadline = time.monotonic() + self._options.longest_wait_s
        while self._must_wait(deadline):
            if time.monotonic() >= beat_at_s:  # changes may go on for longer than the dead-man's switch waits
                beat_at_s = time.monotonic() + BEAT_S / 2
                await self._supervisor.beat()
            try:
                async with asyncio.timeout(self._options.quiet_s):
                    await self._wake.wait()
                self._wake.clear()
            except TimeoutError:
                return

    def _must_wait(self, deadline: float) -> bool:
        return (
            bool(self._changed_ns)
            and not self._stop
            and time.monotonic() < deadline
            and self._safe_mode_reason() is None
        )

    def _safe_mode_reason(self) -> str | None:
        """The local switch comes first: it works whatever else is broken."""
        return self._run_dir.safe_mode_reason() or self._source.safe_mode_reason()

    async def _pass(self) -> None:
        """One look at everything. An error in what a person wrote keeps the last good plan in force."""
        reason = self._safe_mode_reason()
        if reason is not None:
            if self.status.state != State.SAFE_MODE or self.status.reason != reason or self._supervisor.attached:
                await self._stand_down(reason)
            self._refresh()
            return
        await self._supervisor.check()
        if waiting := self._source.not_ready():
            if not self._supervisor.attached and not self._supervisor.resigned:
                self._wait_for(waiting)
        else:
            await self._decide()
        await self._supervisor.beat()

    async def _stand_down(self, reason: str) -> None:
        # The source's stopwatch says nothing of the local switch: it may have run for days.
        local = self._run_dir.safe_mode_reason() is not None
        await self._supervisor.stand_down(reason, heard_ns=0 if local else self._source.switch_heard_ns())
        if self._options.enforce:
            self._publish()  # a process more to start may take its time
            self._supervisor.keep_spare()

    def _wait_for(self, what: str) -> None:
        """Stay on stock, with an engine that gets ready meanwhile."""
        self.status.state, self.status.reason = State.STARTING, what
        if self._options.enforce and self._supervisor.wants_engine:
            self._supervisor.spawn()

    async def _decide(self) -> None:
        try:
            if self._options.enforce:
                await self._replan()
            else:
                self._observe()
        except TemperError as error:
            self._changed_ns = 0  # until it changes again, there is nothing new to read
            self._bear(error)

    def _bear(self, error: TemperError) -> None:
        """No new plan, or none at all. At the start that is for the caller to hear, unless we are to stay."""
        if self._last_good is not None:
            self._note(error)
        elif self._options.stay_refused or self._started:
            self.status.state, self.status.reason = State.UNSUPPORTED, str(error)
        else:
            raise error

    async def _replan(self) -> None:
        if self._supervisor.wants_engine:
            self.status.state, self.status.reason = State.STARTING, ""
            self._supervisor.spawn()
            await self._attach()
        elif self._supervisor.attached and self._changed_ns:
            await self._commit()
        elif not self._supervisor.attached:
            self._refresh()

    def _refresh(self) -> None:
        """Nothing is attached, but what is published of the source should still be true."""
        if self._changed_ns:
            self._changed_ns = 0  # an attach plans anew in any case
            with contextlib.suppress(TemperError):
                self._source.refresh()

    async def _attach(self) -> None:
        started_ns = time.monotonic_ns()
        self._forget()  # the engine to come counts from 0
        plan = self._plan_or_last_good()
        self.status.timings_ns["plan"] = time.monotonic_ns() - started_ns
        self._changed_ns = 0
        if not await self._attach_while_wanted(plan):
            return
        if self._supervisor.refused is not None and not self._options.stay_refused:
            raise self._supervisor.refused
        self._last_good = plan
        # Said to the scheduler and the world before the log, whose library takes longer to import than all of this.
        await self._supervisor.beat()
        self._publish()
        if self._supervisor.attached:
            event("attached", engine_pid=self.status.engine_pid, memory_locked=self.status.memory_locked)

    async def _attach_while_wanted(self, plan: Plan) -> bool:
        """Attach, unless a switch or a signal calls it off (False); a switch drops the engine here and now.

        What is published meanwhile says that this loop lives, however long a machine takes to load the scheduler.
        """
        attaching = asyncio.create_task(self._supervisor.attach(plan), name="attach")
        publish_at_s = time.monotonic() + BEAT_S
        try:
            while not (await asyncio.wait({attaching}, timeout=CALLED_OFF_S))[0]:
                if self._stop:
                    return False  # run() stands down on its way out
                reason = self._safe_mode_reason()
                if reason is not None:
                    attaching.cancel()
                    await asyncio.wait({attaching})
                    await self._stand_down(reason)
                    return False
                if time.monotonic() >= publish_at_s:
                    publish_at_s = time.monotonic() + BEAT_S
                    self._publish()
            attaching.result()
            return True
        finally:
            attaching.cancel()

    def _plan_or_last_good(self) -> Plan:
        """The plan as of now; the one last in force, with a note, when there can be none."""
        try:
            plan = self._source.make_plan()
        except (InvalidInput, Refused) as error:
            if self._last_good is None:
                raise
            self._note(error)
            return self._last_good
        self.status.notes = [str(finding) for finding in plan.findings]
        return plan

    async def _commit(self) -> None:
        seen_ns, self._changed_ns = self._changed_ns, 0
        plan = self._source.make_plan(self._follower.demand if self._follower else NO_DEMAND)
        before = self.status.nr_commits
        self.status.notes = [str(finding) for finding in plan.findings]  # a rejection takes their place
        await self._supervisor.commit(plan)
        if self.status.nr_commits != before:
            self.status.last_commit_ns["from_change_seen"] = time.monotonic_ns() - seen_ns
            self._last_good = plan

    def _observe(self) -> None:
        """Shadow mode: what would be in force."""
        if self.status.state == State.OBSERVING and not self._changed_ns:
            return
        self._changed_ns = 0
        self.status.plan = self._last_good = self._plan_or_last_good()
        self.status.state, self.status.reason = State.OBSERVING, "mode observe: nothing is attached"

    def _note(self, error: TemperError) -> None:
        findings = error.findings if isinstance(error, InvalidInput) else (error,)
        self.status.notes = [f"kept the last good plan: {finding}" for finding in findings]
