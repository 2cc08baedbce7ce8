"""Hardware threads: does anybody else run where Critical is confined, or beside its exclusive threads?

A node of two sockets of two cores of two threads (and a third socket with one cpu for the instruments). Two Critical
pods, one with short bursts and one (`exclusive`) with long ones, are to have whole cores; a Normal pod that wakes all
the time, Background spinners, and a pod without a rule make foreign work. Confined cpus and exclusive layers are what
`temper plan` says for this machine, in both arms: what stock does there is what it would cost without us.

All is counted from the kernel's own trace of sched_switch, nothing is sampled (bench/companions.py says who counts as
foreign). Times are to a microsecond for each switch. As nothing but who runs where is measured, idle cpus are left
alone (no idleburn).

foreign_ns_on_confined, foreign_ns_beside_exclusive: nanoseconds. foreign_share_on_confined: of the window's time on the
confined cpus. foreign_share_beside_exclusive: of the time that exclusive threads ran. paired_share_in_exclusive: the
same for two exclusive threads on one core while another core of the layer was idle.

Not valid when another scheduler than the arm's decided for a moment, events were lost, a cpu had no switch in the
window (nobody knows what ran there), the plan confines nothing, the agent's layers are others than planned, or
exclusive or foreign work was next to none.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench import companions, service, switches
from bench.companions import Node, Shared
from bench.guest import agent, stage, tasks
from bench.guest.house import House
from bench.guest.tracing import tracing
from bench.guests import Shape
from bench.layers import of_status, tier_doubts
from bench.scenario import TEMPER, Figure, Scenario, Seen, among
from bench.workloads import Rule

from temper.plan.units import parse_cpu_list

POINT = "mixed"
SOCKETS, CORES, THREADS = 2, 2, 2
CPUS = SOCKETS * CORES * THREADS
# One socket more for the instruments, of which the kernel uses one cpu.
TOPOLOGY = (SOCKETS + 1, CORES, THREADS)
RULES = (
    Rule("critical", "critical", "pods/critical", 2),
    Rule("exclusive", "critical", "pods/exclusive", 1),
    Rule("normal", "normal", "pods/normal", 2),
    Rule("background", "background", "pods/background"),
)
# threads, microseconds of cpu time, microseconds of sleep
PULSES = {
    "critical": (2, 2000, 3000),
    "exclusive": (1, 20000, 5000),
    "normal": (8, 1000, 2000),
    "other": (2, 500, 5000),
}
FOREIGN = ("normal", "background", "other")
LEAST_EXCLUSIVE = 0.05  # of the window, one thread's time
LEAST_FOREIGN = 1.0  # cpus


@dataclass(frozen=True, slots=True)
class Settings:
    """seconds: the window. settle_s: before it, once everything runs. spinners: of the background."""

    seconds: float = 3.0
    settle_s: float = 1.0
    spinners: int = 2 * CPUS


class Smt(Scenario[Settings]):
    """Foreign time on confined cpus and beside exclusive threads."""

    name = "smt"
    settings_type = Settings
    about = "who runs on confined cpus and beside exclusive threads, on 2 sockets of 2 cores of 2 threads"
    points_are = POINT
    default_points = (POINT,)
    programs: ClassVar[tuple[str, ...]] = ("pulse", "spin")
    steady = False

    def check_point(self, point: str) -> None:
        among(point, (POINT,))

    def shape(self, point: str) -> Shape:
        sockets, cores, threads = TOPOLOGY
        return Shape(CPUS + 1, sockets * cores * threads, TOPOLOGY)

    def main(self, point: str) -> tuple[str, str]:
        return "foreign_ns_on_confined", "ns"

    def rules(self) -> list[Rule]:
        return list(RULES)

    def pods(self) -> dict[str, int]:
        asked = {rule.name: round((rule.cpus or 0) * 1000) for rule in RULES}
        return asked | {"other": 100}

    # ---- in the guest ----

    @contextmanager
    def ready(self, house: House) -> Iterator[None]:
        words = ["temper", "plan", "--workloads", str(house.workloads), "--json"]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        self._plan = json.loads(done.stdout)
        yield

    def play(self, house: House, arm: str, point: str) -> dict[str, Any]:
        with ExitStack() as stack:
            for pod, pulse in PULSES.items():
                argv = [str(house.bin / "pulse"), *map(str, pulse)]
                stack.enter_context(stage.running(stage.ROOT / pod, argv))
            stack.enter_context(service.spinning(house, self.settings.spinners))
            time.sleep(self.settings.settle_s)
            known = tasks.everybody()
            with tracing() as trace:
                touch_cpus()
                with service.window((*PULSES, service.BACKGROUND)) as measured:
                    time.sleep(self.settings.seconds)
            known = tasks.everybody() | known  # who was there before has not changed since
        trace.write(house.work / "trace.txt")
        (house.work / "tasks.json").write_text(json.dumps(known))
        return {
            "window": measured,
            "lost": trace.lost,
            "trace": house.bring(house.work / "trace.txt", arm, point),
            "tasks": house.bring(house.work / "tasks.json", arm, point),
            "siblings": read_siblings(),
            "plan": self._plan,
            "status": of_status(agent.read_status()),
        }

    # ---- on the host ----

    def judge(self, seen: Seen) -> list[Figure]:
        data, measured = seen.data, seen.data["window"]
        siblings = {int(cpu): tuple(others) for cpu, others in data["siblings"].items()}
        node = Node.of(data["plan"]["layers"], siblings)
        trace = switches.read(Path(seen.raw, data["trace"]))
        known = {int(tid): task for tid, task in json.loads(Path(seen.raw, data["tasks"]).read_text()).items()}
        pods = {rule.cgroup: rule.tier for rule in RULES}
        layers = companions.layers_of(known, trace.names, pods, node)
        spans = switches.spans(trace.switches, measured["start_ns"], measured["end_ns"])
        found = companions.share(spans, layers, node)
        silent = set(range(CPUS)) - {switch.cpu for switch in trace.switches}
        doubts = (
            *trace_doubts(data["lost"], silent),
            *plan_doubts(seen, node),
            *load_doubts(seen, found),
        )
        window_ns = measured["end_ns"] - measured["start_ns"]
        return figures(found, window_ns, len(node.owner), len(trace.switches), doubts)


def touch_cpus() -> None:
    """One switch on every cpu, by a real-time task: a cpu that then idles on, or spins on, would tell nothing."""
    words = [["chrt", "-f", "1", "taskset", "-c", str(cpu), "true"] for cpu in range(CPUS)]
    for process in [stage.start(stage.ROOT / "other", argv) for argv in words]:
        if process.wait():
            raise subprocess.SubprocessError(f"taskset: status {process.returncode}")


def read_siblings(root: Path = Path("/sys/devices/system/cpu")) -> dict[int, list[int]]:
    """cpu -> the other cpus of its core, as the kernel says."""
    found = {}
    for path in root.glob("cpu[0-9]*/topology/core_cpus_list"):
        cpu = int(path.parts[-3].removeprefix("cpu"))
        found[cpu] = [other for other in parse_cpu_list(path.read_text().strip()) if other != cpu]
    return found


def trace_doubts(lost: int, silent: set[int]) -> list[str]:
    """Is the trace whole?"""
    return [
        *([f"{lost} events of the trace were lost"] if lost else ()),
        *([f"no switch was seen on cpu {', '.join(map(str, sorted(silent)))}"] if silent else ()),
    ]


def plan_doubts(seen: Seen, node: Node) -> list[str]:
    """Is there something confined and exclusive, and does the agent have in force what was planned?"""
    if not node.owner or not node.exclusive:
        return ["the plan confines nothing, or has no exclusive layer"]
    doubts = tier_doubts(seen, ["critical", "normal", "background"])
    if seen.arm == TEMPER and not doubts:
        in_force = Node.of(seen.data["status"]["layers"], node.siblings)
        doubts += ["the agent's layers are others than planned"] if in_force != node else []
    return doubts


def load_doubts(seen: Seen, found: Shared) -> list[str]:
    """Was there anything that could have met?"""
    measured = seen.data["window"]
    window_ns = measured["end_ns"] - measured["start_ns"]
    foreign = sum(service.used_cpus(seen, pod) for pod in FOREIGN)
    return [
        *(["exclusive threads hardly ran"] if found.exclusive < LEAST_EXCLUSIVE * window_ns else ()),
        *([f"foreign work used {foreign:.2f} cpus only"] if foreign < LEAST_FOREIGN else ()),
    ]


def figures(found: Shared, window_ns: int, confined: int, n: int, doubts: Sequence[str]) -> list[Figure]:
    """n: switches. A share of nothing is no figure."""

    def of(part: float, whole: float) -> float:
        return round(part / whole, 6) if whole else float("nan")

    values = (
        ("foreign_ns_on_confined", found.foreign_on_confined, "ns"),
        ("foreign_share_on_confined", of(found.foreign_on_confined, window_ns * confined), "share"),
        ("foreign_ns_beside_exclusive", found.foreign_beside, "ns"),
        ("foreign_share_beside_exclusive", of(found.foreign_beside, found.exclusive), "share"),
        ("paired_share_in_exclusive", of(found.paired, found.exclusive), "share"),
    )
    return [Figure(metric, value, unit, n, tuple(doubts)) for metric, value, unit in values]


SCENARIO = Smt
