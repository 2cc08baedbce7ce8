"""Throughput of whole machines of work, every process in one Normal pod: more is better.

hackbench: 40 processes that send each other messages over sockets (rt-tests): wake-ups and switches.
sysbench-cpu: threads that compute primes, twice as many as cpus: next to no switches.
sysbench-threads: threads that fight for locks and yield: sched_yield and futexes.
compile: gcc's compiler proper on generated C files, twice as many at a time as cpus: short processes, page faults.

A figure is work per second of the guest's clock. Idle cpus use up their turns (idleburn), so a scheduler that leaves
one idle beside waiting work loses what it would lose on a real machine. Each program is run once beforehand, with next
to no work: what is measured reads no disk.

Not valid when another scheduler than the arm's decided for a moment, the program took less than half a second, the
agent's layers do not have the pod in Normal, or the pod used less than half of a cpu. A program that fails gives no
figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from bench import service
from bench.guest import agent, stage
from bench.guest.house import House
from bench.layers import of_status, tier_doubts
from bench.scenario import Figure, Scenario, Seen, among
from bench.sources import write_sources
from bench.workloads import Rule

POD = "work"
POINTS = ("hackbench", "sysbench-cpu", "sysbench-threads", "compile")
UNITS = {
    "hackbench": "messages/s",
    "sysbench-cpu": "events/s",
    "sysbench-threads": "events/s",
    "compile": "files/s",
}
PER_CPU = 2  # threads and compilers for each cpu of the node
# hackbench's groups have so many senders and as many receivers; each sender sends each message to all of them.
SENDERS = 20
LEAST_S = 0.5
LEAST_CPUS = 0.5
WARM_UP_S = 0.2
_HACKBENCH = re.compile(r"^Time: (\d+\.\d+)$", re.MULTILINE)
_SYSBENCH = re.compile(r"total time:\s+(\d+\.\d+)s\s+total number of events:\s+(\d+)")


class Work(NamedTuple):
    """What a program did. seconds: of the guest's clock, without its start where it tells."""

    amount: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Settings:
    """loops: messages of each hackbench sender to each receiver. seconds: sysbench's, whole ones.

    prime: up to which sysbench cpu looks. yields: in each event of sysbench threads. files: to compile, with so many
    functions in each.
    """

    loops: int = 400
    seconds: float = 3.0
    prime: int = 2000
    yields: int = 100
    files: int = 24
    functions: int = 40


class Throughput(Scenario[Settings]):
    """Work per second of four kinds."""

    name = "throughput"
    settings_type = Settings
    about = "work per second of Normal processes: messages, computing, locks, compiling"
    points_are = ", ".join(POINTS)
    default_points = POINTS
    default_cpus = 3
    packages: ClassVar[tuple[str, ...]] = ("sysbench", "cpp-14-x86-64-linux-gnu")

    def check_point(self, point: str) -> None:
        among(point, POINTS)

    def main(self, point: str) -> tuple[str, str]:
        return "throughput", UNITS[point]

    def rules(self) -> list[Rule]:
        return [Rule(POD, "normal", f"pods/{POD}", self.order.cpus)]

    def pods(self) -> dict[str, int]:
        return {POD: self.order.cpus * 1000}

    @contextmanager
    def ready(self, house: House) -> Iterator[None]:
        write_sources(house.work / "sources", self.settings.files, self.settings.functions)
        write_sources(house.work / "warm-up", 1, 1)
        yield

    def play(self, house: House, arm: str, point: str) -> dict[str, Any]:
        log = house.work / f"{point}.log"
        small = replace(self.settings, loops=1, seconds=WARM_UP_S)
        stage.run(stage.ROOT / POD, command(point, house, small, self.order.cpus, sources="warm-up"), log)
        with service.window((POD,)) as measured:
            stage.run(stage.ROOT / POD, command(point, house, self.settings, self.order.cpus), log)
        status = of_status(agent.read_status())
        return {"window": measured, "log": house.bring(log, arm, point), "status": status}

    def judge(self, seen: Seen) -> list[Figure]:
        text = Path(seen.raw, seen.data["log"]).read_text(errors="replace")
        measured = seen.data["window"]
        took_s = (measured["end_ns"] - measured["start_ns"]) / 1e9
        work = work_of(seen.point, text, self.settings, took_s)
        used = service.used_cpus(seen, POD)
        doubts = (
            *tier_doubts(seen, ["normal"]),
            *([f"it took {work.seconds:.2f} s only"] if work.seconds < LEAST_S else ()),
            *([f"the pod used {used:.2f} cpus"] if used < LEAST_CPUS else ()),
        )
        value = work.amount / work.seconds if work.seconds else float("nan")
        return [Figure("throughput", round(value, 3), UNITS[seen.point], work.amount, doubts)]


def command(point: str, house: House, settings: Settings, cpus: int, *, sources: str = "sources") -> list[str]:
    """The program of a point, as words. sources: the folder of what is to be compiled."""
    sysbench = [*house.with_libraries, str(house.packages / "usr/bin/sysbench")]
    threads = f"--threads={PER_CPU * cpus}"
    if point == "hackbench":
        return ["hackbench", "-g", "1", "-f", str(SENDERS), "-l", str(settings.loops)]
    if point == "sysbench-cpu":
        seconds = f"--time={max(1, round(settings.seconds))}"
        return [*sysbench, "cpu", threads, seconds, f"--cpu-max-prime={settings.prime}", "run"]
    if point == "sysbench-threads":
        seconds = f"--time={max(1, round(settings.seconds))}"
        return [*sysbench, "threads", threads, seconds, f"--thread-yields={settings.yields}", "run"]
    compiler = next((house.packages / "usr/libexec/gcc").glob("*/*/cc1"))
    each = ["xargs", "-a", str(house.work / sources / "list"), "-n", "1", "-P", str(PER_CPU * cpus)]
    return [*house.with_libraries, *each, str(compiler), "-quiet", "-o", "/dev/null"]


def work_of(point: str, text: str, settings: Settings, took_s: float) -> Work:
    """What a program says that it did. took_s: from its start to its end. ValueError when it says nothing."""
    if point == "compile":
        return Work(settings.files, took_s)
    found = (_HACKBENCH if point == "hackbench" else _SYSBENCH).search(text)
    if found is None:
        raise ValueError(f"{point} said nothing of its work: {text[-200:]!r}")
    if point == "hackbench":
        return Work(SENDERS * SENDERS * settings.loops, float(found[1]))
    return Work(int(found[2]), float(found[1]))


SCENARIO = Throughput
