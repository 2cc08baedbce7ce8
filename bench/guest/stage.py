"""The processes and cgroups on stage in a guest: start, move, measure, end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

CGROUPS = Path("/sys/fs/cgroup")
ROOT = CGROUPS / "pods"
INSTRUMENT = CGROUPS / "instrument"
AGENT = ROOT / "temper"
# Without controllers of its own, so that what it is part of may have processes too.
AGENT_BESIDE = INSTRUMENT / "temper"
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
    _make_below(ROOT, weights)


@contextmanager
def children(of: str, weights: Mapping[str, int]) -> Iterator[None]:
    """Cgroups pods/`of`/<name> inside the block; whoever ran there has ended with it. weights: cpu.weight by name."""
    parent = ROOT / of
    _make_below(parent, weights)
    try:
        yield
    finally:
        for name in weights:
            # A task that was waited for may still be on its last way out of its cgroup.
            wait_for(f"nobody in {of}/{name}", partial(_is_empty, parent / name), 5.0)
            (parent / name).rmdir()


def _is_empty(cgroup: Path) -> bool:
    return not read_numbers(cgroup / "cgroup.events")["populated"]


def _make_below(parent: Path, weights: Mapping[str, int]) -> None:
    (parent / "cgroup.subtree_control").write_text("+cpu")
    for name, weight in weights.items():
        (parent / name).mkdir(exist_ok=True)
        (parent / name / "cpu.weight").write_text(str(weight))


def inside(cgroup: Path, argv: Sequence[str]) -> list[str]:
    """The command, moved into a cgroup before it begins: a shell moves itself, then becomes the program.

    It does not inherit our real-time policy (SCHED_RESET_ON_FORK).
    """
    return ["sh", "-c", f'echo $$ >{cgroup}/cgroup.procs && exec "$@"', "sh", *argv]


def start(cgroup: Path, argv: Sequence[str], *, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a program inside a cgroup."""
    words = inside(cgroup, argv)
    with log.open("wb") if log else nullcontext(subprocess.DEVNULL) as output:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def run(cgroup: Path, argv: Sequence[str], log: Path) -> None:
    """To its end, inside a cgroup. SubprocessError with the end of its words when it fails."""
    status = start(cgroup, argv, log=log).wait()
    if status:
        words = " ".join(log.read_text(errors="replace").split())
        raise subprocess.SubprocessError(f"status {status}: {words[-300:]}")


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


@contextmanager
def limited(name: str, quota_us: int, period_us: int, burst_us: int = 0) -> Iterator[None]:
    """pods/`name` has this cpu.max inside the block. It is lifted at the end, so that whoever is in there can end."""
    (ROOT / name / "cpu.max").write_text(f"{quota_us} {period_us}")
    (ROOT / name / "cpu.max.burst").write_text(str(burst_us))
    try:
        yield
    finally:
        (ROOT / name / "cpu.max").write_text("max")


def cpu_stat(cgroup: str | Path) -> dict[str, int]:
    """The kernel's counters of a cgroup, by its name below pods/ or its path, since it was made."""
    return read_numbers(ROOT / cgroup / "cpu.stat")


def is_frozen(name: str) -> bool:
    """Do all tasks of pods/`name` stand still?"""
    return bool(read_numbers(ROOT / name / "cgroup.events")["frozen"])


def read_numbers(path: Path) -> dict[str, int]:
    """A file of cgroup v2 with a name and a number in each line."""
    return {key: int(value) for key, value in map(str.split, path.read_text().splitlines())}


def cpu_us(cgroup: str | Path) -> int:
    """Cpu time that it has used since it was made."""
    return cpu_stat(cgroup)["usage_usec"]


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
