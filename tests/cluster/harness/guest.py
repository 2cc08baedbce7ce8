"""A guest on the host's side: starts it, and asks `tests/cluster/guest/serve.py` in it."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from tests.cluster.guest.serve import PORT

REPO = Path(__file__).resolve().parents[3]
HTTP_PORT = 9100
BOOT_S = 120.0
LIFE_S = 4 * 3600  # a long run of chaos; who started it ends it before
ANSWER_S = 90.0
QUIT_S = 100.0  # QEMU has a minute to answer, the kernel twenty seconds


class Guest:
    """A running guest. seen: every state of sched_ext that it told, as (host's monotonic seconds, state, ops)."""

    def __init__(self, share: Path, *, cpus: int, extra: tuple[str, ...] = ()) -> None:
        self.share = share
        self.seen: list[tuple[float, str, str]] = []
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._news = threading.Condition()
        self._asking = threading.Lock()  # answers come in the order of the questions
        forwards = share / "forwards.json"
        command = [REPO / "testbed/run", "--network", "--forward", str(PORT), "--forward", str(HTTP_PORT)]
        command += ["--forwards", forwards, "--cpus", str(cpus), "--share", share, "--timeout", str(LIFE_S), *extra]
        self._log = (share / "testbed.log").open("wb")
        # A group of its own, and testbed/run ends the guest when it is ended.
        self._process = subprocess.Popen(
            [*command, "--", "python3", "-m", "tests.cluster.guest.serve"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._socket = self._connect(forwards)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _connect(self, forwards: Path) -> socket.socket:
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                self.ports = {int(guest): host for guest, host in json.loads(forwards.read_text()).items()}
                return self._greet(socket.create_connection(("127.0.0.1", self.ports[PORT]), timeout=5))
            except (OSError, ValueError, KeyError):
                time.sleep(0.2)
        raise TimeoutError(f"no guest: {self._said()}")

    def _greet(self, connection: socket.socket) -> socket.socket:
        """QEMU takes connections before anybody listens in the guest: only an answer proves one."""
        try:
            connection.sendall(b'{"op": "hello"}\n')
            with connection.makefile("rb", buffering=0) as lines:
                self._hear({"seen": json.loads(lines.readline())["result"]})
        except (OSError, ValueError, KeyError):
            connection.close()
            raise
        connection.settimeout(None)
        return connection

    def _listen(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._hear(json.loads(line))
        self._answers.put({"error": f"the guest has ended: {self._last_words()}"})

    def _hear(self, message: dict[str, Any]) -> None:
        if "seen" not in message:
            self._answers.put(message)
            return
        with self._news:
            self.seen.append((time.monotonic(), *message["seen"]))
            self._news.notify_all()

    def ask(self, op: str, **arguments: Any) -> Any:
        """One request; its result."""
        with self._asking:
            assert self._process.poll() is None, f"the guest has ended: {self._said()}"
            self._socket.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
            try:
                answer = self._answers.get(timeout=ANSWER_S)
            except queue.Empty:
                answer = {"error": f"no answer to {op} within {ANSWER_S:g} s: {self._end_hung()}"}
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]

    def _end_hung(self) -> str:
        """End a guest that answers no more; where its cpus were."""
        self._process.send_signal(signal.SIGQUIT)
        return self._last_words()

    def _last_words(self) -> str:
        """What the test bed said, once it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(QUIT_S)
        return self._said()

    def _said(self) -> str:
        return (self.share / "testbed.log").read_text(errors="replace")

    def line(self) -> Line:
        """One more connection, for somebody who has a lot to ask beside everybody else."""
        return Line(socket.create_connection(("127.0.0.1", self.ports[PORT])))

    def run(self, *argv: str, status: int | None = 0) -> str:
        """A command's stdout; its exit status must be `status`."""
        done, out, err = self.ask("run", argv=list(argv))
        assert status is None or done == status, f"{argv}: {done}: {out} {err}"
        return str(out)

    def await_state(self, state: str, *, since: float = 0.0, timeout_s: float = 120.0) -> float:
        """The host's time at which the kernel was first seen in that state, after `since` or at it all along."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while True:
                if (at := self._reached(state, since)) is not None:
                    return at
                left = deadline - time.monotonic()
                assert left > 0, f"sched_ext not {state} within {timeout_s:g} s; saw {self.seen[-6:]}"
                self._news.wait(left)

    def _reached(self, state: str, since: float) -> float | None:
        if self.seen and self.seen[-1][0] <= since and self.seen[-1][1] == state:
            return since
        return next((at for at, seen, _ in self.seen if at > since and seen == state), None)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)
        self._listener.join(30)
        self._socket.close()
        self._log.close()


class Line:
    """A connection of its own: one thread asks, and doesn't hear the news."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lines = connection.makefile("rb")

    def ask(self, op: str, **arguments: Any) -> Any:
        """One request; its result."""
        self._socket.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
        while "seen" in (answer := json.loads(self._lines.readline())):
            pass
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()
