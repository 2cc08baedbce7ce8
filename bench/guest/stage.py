"""The processes and cgroups on stage in a guest: start, move, measure, end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

CGROUPS = Path("/sys/fs/cgroup")
ROOT = CGROUPS / "pods"
INSTRUMENT = CGROUPS / "instrument"
AGENT = ROOT / "temper"
SCHED_EXT = Path("/sys/kernel/sched_ext")
POLL_S = 0.01
# Of SCHED_FIFO: whoever observes goes before the client, which goes before nothing on the instruments' cpu.
OBSERVER_PRIORITY = 20
CLIENT_PRIORITY = 10


class Look(NamedTuple):
    """The kernel's word on who decides. ops: "" without a scheduler; seq: how many were attached since boot.

    Two looks with one seq and the same state, enabled or disabled, prove that nothing changed between them: whoever
    attaches counts up.
    """

    state: str
    ops: str
    seq: int


def make_pods(weights: Mapping[str, int]) -> None:
    """pods/<name>, siblings as pods are. weights: cpu.weight by name."""
    ROOT.mkdir(exist_ok=True)
    (ROOT / "cgroup.subtree_control").write_text("+cpu")
    for name, weight in weights.items():
        (ROOT / name).mkdir(exist_ok=True)
        (ROOT / name / "cpu.weight").write_text(str(weight))


def inside(cgroup: Path, argv: Sequence[str]) -> list[str]:
    """The command, moved into a cgroup before it begins: a shell moves itself, then becomes the program.

    It does not inherit our real-time policy (SCHED_RESET_ON_FORK).
    """
    return ["sh", "-c", f'echo $$ >{cgroup}/cgroup.procs && exec "$@"', "sh", *argv]


def start(cgroup: Path, argv: Sequence[str], *, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a program inside a cgroup."""
    output = log.open("wb") if log else subprocess.DEVNULL
    return subprocess.Popen(inside(cgroup, argv), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def end(process: subprocess.Popen[bytes], timeout_s: float = 20.0) -> int:
    """SIGTERM, then SIGKILL; the exit status."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@contextmanager
def running(cgroup: Path, argv: Sequence[str], *, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The program runs inside the block, and is ended with it."""
    process = start(cgroup, argv, log=log)
    try:
        yield process
    finally:
        end(process)


@contextmanager
def frozen(cgroup: Path) -> Iterator[None]:
    """The cgroup's tasks stand still inside the block."""
    (cgroup / "cgroup.freeze").write_text("1")
    try:
        yield
    finally:
        (cgroup / "cgroup.freeze").write_text("0")


def cpu_us(name: str) -> int:
    """Cpu time that pods/`name` has used since it was made."""
    for line in (ROOT / name / "cpu.stat").read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == "usage_usec":
            return int(value)
    raise ValueError(f"{name}: cpu.stat has no usage_usec")


def no_huge_pages() -> None:
    """khugepaged copies 2 MB at nice 19 while it holds the process's memory map: under load it stops memcached
    for more than a second on such slow cpus. Off in all phases, as is usual for such servers."""
    Path("/sys/kernel/mm/transparent_hugepage/enabled").write_text("never")


def become_instrument(cpu: int) -> None:
    """The player observes and restarts: it must not wait behind the load it measures, nor add to it.

    It moves to a cpu of its own, which no task outside its cgroup may use any more. Children are normal tasks.
    """
    (CGROUPS / "cgroup.subtree_control").write_text("+cpu +cpuset")
    INSTRUMENT.mkdir(exist_ok=True)
    (INSTRUMENT / "cpuset.cpus").write_text(str(cpu))
    (INSTRUMENT / "cpuset.cpus.partition").write_text("root")
    (INSTRUMENT / "cgroup.procs").write_text(str(os.getpid()))
    become_realtime()


def become_realtime(priority: int = OBSERVER_PRIORITY) -> None:
    """Above sched_ext and the stock scheduler; children are normal tasks."""
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))


def sched_ext() -> tuple[str, str]:
    """The kernel's state and the attached scheduler's name ("" without one)."""
    state = (SCHED_EXT / "state").read_text().strip()
    try:
        return state, (SCHED_EXT / "root/ops").read_text().strip()
    except OSError:
        return state, ""


def look() -> Look:
    """Who decides now."""
    return Look(*sched_ext(), int((SCHED_EXT / "enable_seq").read_text()))


def wait_for(what: str, condition: Callable[[], object], timeout_s: float) -> None:
    """Poll until `condition()` is true; TimeoutError says what did not come."""
    limit = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(POLL_S)
