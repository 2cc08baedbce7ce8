"""The agent's HTTP: /metrics, /observe, /healthz, /readyz. Imported after the first attach; nothing depends on it.

It runs in the agent's own loop, so whatever comes from the network is bounded: so many connections, each for so long,
and answers that are made at most once a second. uvicorn's protocol is used without its server, which would take the
process's signals, end the process over a port in use, and wake up ten times a second.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from temper.agent.events import event, warning
from temper.agent.facts import Gather
from temper.agent.metrics import CONTENT_TYPE, Collector
from temper.agent.observe import encode
from temper.agent.observing import observe
from temper.agent.readers import Readers, TooMany
from temper.agent.states import State
from temper.kube.reviews import Access, Review

# A pass takes milliseconds and comes each second; an attach on a busy machine takes seconds.
HEALTHY_S = 20.0
KEEP_S = 1.0
MOST_CONNECTIONS = 64
FIRST_REQUEST_S = 10.0
LONGEST_S = 60.0
BACKLOG = 64
OBSERVE_PATH = "/observe"  # what a ClusterRole names, too
CHALLENGE = {"WWW-Authenticate": "Bearer"}
# The agent knows what it does: what is in force is what somebody asked for.
READY = frozenset({State.ENFORCING, State.SAFE_MODE, State.OBSERVING})

_Answer = Callable[[Request], Awaitable[Response]]


class Recent:
    """The answer of the last second: nobody makes us work by asking often."""

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._body = b""
        self._made_s = float("-inf")

    async def get(self) -> bytes:
        """Made now, or by somebody else a moment ago."""
        async with self._lock:
            if time.monotonic() - self._made_s > KEEP_S:
                self._body = await self._make()
                self._made_s = time.monotonic()
            return self._body


class Pages:
    """The four answers. review: asks what a token's holder may, where /observe is not for everybody."""

    def __init__(self, gather: Gather, review: Review | None = None) -> None:
        self._gather = gather
        self._readers = Readers(functools.partial(review, OBSERVE_PATH)) if review is not None else None
        self._metrics = Recent(self._make_metrics)
        self._document = Recent(self._make_document)

    def app(self) -> Starlette:
        """The routes. What goes wrong inside is logged once and answered with 500."""
        answers: dict[str, _Answer] = {
            "/metrics": self.metrics,
            OBSERVE_PATH: self.observe,
            "/healthz": self.healthz,
            "/readyz": self.readyz,
        }
        return Starlette(routes=[Route(path, _guarded(path, answer)) for path, answer in answers.items()])

    async def metrics(self, _: Request) -> Response:
        """Prometheus' text."""
        return Response(await self._metrics.get(), media_type=CONTENT_TYPE)

    async def observe(self, request: Request) -> Response:
        """The document, for whoever may read it."""
        refused = await self._refuse(request) if self._readers is not None else None
        return refused or Response(await self._document.get(), media_type="application/json")

    async def healthz(self, _: Request) -> Response:
        """Does the agent's loop still make its passes?"""
        age_s = time.monotonic() - self._gather().measured.last_pass_s
        said = f"the loop's last pass was {age_s:.1f} s ago\n"
        return PlainTextResponse(said, 200 if age_s < HEALTHY_S else 503)

    async def readyz(self, _: Request) -> Response:
        """Is what decides on this node what somebody asked for?"""
        status = self._gather().status
        said = f"{status.state}: {status.reason}".rstrip(": ")
        return PlainTextResponse(f"{said}\n", 200 if status.state in READY else 503)

    # Both in a thread: they read files of cgroups, and the loop must beat meanwhile.

    async def _make_metrics(self) -> bytes:
        facts = self._gather()
        return await asyncio.to_thread(Collector(lambda: facts).text)

    async def _make_document(self) -> bytes:
        facts = self._gather()
        return await asyncio.to_thread(lambda: encode(observe(facts)))

    async def _refuse(self, request: Request) -> Response | None:
        """Why this request isn't answered; None when it is."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip() or self._readers is None:
            return PlainTextResponse("a bearer token that the API server knows is needed\n", 401, headers=CHALLENGE)
        try:
            access = await self._readers.access(token.strip())
        except TooMany:
            return PlainTextResponse("too many tokens to ask about\n", 429)
        except Exception as error:  # noqa: BLE001 - whatever keeps us from asking, nobody unknown gets in
            warning("token_not_reviewed", reason=f"{type(error).__name__}: {error}")
            return PlainTextResponse("the API server can't be asked about the token now\n", 503)
        return _refusal(access)


def _refusal(access: Access) -> Response | None:
    if access is Access.ALLOWED:
        return None
    if access is Access.UNKNOWN:
        return PlainTextResponse("the API server does not know this token\n", 401, headers=CHALLENGE)
    return PlainTextResponse(f"this token's holder may not `get` the nonResourceURL {OBSERVE_PATH}\n", 403)


def _guarded(path: str, answer: _Answer) -> _Answer:
    said: set[str] = set()

    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)
        except Exception as error:  # noqa: BLE001 - a page that fails must not reach the loop
            if type(error).__name__ not in said:
                said.add(type(error).__name__)
                warning("http_failed", path=path, exc_info=error)
            return PlainTextResponse("internal error\n", 500)

    return endpoint


class Connection(H11Protocol):
    """One client. Those that stay too long or ask nothing are hung up on.

    So is, with the limit reached, the oldest of whoever holds the most: a kubelet's probe gets in, however many another
    address opens.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timers: list[asyncio.TimerHandle] = []
        self.since_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counted by uvicorn itself."""
        super().connection_made(transport)
        self.since_s = self.loop.time()
        open_ones = [each for each in self.connections if not each.transport.is_closing()]
        if len(open_ones) > MOST_CONNECTIONS:
            _most_crowding(open_ones).transport.abort()
        self._timers = [
            self.loop.call_later(FIRST_REQUEST_S, self._expect_request),
            self.loop.call_later(LONGEST_S, transport.abort),
        ]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left that would keep it in memory."""
        for timer in self._timers:
            timer.cancel()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        if not self.cycle:
            self.transport.abort()


def _most_crowding(connections: list[Any]) -> Any:
    addresses = [each.client and each.client[0] for each in connections]
    held = Counter(addresses)
    return min(zip(connections, addresses, strict=True), key=lambda of: (-held[of[1]], of[0].since_s))[0]


def listen(address: tuple[str, int]) -> socket.socket:
    """A listening socket; an empty address means all, of both families where the machine has both. OSError."""
    host, port = address
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    return socket.create_server(("", port), backlog=BACKLOG)


async def serve(listening: socket.socket, pages: Pages) -> None:
    """Until cancelled."""
    config = Config(
        pages.app(),
        loop="none",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # its warnings are about what strangers send
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(config=config, server_state=state, app_state={}), sock=listening, backlog=BACKLOG
    )
    host, port = listening.getsockname()[:2]
    event("http_listening", address=host, port=port)
    try:
        await server.serve_forever()
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
