"""The linter's task: look every few seconds, judge, remember, and warn now and then.

The looking is done in a thread, because the loop must beat meanwhile; the judging is pure (`temper.plan.lint`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from temper.agent.events import event, warning
from temper.agent.measurements import grown
from temper.agent.node_source import PodView, layer_of
from temper.agent.states import State
from temper.agent.status import Status
from temper.errors import Refused
from temper.node.placement import Placement, Sampler, Watched
from temper.node.shape import Shape
from temper.plan.layers import Plan
from temper.plan.lint import Invariant, Verdict, lint, strays
from temper.plan.machine import Machine
from temper.plan.samples import LayerSample, PodSample, Sample
from temper.settings.agent import AgentSettings
from temper.wire.messages import LayerStats

# The same finding is said again after this long; of one look, so many at most.
AGAIN_S = 600.0
MOST_SAID = 5
MOST_STRAYS = 32  # threads whose affinity is read in one look


class Standing(NamedTuple):
    """A verdict, and since when (unix time) it has stood."""

    verdict: Verdict
    since_s: float


class Linter:
    """Looks at the pods of `views()`. standing: what is wrong now; found: how often each invariant began to be."""

    def __init__(
        self,
        settings: Callable[[], AgentSettings],
        status: Status,
        views: Callable[[], Sequence[PodView]],
        mismatched: Callable[[], Sequence[str]],
        *,
        sampler: Sampler | None = None,
        shape: Shape | None = None,
    ) -> None:
        self.standing: tuple[Standing, ...] = ()
        self.found: Counter[Invariant] = Counter()
        self.placement = Placement()
        self.looked_s = 0.0  # unix time of the last look; 0: none yet
        self.cost_ns = 0
        self.shape = shape or Shape()
        self._settings = settings
        self._status = status
        self._views = views
        self._mismatched = mismatched
        self._sampler = sampler or Sampler(settings().cgroups.root)
        self._stats: Mapping[str, LayerStats] = {}
        self._in_force: tuple[int, object] | None = None
        self._said: dict[tuple[Invariant, str], float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._settings().lint.interval_s)
            if self._settings().lint.enabled:
                await self.look()
            else:
                self.standing, self.placement = (), Placement()

    async def look(self) -> None:
        """Look once, judge, remember, warn."""
        views, before = self._views(), self._force()
        try:
            machine = self.shape.read()
        except Refused as refused:  # no /sys: then nothing can be said about placements
            event("lint_blind", reason=str(refused))
            return
        placement = await asyncio.to_thread(self._sampler.look, self._watched(views, before))
        plan = self._status.plan if before is not None and before == self._force() else None
        sample = self._sample(machine, views, placement, plan)
        sample = await asyncio.to_thread(self._with_affinity, sample)
        self._remember(lint(sample))
        self.placement, self.looked_s = placement, time.time()
        self.cost_ns += placement.cost_ns

    def _force(self) -> tuple[int, object] | None:
        """What decides now: which engine, and which layers. Another generation with the same layers is the same."""
        plan = self._status.plan
        enforcing = self._status.state is State.ENFORCING and plan is not None
        return (self._status.engine_pid, plan.layers) if enforcing and plan is not None else None

    def _watched(self, views: Sequence[PodView], force: object) -> dict[str, Watched]:
        return {
            view.pod.key: Watched(
                [cgroup.path for cgroup in view.cgroups], (force, layer_of(view), tuple(view.cgroups))
            )
            for view in views
        }

    def _sample(self, machine: Machine, views: Sequence[PodView], placement: Placement, plan: Plan | None) -> Sample:
        keys = {view.pod.uid: view.pod.key for view in views} | {view.pod.config_hash: view.pod.key for view in views}
        return Sample(
            machine=machine,
            plan=plan,
            threads=placement.threads,
            pods=tuple(_pod_sample(view, placement) for view in views),
            layers=self._grown(),
            over_ns=self._settings().lint.interval_s * 1_000_000_000,
            mismatched=tuple(sorted({keys.get(uid, uid) for uid in self._mismatched()})),
        )

    def _grown(self) -> tuple[LayerSample, ...]:
        """The layers' counters since the look before, if the same layers were in force then."""
        force, stats = self._force(), self._status.stats
        same = force is not None and force == self._in_force
        before, self._stats, self._in_force = self._stats, stats, force
        return grown(before, stats) if same else ()

    def _with_affinity(self, sample: Sample) -> Sample:
        """Where threads are that shouldn't be there, their affinity tells whether they had a choice."""
        allowed = {each.tid: self._sampler.allowed(each.tid) for each in strays(sample)[:MOST_STRAYS]}
        threads = (
            msgspec.structs.replace(each, allowed=allowed[each.tid]) if each.tid in allowed else each
            for each in sample.threads
        )
        return msgspec.structs.replace(sample, threads=tuple(threads)) if allowed else sample

    def _remember(self, verdicts: Sequence[Verdict]) -> None:
        now = time.time()
        since = {(each.verdict.invariant, each.verdict.subject): each.since_s for each in self.standing}
        self.found.update(each.invariant for each in verdicts if (each.invariant, each.subject) not in since)
        self.standing = tuple(Standing(each, since.get((each.invariant, each.subject), now)) for each in verdicts)
        self._warn(verdicts, now)

    def _warn(self, verdicts: Sequence[Verdict], now: float) -> None:
        self._said = {key: said for key, said in self._said.items() if now - said < AGAIN_S}
        unsaid = [each for each in verdicts if (each.invariant, each.subject) not in self._said]
        for verdict in unsaid[:MOST_SAID]:
            self._said[verdict.invariant, verdict.subject] = now
            warning(
                "lint",
                invariant=verdict.invariant.value,
                subject=verdict.subject,
                message=verdict.message,
                fix=verdict.fix,
            )
        if len(unsaid) > MOST_SAID:
            warning("lint_more", unsaid=len(unsaid) - MOST_SAID, see="/observe")


def _pod_sample(view: PodView, placement: Placement) -> PodSample:
    key = view.pod.key
    return PodSample(
        pod=key,
        layer=layer_of(view),
        used_millicpu=placement.used_millicpu.get(key),
        quota_millicpu=placement.quota_millicpu.get(key),
        held=view.held,
        mapped=bool(view.cgroups),
        running=view.pod.phase == "Running" and not view.pod.terminating,
    )
