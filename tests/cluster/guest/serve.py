"""The guest's side of a cluster test: does what the test on the host asks, one JSON object per line over TCP.

It makes kubelet-shaped cgroups with real processes in them, starts and signals the agent, and tells of each change of
/sys/kernel/sched_ext/state as it comes. It is an instrument, so it has real-time priority; what it starts has not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PORT = 7000
CGROUPS = Path("/sys/fs/cgroup")
SCHED_EXT = Path("/sys/kernel/sched_ext")
LOOK_S = 0.002
SPIN = [sys.executable, "-S", "-c", "while True: pass"]
SLEEP = ["sleep", "infinity"]


def ops() -> str:
    """The name of the scheduler that is in, or on its way; empty on stock."""
    with contextlib.suppress(OSError):
        return (SCHED_EXT / "root/ops").read_text().strip()
    return ""


def watch(state: str, hear: Callable[[list[str]], None]) -> None:
    """Tell each change of the kernel's state, from this one on: it and its scheduler. A thread's, for ever.

    The state's file can't be awaited. A look is one read of a file that stays open, a tenth of what a pass through the
    event loop takes: that would have most of an emulated cpu, and at real-time priority.
    """
    be_realtime()
    file = os.open(SCHED_EXT / "state", os.O_RDONLY)
    while True:
        now = os.pread(file, 64, 0).decode().strip()
        if now != state:
            state = now
            hear([now, ops()])
        time.sleep(LOOK_S)


def be_realtime() -> None:
    """The calling thread, but not what it starts."""
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(10))


def say(caller: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    """One line."""
    caller.write(json.dumps(message).encode() + b"\n")


def weigh(pod: Path) -> None:
    """Best effort weighs next to nothing, as the kubelet has it (cpu.shares 2); on stock it would starve the agent."""
    for folder in reversed(pod.relative_to(CGROUPS).parents[:-1]):
        (CGROUPS / folder.parent / "cgroup.subtree_control").write_text("+cpu")
        if "besteffort" in folder.name:
            (CGROUPS / folder / "cpu.weight").write_text("1")


class Server:
    """Answers each caller, and tells all of them the news: a caller that gave up may still be connected."""

    def __init__(self) -> None:
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.callers: set[asyncio.StreamWriter] = set()
        self.last = [(SCHED_EXT / "state").read_text().strip(), ops()]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests in, replies out, until the caller hangs up."""
        self.callers.add(writer)
        try:
            async for line in reader:
                say(writer, await self.do(json.loads(line)))
        except OSError:
            pass  # it is gone
        finally:
            self.callers.discard(writer)
            writer.close()

    async def do(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request."""
        try:
            return {"result": await getattr(self, f"do_{request.pop('op')}")(**request)}
        except Exception as error:  # noqa: BLE001 - the test hears of it
            return {"error": f"{type(error).__name__}: {error}"}

    def hear(self, now: list[str]) -> None:
        """Push a change of the kernel's state."""
        self.last = now
        for caller in self.callers:
            say(caller, {"seen": now})

    async def do_hello(self) -> list[str]:
        """The state from which the news go on."""
        return self.last

    async def do_run(self, argv: list[str], timeout_s: float = 60.0) -> list[Any]:
        """[exit status, stdout, stderr]."""
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
        return [process.returncode, out.decode(), err.decode()]

    async def do_start(self, argv: list[str], log: str) -> int:
        """Start a process that goes on; its pid."""
        with Path(log).open("ab") as output:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.processes[process.pid] = process
        return process.pid

    async def do_signal(self, pid: int, number: int) -> None:
        """Send a signal."""
        os.kill(pid, number)

    async def do_wait(self, pid: int) -> int:
        """The exit status of a started process that is about to end."""
        return await asyncio.to_thread(self.processes.pop(pid).wait, 30)

    async def do_read(self, path: str) -> str:
        """A file's text."""
        return Path(path).read_text()

    async def do_write(self, path: str, text: str) -> None:
        """Write a file."""
        Path(path).write_text(text)

    async def do_pod(self, path: str, spinners: int = 0, sleepers: int = 0) -> list[int]:
        """A pod's cgroup with one container's below it, and processes in that; their pids."""
        leaf = CGROUPS / path / "container"
        leaf.mkdir(parents=True)
        weigh(leaf.parent)
        return [self._start_in(leaf, argv) for argv in [SPIN] * spinners + [SLEEP] * sleepers]

    def _start_in(self, cgroup: Path, argv: list[str]) -> int:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        self.processes[process.pid] = process
        return process.pid

    async def do_unpod(self, path: str) -> None:
        """Kill everything in it and remove it."""
        pod = CGROUPS / path
        (pod / "cgroup.kill").write_text("1")
        for folder in (pod / "container", pod):
            for _ in range(500):
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                await asyncio.sleep(0.01)

    async def do_cpus(self, pids: list[int], looks: int = 20, pause_s: float = 0.05) -> list[int]:
        """The cpus on which these were seen."""
        seen = set()
        for _ in range(looks):
            for pid in pids:
                seen.add(int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[36]))
            await asyncio.sleep(pause_s)
        return sorted(seen)


async def main() -> None:
    """Serve until the guest is ended."""
    be_realtime()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    server, loop = Server(), asyncio.get_running_loop()
    listening = await asyncio.start_server(server.answer, "0.0.0.0", PORT, limit=1 << 24)  # noqa: S104 - the guest's own net

    def hear(now: list[str]) -> None:
        loop.call_soon_threadsafe(server.hear, now)

    async with listening:
        await asyncio.to_thread(watch, server.last[0], hear)


if __name__ == "__main__":
    asyncio.run(main())
