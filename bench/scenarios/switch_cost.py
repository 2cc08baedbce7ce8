"""What a context switch costs, in instructions of the guest.

Two processes of one Normal pod wake each other over two pipes (bench/load/pingpong.c). Under the test bed's virtual
clock, with ICOUNT_SHIFT 0, the guest's clock advances by one nanosecond with each instruction that any of its cpus
executes, and by nothing else while one of them has work. On a guest with one cpu that is never idle, nanoseconds *are*
instructions. A round trip is two switches, so half of a round trip's nanoseconds is the instructions of one switch,
with what makes it happen: a write, a read that sleeps, the wake-up, the scheduler's choice and the switch itself.

same-cpu: one cpu, nothing to choose. two-cpus: a guest of two, each process pinned to its own: the figure has both
cpus' instructions, so also the interrupt that wakes the other cpu, and how it leaves and enters idle.
two-cpus-free: the same, and the scheduler may put them where it likes. same-cpu-4-deep: on one cpu, three levels below
the pod's cgroup. same-cpu-4-limits: there too, and each of the four has a cpu.max that is never reached: as many as a
container of Kubernetes has above it at most.

The figure is the median of batches, which leaves out what happens rarely: the timer's tick, the agent's heartbeat. The
mean is beside it. Nothing watches meanwhile and idle cpus are left alone (no idleburn): both would add instructions.

Not valid when another scheduler than the arm's decided for a moment, the kernel counted other than two switches a
round, the agent's layers do not have the pod in Normal, or (same-cpu) the pod did not have the cpu nearly to itself.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench import service
from bench.guest import agent, stage
from bench.guest.house import House
from bench.guests import Shape
from bench.layers import of_status, tier_doubts
from bench.scenario import Figure, Scenario, Seen, among
from bench.workloads import Rule

POD = "pingpong"
# Of every period, and ten times what a cpu can use of it.
PERIOD_US, QUOTA_US = 100_000, 1_000_000
# Switches a round that the kernel may count: two, some for ticks and the first and the last, and fewer where the other
# cpu has answered before this one came to sleep. The figure stays half a round trip, as `perf bench sched pipe` has it.
SWITCHES = (1.8, 2.1)
LEAST_SHARE = 0.9  # of the one cpu, for the pod; starting it is in the window


@dataclass(frozen=True, slots=True)
class Point:
    """cpus: of the guest. levels: of cgroups, the pod's the first; limited: each has a cpu.max."""

    cpus: int
    pinned: bool = False
    levels: int = 1
    limited: bool = False


POINTS = {
    "same-cpu": Point(1),
    "same-cpu-4-deep": Point(1, levels=4),
    "same-cpu-4-limits": Point(1, levels=4, limited=True),
    "two-cpus": Point(2, pinned=True),
    "two-cpus-free": Point(2),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """rounds: round trips, a multiple of `batch`, which is how many of them are timed together."""

    rounds: int = 100_000
    batch: int = 50


class SwitchCost(Scenario[Settings]):
    """Instructions per context switch of a Normal pod."""

    name = "switch-cost"
    settings_type = Settings
    about = "guest instructions per context switch of a Normal pod"
    points_are = ", ".join(POINTS)
    default_points = ("same-cpu", "two-cpus")
    programs: ClassVar[tuple[str, ...]] = ("pingpong",)
    instrument = False
    steady = False

    def check_point(self, point: str) -> None:
        among(point, tuple(POINTS))

    def shape(self, point: str) -> Shape:
        """Exactly the cpus it is about: turns of equal length do not matter when one cpu works at a time."""
        return Shape(POINTS[point].cpus, POINTS[point].cpus)

    def main(self, point: str) -> tuple[str, str]:
        return "instructions_per_switch", "instructions"

    def rules(self) -> list[Rule]:
        return [Rule(POD, "normal", f"pods/{POD}", self._cpus)]

    def pods(self) -> dict[str, int]:
        return {POD: self._cpus * 1000}

    @property
    def _cpus(self) -> int:
        """Of the guest, which is one for all points of an order that is played."""
        return POINTS[self.order.points[0]].cpus

    def play(self, house: House, arm: str, point: str) -> dict[str, Any]:
        out = house.work / "pingpong.json"
        pinned = ["0", "1"] if POINTS[point].pinned else []
        argv = [str(house.bin / "pingpong"), str(self.settings.rounds), str(self.settings.batch), *pinned]
        with grown(POINTS[point]) as cgroup, service.window((POD,)) as measured:
            process = stage.start(stage.ROOT / cgroup, argv, log=out)
            # Waiting with a limit would wake us all the time: the test bed's own limit ends a guest that hangs.
            if process.wait():
                raise subprocess.SubprocessError(f"pingpong: {out.read_text(errors='replace').strip()}")
        return {"window": measured, "result": house.bring(out, arm, point), "status": of_status(agent.read_status())}

    def judge(self, seen: Seen) -> list[Figure]:
        from testbed.machine import ICOUNT_SHIFT  # not in the guest

        found = json.loads(Path(seen.raw, seen.data["result"]).read_text())
        doubts = [*switch_doubts(found["switches"], found["rounds"]), *tier_doubts(seen, ["normal"])]
        if POINTS[seen.point].cpus == 1:
            doubts += share_doubts(service.used_cpus(seen, POD))
        batches = found["batch_ns"]
        # Of a batch's time: one switch, and an instruction takes 2 ** ICOUNT_SHIFT ns.
        each = len(batches) / found["rounds"] / 2 / 2**ICOUNT_SHIFT
        n = 2 * found["rounds"]
        return [
            self._figure("instructions_per_switch", statistics.median(batches) * each, n, doubts),
            self._figure("instructions_per_switch_mean", statistics.fmean(batches) * each, n, doubts),
        ]

    @staticmethod
    def _figure(metric: str, value: float, n: int, doubts: Sequence[str]) -> Figure:
        return Figure(metric, round(value, 1), "instructions", n, tuple(doubts))


@contextmanager
def grown(point: Point) -> Iterator[str]:
    """The point's cgroups inside the block; the lowest one's path below pods/."""
    with ExitStack() as stack:
        path = POD
        for level in range(point.levels):
            if level:
                stack.enter_context(stage.children(path, {"below": 100}))
                path += "/below"
            if point.limited:
                stack.enter_context(stage.limited(path, QUOTA_US, PERIOD_US))
        yield path


def switch_doubts(switches: int, rounds: int) -> list[str]:
    """Was there a switch to the other process and one back, each round?"""
    least, most = SWITCHES
    if least <= switches / rounds <= most:
        return []
    return [f"the processes switched {switches / rounds:.2f} times a round, not {least:g} to {most:g} times"]


def share_doubts(used: float) -> list[str]:
    """On one cpu, time is the pod's instructions only as far as nobody else ran. used: cpus over the window."""
    if used >= LEAST_SHARE:
        return []
    return [f"the pod had {used:.0%} of the one cpu, not {LEAST_SHARE:.0%}: others' instructions are in the figure"]


SCENARIO = SwitchCost
