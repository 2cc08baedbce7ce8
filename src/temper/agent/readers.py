"""Who may read /observe, where the operator wants that asked: holders of a token that the API server knows.

An answer counts for a while, so that a reader who comes every second costs the API server next to nothing; and few
questions are asked at a time, so that nobody can make us ask it often by making tokens up.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable

KNOWN_S = 60.0
MOST_KNOWN = 256
LEAST_PACE_S = 0.1  # between two questions
MOST_WAITING = 16

Review = Callable[[str], Awaitable[str | None]]


class TooMany(Exception):
    """So many tokens wait to be asked about already."""


class Readers:
    """whose(token): the API server's answer."""

    def __init__(self, whose: Review, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._whose = whose
        self._clock_s = clock_s
        self._known: dict[bytes, tuple[bool, float]] = {}  # by digest: no token is kept
        self._asking = asyncio.Lock()
        self._nr_waiting = 0

    async def may_read(self, token: str) -> bool:
        """Does the API server know this token? TooMany, or what `whose` raises, when it can't be asked."""
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

    def _answer(self, digest: bytes) -> bool | None:
        known = self._known.get(digest)
        return known[0] if known is not None and self._clock_s() - known[1] < KNOWN_S else None

    async def _ask(self, digest: bytes, token: str) -> bool:
        """Whoever waited for the same answer finds it here."""
        known = self._answer(digest)
        if known is not None:
            return known
        may = await self._whose(token) is not None
        self._known.pop(digest, None)
        self._known[digest] = (may, self._clock_s())
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]  # the one asked about first
        await asyncio.sleep(LEAST_PACE_S)
        return may
