"""One run: the guest from its start to its end, its output passed on as it comes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from testbed import children, machine, network, share
from testbed.monitor import Monitor
from testbed.progress import TestbedError, be_quiet, say, tail

READY, STDOUT, STDERR, EXIT = range(4)  # as in guest/job.py
TIMED_OUT = 124
BOOT_S = 300.0
EVIDENCE_BYTES = 1 << 20
ANSWER_S = 20.0  # for a guest whose cpus are asked where they are
DESCRIPTOR = {STDOUT: 1, STDERR: 2}
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# The i8254's channel 0 as a square wave of 1193182 Hz / 240: an edge every 0.1 ms (figures: docs/testbed.md).
PIT_WRITES = ((0x43, 0x36), (0x40, 240), (0x40, 0))


class Stopped(Exception):
    """A signal asked this run to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.exit_code = 128 + number


class EmulatorsFault(TestbedError):
    """What ended the guest can only be the emulator's doing, and is not to be expected again."""


def met_stale_breakpoint(console: str) -> bool:
    """Did its kernel end at a breakpoint that nobody knows of?

    It has one in its own code only while it patches that (static keys, thousands of times in a run that attaches), and
    then it knows. An emulated cpu that translates the very instruction while another one patches it may keep the
    breakpoint for good (cpus in parallel; seen twice, both times after some fifty attaches).
    """
    return "asm_exc_int3" in console


