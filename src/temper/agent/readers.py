"""Who may read /observe, where the operator wants that asked: holders of a token whom the API server lets.

An answer counts for a while, so that a reader who comes every second costs the API server next to nothing; and few
questions are asked at a time, so that nobody can make us ask it often by making tokens up.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable

from temper.kube.backoff import Backoff
from temper.kube.reviews import Access

KNOWN_S = 60.0
MOST_KNOWN = 256
LEAST_PACE_S, LONGEST_PACE_S = 0.1, 10.0  # between two questions; the API server may be in trouble
MOST_WAITING = 16


class TooMany(Exception):
    """So many tokens wait to be asked about already."""


class Readers:
    """review(token): the API server's answer."""

    def __init__(
        self, review: Callable[[str], Awaitable[Access]], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._review = review
        self._clock_s = clock_s
        self._known: dict[bytes, tuple[Access, float]] = {}  # by digest: no token is kept
        self._asking = asyncio.Lock()
        self._nr_waiting = 0
        self._backoff = Backoff(LEAST_PACE_S, LONGEST_PACE_S)
        self._next_s = clock_s()  # no question before this

    async def access(self, token: str) -> Access:
        """What the API server says of this token. TooMany, or what `review` raises, when it can't be asked."""
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        known = self._answer(digest)
        if known is not None:
            return known
        if self._nr_waiting >= MOST_WAITING:
            raise TooMany
        self._nr_waiting += 1
        try:
            async with self._asking:
                return await self._ask(digest, token)
        finally:
            self._nr_waiting -= 1

    def _answer(self, digest: bytes) -> Access | None:
        known = self._known.get(digest)
        return known[0] if known is not None and self._clock_s() - known[1] < KNOWN_S else None

    async def _ask(self, digest: bytes, token: str) -> Access:
        """Whoever waited for the same answer finds it here."""
        known = self._answer(digest)
        if known is not None:
            return known
        await asyncio.sleep(self._next_s - self._clock_s())
        try:
            access = await self._review(token)
        except Exception as error:
            self._next_s = self._clock_s() + self._backoff.next_s(error)
            raise
        self._backoff.reset()
        self._next_s = self._clock_s() + LEAST_PACE_S
        self._known.pop(digest, None)
        self._known[digest] = (access, self._clock_s())
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]  # the one asked about first
        return access
