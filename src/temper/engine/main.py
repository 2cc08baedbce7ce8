"""The engine's process: preflight, then serve one agent over one socket, and end with it.

It knows no network, no Kubernetes and no clock but the kernel's. Whatever ends it (a signal, an error, the
agent's end of the socket) closes the link, and the kernel resumes its stock scheduler.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from temper.engine import libbpf, preflight
from temper.engine.scheduler import Scheduler
from temper.errors import CommitRejected, Refused, TemperError
from temper.node.priority import step_back
from temper.wire import channel
from temper.wire.messages import (
    PROTOCOL,
    Attach,
    Attached,
    Beat,
    Beaten,
    Commit,
    Detach,
    Ended,
    Failed,
    Hello,
    ReadStats,
    Refusal,
    Rejected,
    Reply,
    Request,
    Stats,
)
from temper.wire.pair import MAX_MESSAGE, receive_start


class Engine:
    """One agent's requests, answered in order."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._scheduler: Scheduler | None = None
        self._poll = select.poll()
        self._answers: dict[type, Callable[[Scheduler, Any], Reply]] = {
            Attach: self._attach,
            Commit: self._commit,
            Beat: self._beat,
            ReadStats: self._stats,
            Detach: self._detach,
        }

    def run(self, *, agent_pid: int) -> None:
        """Until the agent hangs up, detaches, or the scheduler leaves. Raises Refused when the machine can't.

        Told to start, it loads at once, while the agent still plans: that takes longest.
        """
        library = libbpf.open_library()
        start = receive_start(self._end)
        if start is None:
            return
        started = time.monotonic_ns()
        preflight.require(preflight.quick_checks())
        timings = {"engine_start": started - start.asked_ns, "preflight": time.monotonic_ns() - started}
        self._scheduler = Scheduler(library, hotplug_seq=start.hotplug_seq, agent_pid=agent_pid, engine_pid=os.getpid())
        self._send(Hello(PROTOCOL, os.getpid(), libbpf.version(library), timings | self._scheduler.timings_ns))
        self._poll.register(self._end, select.POLLIN)
        self._poll.register(self._scheduler.event_fd(), select.POLLIN)
        while (request := self._next(self._scheduler)) is not None:
            reply = self._answers[type(request)](self._scheduler, request)
            self._send(reply)
            if isinstance(reply, Ended):
                return

    def _next(self, scheduler: Scheduler) -> Request | None:
        """The next request; None at the agent's end or when the scheduler has left (which is then said)."""
        while True:
            ready = [fd for fd, _ in self._poll.poll()]
            if scheduler.event_fd() in ready:
                ended = scheduler.ended()
                if ended is not None:
                    self._send(ended)
                    return None
            if self._end.fileno() in ready:
                packet = self._end.recv(MAX_MESSAGE)
                return channel.decode_request(packet) if packet else None

    def _send(self, reply: Reply) -> None:
        self._end.send(channel.encode(reply))

    def _attach(self, scheduler: Scheduler, request: Attach) -> Reply:
        committed = scheduler.commit(request.plan)
        # Locked only now: from here on a missing page could delay a beat, before it only start-up. So could a look
        # through all that the start has made, for garbage.
        locked = libbpf.lock_memory()
        gc.freeze()
        scheduler.attach(deadman_ns=request.deadman_ms * 1_000_000)
        step_back()
        return Attached(committed.generation, scheduler.timings_ns, locked)

    def _commit(self, scheduler: Scheduler, request: Commit) -> Reply:
        try:
            return scheduler.commit(request.plan)
        except CommitRejected as rejected:
            return Rejected(rejected.message)

    def _beat(self, scheduler: Scheduler, _: Beat) -> Reply:
        scheduler.beat()
        return Beaten()

    def _stats(self, scheduler: Scheduler, _: ReadStats) -> Reply:
        return Stats(scheduler.generation, scheduler.stats(), scheduler.quotas(), scheduler.no_room())

    def _detach(self, scheduler: Scheduler, _: Detach) -> Reply:
        return scheduler.detach() or Ended(0, 0, "detached", "")

    def give_up(self, error: TemperError | OSError) -> None:
        """Say why, for the agent to pass on: a refusal stands, anything else may go better next time."""
        if isinstance(error, Refused):
            self._send(Refusal(error.message, error.remedy))
        else:
            self._send(Failed(str(error)))


def main(arguments: Sequence[str]) -> int:
    """Run until the end; 0 when it was asked for. Why it ends otherwise is said to the agent first.

    arguments, from agent/spawn.py: the engine's end of the socket pair, and the parent to die with.
    """
    if len(arguments) != 2 or not all(word.isdigit() for word in arguments):
        print("temper engine: started by the agent, not by hand", file=sys.stderr)  # noqa: T201
        return 2
    fd, agent_pid = map(int, arguments)
    if not libbpf.die_with_parent(agent_pid):
        return 1
    engine = Engine(socket.socket(fileno=fd))
    try:
        engine.run(agent_pid=agent_pid)
    except (BrokenPipeError, ConnectionResetError):
        return 1  # the agent is gone; ending closes the link
    except (TemperError, OSError) as error:
        with contextlib.suppress(OSError):
            engine.give_up(error)
        return 1
    return 0