@dataclass(slots=True)
class Session:
    """A guest that has started.

    timeout_s: how long the job may take, boot included; 0 is for ever. Its clock is the host's.
    on_forwards: told guest port -> host port as soon as QEMU listens, before the guest has booted.
    """

    shape: machine.Shape
    timeout_s: float
    on_forwards: Callable[[dict[int, int]], None] = lambda _: None
    console: int = field(default_factory=lambda: os.memfd_create("console"))
    log: int = field(default_factory=lambda: os.memfd_create("log"))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    monitor: Monitor | None = None
    ready: bool = False
    buffer: bytearray = field(default_factory=bytearray)

    def run(self, *, image: Path, kvm: bool, disks: list[Path], initrd: bytes, shared: Path | None) -> int:
        """Boot, pass the output on, and return the job's exit status; every child is gone afterwards."""
        try:
            job, monitor = self._start(image=image, kvm=kvm, disks=disks, initrd=initrd, shared=shared)
            self.monitor = self._greet(monitor)
            return self._follow(job, self.monitor)
        except Stopped as stopped:
            if stopped.number == signal.SIGQUIT:
                say(f"the job was stopped by {stopped}\n{self.question()}")
            raise
        finally:
            for process in reversed(self.processes):
                children.stop(process)

    def _start(
        self, *, image: Path, kvm: bool, disks: list[Path], initrd: bytes, shared: Path | None
    ) -> tuple[socket.socket, socket.socket]:
        job, job_end = socket.socketpair()
        monitor, monitor_end = socket.socketpair()
        initrd_file = os.memfd_create("initrd")
        with open(initrd_file, "wb", closefd=False) as file:
            file.write(initrd)
        keep: list[socket.socket | int] = [job_end, monitor_end, initrd_file, self.console]
        fds = {
            "job": job_end.fileno(),
            "monitor": monitor_end.fileno(),
            "initrd": initrd_file,
            "console": self.console,
        }
        if shared:
            process, connection = share.serve(shared, self.log)
            self.processes.append(process)
            keep.append(connection)
            fds["share"] = connection.fileno()
        argv = machine.command_line(self.shape, kvm=kvm, image=image, disks=disks, fds=fds)
        self.processes.append(children.start(argv, self.log, keep=keep))
        for one in keep:
            if isinstance(one, socket.socket):
                one.close()
        os.close(initrd_file)
        return job, monitor

    def _greet(self, connection: socket.socket) -> Monitor:
        try:
            monitor = Monitor(connection)
        except (TestbedError, OSError) as error:
            raise TestbedError(f"QEMU did not start\n{self.evidence()}") from error
        if self.shape.forwards:
            ports = network.mapping(told := monitor.human("info usernet"))
            if ports.keys() != set(self.shape.forwards):
                raise TestbedError(f"QEMU does not tell where its forwards begin:\n{told}")
            self.on_forwards(ports)
        return monitor

    def _follow(self, job: socket.socket, monitor: Monitor) -> int:
        started = time.monotonic()
        poll = select.poll()
        poll.register(job, select.POLLIN)
        said_slow = False
        while True:
            waited = time.monotonic() - started
            if self.timeout_s and waited > self.timeout_s:
                say(f"the job was stopped after {self.timeout_s:g} s (--timeout)\n{self.question()}")
                return TIMED_OUT
            if not self.ready and waited > BOOT_S:
                raise TestbedError(f"the guest did not boot within {BOOT_S:g} s\n{self.evidence()}")
            if not self.ready and waited > 5 and not said_slow:
                say("booting")
                said_slow = True
            left = self.timeout_s - waited if self.timeout_s else 60.0
            if not poll.poll(min(left, 5.0) * 1000 + 1):
                continue
            data = job.recv(1 << 20)
            if not data:
                what = f"the guest ended before its job did\n{self.evidence()}"
                raise EmulatorsFault(what) if met_stale_breakpoint(self._end_of(self.console)) else TestbedError(what)
            self.buffer += data
            status = self._frames(job, monitor)
            if status is not None:
                return status

    def _frames(self, job: socket.socket, monitor: Monitor) -> int | None:
        """Handle every whole frame; the exit status if it has come."""
        while len(self.buffer) >= 5:
            channel, length = self.buffer[0], int.from_bytes(self.buffer[1:5], "little")
            if len(self.buffer) < 5 + length:
                break
            payload = bytes(self.buffer[5 : 5 + length])
            del self.buffer[: 5 + length]
            if channel == EXIT:
                return int(payload)
            if channel == READY:
                self.ready = True
                if self.shape.clock is machine.Clock.VIRTUAL:
                    quicken(monitor)
                job.sendall(b"\0")
            else:
                _write(DESCRIPTOR[channel], payload)
        return None

    def question(self) -> str:
        """Ask the guest where each of its cpus is. It tells its console, by a panic, and ends: the evidence."""
        be_quiet(False)
        if self.monitor is None:
            return self.evidence()
        try:
            self.monitor.human("nmi")
        except (TestbedError, OSError, ValueError) as error:  # a signal may have cut an answer in two
            say(f"QEMU can't be asked where the cpus are: {error}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.processes[-1].wait(ANSWER_S)
        return self.evidence(lines=60 + 60 * self.shape.topology.cpus)

    @staticmethod
    def _end_of(fd: int) -> str:
        return os.pread(fd, EVIDENCE_BYTES, max(0, os.fstat(fd).st_size - EVIDENCE_BYTES)).decode(errors="replace")

    def evidence(self, lines: int = 40) -> str:
        """The ends of the guest's console and of QEMU's own output."""
        shown = []
        for title, fd in (("QEMU", self.log), ("the guest's console", self.console)):
            text = self._end_of(fd)
            shown.append(f"  {title}:\n{tail(text, lines)}" if text.strip() else f"  {title}: nothing")
        return "\n".join(shown)


def quicken(monitor: Monitor) -> None:
    """Give QEMU's virtual clock a deadline every 0.1 ms, by a timer whose interrupt the guest has masked.

    Under this clock the cpus run in turn, each until the next deadline; see docs/testbed.md.
    """
    for port, value in PIT_WRITES:
        command = f"o /b {port:#x} {value:#x}"
        if told := monitor.human(command):
            raise TestbedError(f"QEMU refused {command}: {told}")


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def stop_on_signals() -> None:
    """From now on, an ending signal raises Stopped, so that what was begun is cleaned up."""
    for number in ENDING:
        signal.signal(number, _raise_stopped)


def _raise_stopped(number: int, _frame: FrameType | None) -> None:
    for later in ENDING:
        signal.signal(later, signal.SIG_IGN)  # the ending is short and must be whole
    raise Stopped(number)
