"""What the node object says of us: agent-status, version, and each tier's pods and cpus.

A write fans out to everybody who watches nodes. So nothing is written that hasn't changed; a change of state is
written at once, changed counts at most once per interval; what can't be written is tried again, longer each time.
When it was said goes along with each write and is no change by itself (docs/decisions/0009-a-word-has-an-age.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from temper import __version__
from temper.agent.events import event
from temper.agent.node_source import PodView, totals
from temper.agent.states import State
from temper.agent.status import Status
from temper.kube.backoff import Backoff
from temper.kube.client import TROUBLES, Client, annotate_node, describe
from temper.plan.pods import ANNOTATION_PREFIXES, SAID_AT, SAID_AT_FORMAT
from temper.plan.tiers import Tier
from temper.settings.agent import AgentSettings

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
LAST_WORD_S = 2.0
_LONGEST = 512  # characters of a status that a node object carries

Annotations = dict[str, str | None]


def agent_status(status: Status) -> str:
    """The state, and why where it is not plain: `enforcing`, `safe-mode`, `ejected: …`, `detached: …`."""
    if status.state in (State.ENFORCING, State.SAFE_MODE) or not status.reason:
        return status.state.value
    return f"{status.state}: {status.reason}"[:_LONGEST]


def wanted_annotations(status: Status, views: Iterable[PodView], *, legacy: bool) -> Annotations:
    """All that we write. None removes one: those under the former name where `legacy` is off."""
    found = totals(views)
    plain = {"agent-status": agent_status(status), "agent-version": __version__}
    for tier in Tier:
        pods, millicpu = found[tier]
        plain |= {f"tier-{tier}-pods": str(pods), f"tier-{tier}-millicpu": str(millicpu)}
    ours, former = ANNOTATION_PREFIXES
    wanted: Annotations = {f"{ours}{name}": value for name, value in plain.items()}
    return wanted | {f"{former}{name}": value if legacy else None for name, value in plain.items()}


class Reporter:
    """Keeps the node object's annotations as they should be. nr_writes, nr_failures: patches sent, and refused."""

    def __init__(
        self, client: Client, settings: Callable[[], AgentSettings], present: Callable[[], Mapping[str, Any]]
    ) -> None:
        self.trouble = ""
        self.nr_writes = 0
        self.nr_failures = 0
        self._client = client
        self._settings = settings
        self._present = present
        self._wanted: Annotations = {}
        self._seen: tuple[object, ...] | None = None
        self._written_status: str | None = None
        self._changed = asyncio.Event()

    def publish(self, status: Status, views: tuple[PodView, ...]) -> None:
        """This is how things stand; write it when it is time. Called each second, so what is the same costs little."""
        legacy = self._settings().kubernetes.legacy_annotations
        seen = (status.state, status.reason, views, legacy)
        if self._seen is not None and all(now is was for now, was in zip(seen, self._seen, strict=True)):
            return
        self._seen = seen
        wanted = wanted_annotations(status, views, legacy=legacy)
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._write_until_done()
            await self._hold_back()

    async def last_word(self) -> None:
        """Write what is still to be written, if it goes quickly: the agent ends."""
        try:
            async with asyncio.timeout(LAST_WORD_S):
                await self._write()
        except TROUBLES as error:
            event("annotations_not_written", reason=describe(error))

    async def _hold_back(self) -> None:
        """Changed counts wait for the interval's end; a changed status doesn't. Then everything is compared anew."""
        until = time.monotonic() + self._settings().kubernetes.annotate_interval_s
        while (left_s := until - time.monotonic()) > 0 and self._status() == self._written_status:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._changed.wait()
        self._changed.set()

    async def _write_until_done(self) -> None:
        backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        while True:
            try:
                await self._write()
            except TROUBLES as error:
                self.nr_failures += 1
                if not self.trouble:
                    event("annotations_not_written", reason=describe(error))
                self.trouble = describe(error)
                await asyncio.sleep(backoff.next_s(error))
            else:
                self.trouble = ""
                return

    async def _write(self) -> None:
        """Patch what differs from what the node object has, as far as we have heard."""
        status, present = self._status(), self._present()
        patch = {name: value for name, value in self._wanted.items() if present.get(name) != value}
        if patch and self._settings().kubernetes.annotate:
            said_at: Annotations = {SAID_AT: time.strftime(SAID_AT_FORMAT, time.gmtime())}
            await annotate_node(self._client, self._settings().node_name, patch | said_at)
            self.nr_writes += 1
        self._written_status = status

    def _status(self) -> str | None:
        return self._wanted.get(f"{ANNOTATION_PREFIXES[0]}agent-status")
