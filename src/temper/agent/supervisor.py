"""Owns the engine: attach, commit, beat, stand down. Decides after a loss: try again, or stay on stock.

Everything that goes wrong with the engine ends here as a state and a reason, and the node is on its stock
scheduler by then: an engine that doesn't answer is killed, and a killed engine is a closed link.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from temper.agent.breaker import Breaker
from temper.agent.engine_client import ANSWER_TIMEOUT_S, START_TIMEOUT_S, EngineClient
from temper.agent.events import event
from temper.agent.kept_losses import KeptLosses, Losses
from temper.agent.spawn import Spawned, spawn_engine
from temper.agent.states import State
from temper.agent.status import Status
from temper.errors import EngineLost, Refused
from temper.node import sched_ext
from temper.plan.layers import Plan
from temper.wire.messages import (
    Attach,
    Attached,
    Beat,
    Commit,
    Committed,
    Detach,
    NoRoom,
    ReadStats,
    Refusal,
    Rejected,
    Stats,
)

# How long a clean detach may take before SIGKILL, and how long the kernel may then take to say `disabled`.
DETACH_TIMEOUT_S = 1.0
DISABLE_TIMEOUT_S = 2.0
POLL_S = 0.005
# Kinds of the kernel's enum scx_exit_kind that mean "this scheduler must not be in": SysRq-S, and every error.
# Not among them: our own dead-man's switch, and the kernel's call to start anew after cpu hotplug.
EJECTIONS = {67, *range(1024, 1100)}
# SCX_ECODE_ACT_RESTART in an exit's code: cpus went or came, start anew. Nobody's fault, so it is no loss.
RESTART = 1 << 48
RESTART_WAIT_S = 0.2


class Supervisor:
    """At most one engine, and in safe mode a spare. `status` is what this knows; the loop publishes it.

    ready: an engine's process that nobody has asked anything yet, started earlier.
    """

    def __init__(
        self,
        status: Status,
        breaker: Breaker,
        kept: KeptLosses,
        *,
        deadman_ms: int,
        on_news: Callable[[], None],
        ready: Spawned | None = None,
        sched_ext_root: Path = sched_ext.ROOT,
    ) -> None:
        self.status = status
        self._on_news = on_news
        self._deadman_ms = deadman_ms
        self._root = sched_ext_root
        self._breaker = breaker
        self._kept = kept
        self._client: EngineClient | None = None
        self._ready = ready
        self._plan: Plan | None = None
        self._retry_at_s = 0.0
        self._unspawned = ""  # why there is no engine's process
        before = kept.load()
        self._latched = before.latched
        self._stuck = False  # an engine was dropped and the kernel has not said stock since
        self._waits = False  # somebody else's scheduler is in, or one of ours is on its way out
        self._settled = status.state, status.reason  # what to say once the kernel has let go
        breaker.losses = list(before.losses)
        if before.latched:
            self._settle(before.state, before.reason)
            event("still_latched", reason=before.reason)
        self.refused: Refused | None = None  # why this machine can't be attached

    @property
    def attached(self) -> bool:
        """Is a scheduler of ours in, as far as this process knows?"""
        return self._plan is not None

    @property
    def resigned(self) -> bool:
        """Has this given up until a person says otherwise, or the kernel lets go? Its status tells why."""
        return self._latched or self._stuck

    @property
    def wants_engine(self) -> bool:
        """Is it time to (re-)attach?"""
        if self.attached or self.resigned or time.monotonic() < self._retry_at_s:
            return False
        return not self._waits or sched_ext.read_state(self._root).stock

    def _settle(self, state: State, reason: str) -> None:
        """Say this, now or when a scheduler that is stuck has left."""
        self._settled = state, reason
        if not self._stuck:
            self.status.state, self.status.reason = state, reason

    def spawn(self) -> None:
        """Have the engine's process load the scheduler; it gets ready while the caller plans."""
        if self._client is not None:
            return
        try:
            spawned = self._take_ready() or _started(spawn_engine())
        except OSError as error:  # no process, no memory: like an engine that was lost at once
            self._unspawned = f"the engine can't be started: {error.strerror or error}"
            return
        self._client = EngineClient(spawned, on_news=self._on_news)
        self.status.engine_pid = self._client.pid

    def _take_ready(self) -> Spawned | None:
        """None when there is none, or it can't be told to load any more: a spare that has ended is nobody's loss."""
        ready, self._ready = self._ready, None
        if ready is None:
            return None
        try:
            return _started(ready)
        except OSError:
            return None

    def keep_spare(self) -> None:
        """In safe mode: have a process ready that has loaded nothing: the way back is shorter by its start."""
        if self._ready is not None and (self._ready.ended or self._ready.loads):  # loaded for cpus as they were
            self._discard_ready()
        if self._ready is None:
            with contextlib.suppress(OSError):  # no process, no memory: then the way back is as long as the first one
                self._ready = spawn_engine()

    def _discard_ready(self) -> None:
        if self._ready is not None:
            self._ready.discard()
            self._ready = None

    async def attach(self, plan: Plan) -> None:
        """Attach with a first plan. A failure is in `status` afterwards; it never raises."""
        self.refused, self._waits = None, False
        self.spawn()
        client = self._client
        if client is None:
            await self._lost(self._unspawned)
            return
        try:
            hello = await client.hello()
            reply = await client.call(Attach(_bare(plan), self._deadman_ms), START_TIMEOUT_S)
            if not isinstance(reply, Attached):
                raise EngineLost(f"attach was answered by {type(reply).__name__}")
            self._require_ours()
        except Refused as refused:
            await self._refused(refused)
            return
        except EngineLost as lost:
            await self._lost(str(lost))
            return
        self._plan = plan
        self.status.state, self.status.reason = State.ENFORCING, ""
        self.status.generation, self.status.plan = reply.generation, plan
        self.status.timings_ns |= hello.timings_ns | reply.timings_ns
        self.status.memory_locked = reply.memory_locked

    def _require_ours(self) -> None:
        state = sched_ext.read_state(self._root)
        if not state.ours:
            raise EngineLost(f'attached, but the kernel says {state.state} "{state.ops}"')

    async def commit(self, plan: Plan) -> None:
        """Put another plan in force if it differs. A rejected one leaves the old; a silent engine is lost."""
        if self._plan is None:
            return
        if _bare(plan) == _bare(self._plan):
            self._plan = self.status.plan = plan  # what it says beside the layers is newer
            return
        started_ns = time.monotonic_ns()
        reply = await self._ask(Commit(_bare(plan)))
        if isinstance(reply, Rejected):
            self.status.notes = [reply.message]
            event("commit_rejected", message=reply.message)
        elif isinstance(reply, Committed):
            self._plan = self.status.plan = plan
            self.status.generation = reply.generation
            self.status.nr_commits += 1
            # The kernel's word on when: the answer may come later, for what was put in force may take this cpu away.
            took_ns = reply.in_force_ns - started_ns
            self.status.last_commit_ns |= {"kernel": reply.kernel_ns, "commit": took_ns}
            event("committed", generation=reply.generation, kernel_us=reply.kernel_ns // 1000)

    async def beat(self) -> None:
        """Tell the scheduler that this loop lives."""
        if self.attached:
            await self._ask(Beat())

    async def read_stats(self) -> None:
        """Refresh the counters in `status`."""
        reply = await self._ask(ReadStats()) if self.attached else None
        if isinstance(reply, Stats):
            self.status.stats, self.status.quotas, self.status.no_room = reply.layers, reply.quotas, reply.no_room

    async def _ask(self, request: Beat | Commit | ReadStats) -> object | None:
        """One request to an attached engine; None when that showed it lost, or the scheduler out."""
        if self._client is None:
            return None
        try:
            reply = await self._client.call(request, ANSWER_TIMEOUT_S)
        except EngineLost as lost:
            await self._lost(str(lost))
            return None
        if self._client.ended is not None:
            await self._lost("the scheduler left")
            return None
        return reply

    async def check(self) -> None:
        """Hear what the engine said unasked: the scheduler left, or the engine is gone. Try again to be rid of it."""
        if self._stuck:
            await self._verify_stock()
            self._settle(*self._settled)
        client = self._client
        if client is None or not (client.gone or client.ended is not None):
            return
        said = client.last_word
        if isinstance(said, Refusal):
            await self._refused(Refused(said.message, remedy=said.remedy))
        else:
            await self._lost("the engine is gone" if said is None else said.message)

    async def stand_down(self, reason: str, *, heard_ns: int = 0) -> None:
        """Safe mode: detach by every means there is, then look at the kernel. Never raises.

        heard_ns: CLOCK_MONOTONIC of the event that asks for it, 0 when unknown; `status.stand_down_ns` counts from it.
        The state is `safe-mode` afterwards, or `stuck` if even the kernel's own SysRq-S left our scheduler in.
        """
        await self._detach(reason, heard_ns)
        # Leaving safe mode is a person's word: earlier losses no longer count.
        self._breaker.reset()
        self._kept.clear()
        self._latched, self._waits, self._retry_at_s = False, False, 0.0

    async def leave(self, reason: str) -> None:
        """The same, without anybody's word: losses still count for the next agent."""
        await self._detach(reason, heard_ns=0)
        self._discard_ready()

    async def _detach(self, reason: str, heard_ns: int) -> None:
        was, started_ns = self._client, time.monotonic_ns()
        await self._drop_engine(politely=True)
        if was is not None:
            self.status.nr_stand_downs += 1
            self.status.stand_down_ns["total"] = time.monotonic_ns() - (heard_ns or started_ns)
            self.status.stand_down_ns["decide"] = started_ns - (heard_ns or started_ns)
        self._settle(State.SAFE_MODE, reason)
        if was is not None:
            event("stood_down", reason=reason)

    async def _drop_engine(self, *, politely: bool) -> None:
        """Be rid of the engine, and see to it that the kernel is too.

        Never raises, but when cancelled; then too the engine is killed first, and the next call goes on from there.
        """
        client, self._plan = self._client, None
        started_ns = time.monotonic_ns()
        if client is not None:
            forced = ""
            try:
                if politely:
                    await client.call(Detach(), DETACH_TIMEOUT_S)
            except (EngineLost, Refused) as error:
                forced = str(error)
            finally:
                client.kill()
            detached_ns = time.monotonic_ns()
            if forced:
                event("detach_forced", reason=forced)
            if not await client.reap():
                event("engine_unkillable", engine_pid=client.pid)
            self._client = None
            self.status.engine_pid, self.status.generation, self.status.plan = 0, 0, None
            self.status.stats, self.status.quotas, self.status.no_room = {}, (), NoRoom()
            self.status.stand_down_ns = {"detach": detached_ns - started_ns, "reap": time.monotonic_ns() - detached_ns}
        if client is not None or self._stuck:
            await self._verify_stock()

    async def _verify_stock(self) -> None:
        """If the kernel still runs our scheduler, tell the kernel itself to eject it; say so if that didn't help."""
        stock = await self._becomes_stock()
        if not stock:
            event("sysrq_eject")
            try:
                sched_ext.request_stock()
            except OSError as error:
                event("sysrq_refused", reason=str(error))
            stock = await self._becomes_stock()
        self._stuck = not stock
        if self._stuck:
            self.status.state = State.STUCK
            self.status.reason = "our scheduler is still in after its engine was killed; tried SysRq-S, trying on"

    async def _becomes_stock(self) -> bool:
        deadline = time.monotonic() + DISABLE_TIMEOUT_S
        while not sched_ext.read_state(self._root).left:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def _refused(self, refused: Refused) -> None:
        """This machine can't: say so and stay, until a person or a reboot changes it, or who is in the way is gone."""
        await self._drop_engine(politely=False)
        self.refused = refused
        self._waits = not sched_ext.read_state(self._root).stock
        if self._waits:
            self._settle(State.DETACHED, f"{refused}; attaching when it is gone")
            event("waits_for_stock", reason=refused.message)
            return
        self._latched = True
        self._settle(State.UNSUPPORTED, str(refused))
        event("unsupported", reason=refused.message, remedy=refused.remedy)

    async def _lost(self, what: str) -> None:
        client = self._client
        ended = client.ended if client else None
        ejected = ended is not None and ended.kind in EJECTIONS
        if ended is not None:
            what = ": ".join(part for part in (ended.reason, ended.message) if part)
        await self._drop_engine(politely=False)
        restarts = ended is not None and not ejected and bool(ended.code & RESTART)
        wait_s = RESTART_WAIT_S if restarts else self._breaker.lost(time.monotonic(), ejected=ejected)
        self.status.nr_losses += not restarts
        self.status.nr_ejections += ejected
        state = State.EJECTED if ejected else State.DETACHED
        self._latched = wait_s is None
        self._retry_at_s = time.monotonic() + (wait_s or 0.0)
        after = "latched: `temper safe-mode on` and `off` re-engage" if self._latched else f"again in {wait_s:g} s"
        reason = f"{what}; {after}"
        self._settle(state, reason)
        if not restarts:
            losses = tuple(self._breaker.losses)
            self._kept.save(Losses(losses=losses, latched=self._latched, state=state, reason=reason))
        event("lost", reason=what, ejected=ejected, latched=self._latched)


def _started(spawned: Spawned) -> Spawned:
    try:
        spawned.start()
    except OSError:
        spawned.discard()
        raise
    return spawned


def _bare(plan: Plan) -> Plan:
    """The plan without what is for people and the agent: what the engine needs, and what makes two plans the same."""
    return msgspec.structs.replace(plan, findings=(), sizes=())
