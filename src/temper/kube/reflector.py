"""A copy of some of the API's objects, kept by one paged list and then a watch.

The watch goes on from where it ended, after a disconnect too; only a version that the server has forgotten (410) and
a slow clock (`relist_s`: a lost event heals) bring a new list. Trouble is waited out, longer each time; the copy stays
as it was. Nothing here ends by itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import msgspec
from lightkube.core.generic_client import BasicRequest

from temper.kube.backoff import Backoff
from temper.kube.client import REQUEST_TIMEOUT_S, TROUBLES, Client, describe, is_gone, watch

PAGE = 500
# The server ends each watch after this long, and sends a bookmark each minute, so silence means a dead connection.
WATCH_S = (240, 300)
LEAST_WATCH_S = 5
SILENCE_S = 100.0
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 30.0
# A server (or a balancer) that ends watches at once is not asked more often than this.
LEAST_PACE_S = 1.0
RELIST_SPREAD = 0.2


class Reflector:
    """The objects of one kind that a field selector chooses.

    keep: what is kept of an object. Much of it nobody here reads (a node's conditions, a pod's probes), and an event
    that changes nothing kept is no change.
    objects: uid -> what is kept. synced: a complete list has been had, so `objects` is the truth of some moment.
    trouble: why it can't be brought up to date just now; empty while the watch stands.
    on_surprise: told of an error that is none of the server's known troubles: a mistake of ours, or hostile input.
    heard_ns: CLOCK_MONOTONIC of the last event, for the kill switch's stopwatch. nr_requests: lists and watches;
    nr_failures: those of them that ended in trouble.
    """

    def __init__(
        self,
        client: Client,
        resource: Any,
        *,
        fields: str,
        on_change: Callable[[], None],
        relist_s: Callable[[], float],
        keep: Callable[[Any], Any],
        namespace: str | None = None,
        on_surprise: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self.objects: dict[str, Any] = {}
        self.synced = False
        self.trouble = ""
        self.heard_ns = 0
        self.nr_requests = 0
        self.nr_failures = 0
        self._client = client
        self._resource = resource
        self._fields = fields
        self._namespace = namespace
        self._keep = keep
        self._on_change = on_change
        self._on_surprise = on_surprise
        self._relist_s = relist_s
        self._version: str | None = None
        self._list_again_at = 0.0
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            started = time.monotonic()
            try:
                if self._version is None or started >= self._list_again_at:
                    await self._list()
                await self._watch()
            except Exception as error:  # noqa: BLE001 - one odd object must not end the agent
                if not isinstance(error, TROUBLES):
                    self._on_surprise(error)
                if time.monotonic() - started > LONGEST_WAIT_S:
                    self._backoff.reset()  # what has stood for that long was well
                await self._bear(error)
            else:
                self._backoff.reset()
                await asyncio.sleep(max(0.0, LEAST_PACE_S - (time.monotonic() - started)))

    def _request(self, parameters: dict[str, str], *, is_watch: bool) -> BasicRequest:
        self.nr_requests += 1
        return self._client.prepare_request(
            "list",
            self._resource,
            namespace=self._namespace,
            watch=is_watch,
            params={"fieldSelector": self._fields, **parameters},
        )

    async def _list(self) -> None:
        """All pages, then one change: the copy is never half old and half new."""
        pages = self._client.list(self._request({"limit": str(PAGE)}, is_watch=False))
        objects = {found.metadata.uid: self._keep(found) async for found in pages}
        self._version = pages.resourceVersion
        spread = random.uniform(1 - RELIST_SPREAD, 1 + RELIST_SPREAD)  # noqa: S311 - spreads the load, guards nothing
        self._list_again_at = time.monotonic() + self._relist_s() * spread
        self._recover()
        if objects != self.objects or not self.synced:
            self.objects, self.synced = objects, True
            self._tell()

    async def _watch(self) -> None:
        assert self._version is not None  # noqa: S101 - there was a list
        left = max(LEAST_WATCH_S, int(self._list_again_at - time.monotonic()))
        seconds = min(left, random.randint(*WATCH_S))  # noqa: S311 - the same
        parameters = {"resourceVersion": self._version, "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        request = self._request(parameters, is_watch=True)
        request.timeout = httpx.Timeout(REQUEST_TIMEOUT_S, read=SILENCE_S)
        async for kind, found in watch(self._client, request, self._recover):
            self._version = found.metadata.resourceVersion
            self._backoff.reset()  # not before: a list, or a watch that opens, may end in the same trouble again
            if kind != "BOOKMARK":
                self._apply(kind, found)

    def _apply(self, kind: str, found: Any) -> None:
        """Each change is told once."""
        uid, before = found.metadata.uid, self.objects.get(found.metadata.uid)
        kept = None if kind == "DELETED" else self._keep(found)
        if kept == before:
            return
        if kept is None:
            del self.objects[uid]
        else:
            self.objects[uid] = kept
        self._tell()

    def _tell(self) -> None:
        self.heard_ns = time.monotonic_ns()
        self._on_change()

    def _recover(self) -> None:
        if self.trouble:
            self.trouble = ""
            self._on_change()

    async def _bear(self, error: BaseException) -> None:
        """Remember the trouble, and wait it out."""
        self.nr_failures += 1
        if isinstance(error, msgspec.MsgspecError):
            self._version = None  # an event that can't be read would come again and again
        if is_gone(error):
            self._version = None
        else:
            self.trouble = describe(error)
        await asyncio.sleep(self._backoff.next_s(error))
