"""The agent's end of a spawned engine: ask it, lose it. Every failure here is EngineLost or Refused."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

from temper.agent.events import event
from temper.agent.spawn import Spawned
from temper.errors import EngineLost, Refused
from temper.node.priority import go_first
from temper.wire import channel
from temper.wire.messages import PROTOCOL, Ended, Failed, Hello, Refusal, Reply, Request
from temper.wire.pair import MAX_MESSAGE

# An engine answers within microseconds of cpu; this long without an answer means stopped or stuck. Loading
# (Attach) takes a verifier's time and the start an interpreter's, on a slow or busy machine.
ANSWER_TIMEOUT_S = 2.0
START_TIMEOUT_S = 60.0
HURRY_S = 10.0  # a real machine takes a third of a second, an emulated one up to nine
REAP_TIMEOUT_S = 2.0
REAP_POLL_S = 0.002


class EngineClient:
    """One engine process and the socket to it: say hello, then call.

    ended: the exit record once the scheduler has left. gone: the engine's end of the socket is closed.
    on_news is called when either comes unasked. Needs a running loop.
    """

    def __init__(self, spawned: Spawned, *, on_news: Callable[[], None]) -> None:
        self.ended: Ended | None = None
        self.gone = False
        self._on_news = on_news
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[Reply] | None = None
        self._early: Reply | None = None  # a greeting that came before anybody waited for it
        self._process, self._end = spawned.process, spawned.end
        self._loop.add_reader(self._end, self._on_readable)

    @property
    def pid(self) -> int:
        """The engine's process id."""
        return self._process.pid

    @property
    def last_word(self) -> Refusal | Failed | None:
        """Why it ended, if it said so before anybody asked."""
        return self._early if isinstance(self._early, Refusal | Failed) else None

    async def hello(self) -> Hello:
        """Its first word: ready, or Refused with the preflight's reason. Who has not got as far by then goes first."""
        hurry = self._loop.call_later(HURRY_S, self._hurry)
        try:
            reply = await self._receive(START_TIMEOUT_S)
        finally:
            hurry.cancel()
        if not isinstance(reply, Hello) or reply.protocol != PROTOCOL:
            raise EngineLost(f"the engine did not greet: {type(reply).__name__}")
        return reply

    def _hurry(self) -> None:
        if go_first(self.pid):
            event("engine_hurried", engine_pid=self.pid, after_s=HURRY_S)

    async def call(self, request: Request, timeout_s: float = ANSWER_TIMEOUT_S) -> Reply:
        """Send one request and wait for its reply; the scheduler's Ended may come in its place."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._loop.sock_sendall(self._end, channel.encode(request))
        except (TimeoutError, OSError) as error:
            self._hear_what_is_left()
            raise EngineLost(f"the engine took no {type(request).__name__}: {error or 'no room'}") from error
        return await self._receive(timeout_s)

    async def _receive(self, timeout_s: float) -> Reply:
        if self._early is not None:
            reply, self._early = self._early, None
        else:
            reply = await self._wait(timeout_s)
        if isinstance(reply, Refusal):
            raise Refused(reply.message, remedy=reply.remedy)
        if isinstance(reply, Failed):
            raise EngineLost(reply.message)
        return reply

    async def _wait(self, timeout_s: float) -> Reply:
        if self.gone:
            raise EngineLost("the engine is gone")
        waiting: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting = waiting
        try:
            await asyncio.wait([waiting], timeout=timeout_s)
            if not waiting.done():
                self._hear_what_is_left()  # an agent that was itself stopped: over time, and the answer is there
            if not waiting.done():
                raise EngineLost(f"the engine did not answer within {timeout_s:g} s")
            return waiting.result()
        finally:
            if self._waiting is waiting:  # a call that was given up may end after the next one has begun
                self._waiting = None

    def _on_readable(self) -> None:
        try:
            packet = self._next_packet()
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            self._hear(channel.decode_reply(packet))
        else:
            self._hang_up()

    def _next_packet(self) -> bytes:
        """What the engine said next; empty at its end. One that ends with a request unread puts an error first."""
        try:
            return self._end.recv(MAX_MESSAGE)
        except ConnectionResetError:
            return self._end.recv(MAX_MESSAGE)

    def _hear_what_is_left(self) -> None:
        """An engine that ends says why just before: a send that fails, or a wait that is over, must not hide it."""
        with contextlib.suppress(OSError):
            while not self.gone and (packet := self._next_packet()):
                self._hear(channel.decode_reply(packet))

    def _hear(self, reply: Reply) -> None:
        if isinstance(reply, Ended):
            self.ended = reply
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(reply)
        elif self.ended is None:
            self._early = reply
        else:
            self._on_news()

    def _hang_up(self) -> None:
        self.gone = True
        self._loop.remove_reader(self._end)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(EngineLost("the engine is gone"))
        else:
            self._on_news()

    def kill(self) -> None:
        """SIGKILL it, stopped or not. The kernel closes its link as it dies."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        if self._end.fileno() >= 0:
            self._loop.remove_reader(self._end)
            self._end.close()

    async def reap(self) -> bool:
        """Wait for the killed process. False if it doesn't end: stuck in the kernel, its link perhaps still open."""
        deadline = self._loop.time() + REAP_TIMEOUT_S
        while self._process.poll() is None:
            if self._loop.time() > deadline:
                return False
            await asyncio.sleep(REAP_POLL_S)
        return True
