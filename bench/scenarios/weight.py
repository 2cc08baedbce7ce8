"""What cpu.weight gives: each cgroup's share of what was consumed, against the ideal one.

Spinners in sibling cgroups below one pod of Normal, so that weights decide among them and nothing else does:

flat: weights 100, 200 and 400, each with as many threads as the node has cpus.
crowded: the same with eight times as many threads.
nested: weights 100 and 400, in each of which are 100, 200 and 400: shares multiply.
spare: as flat, but the heavy one has one thread, so that it can't use its share: the others have what is over.
one-against-32: weight 100 with one thread beside weight 400 with 32. By threads it would have one of 33.

A figure is a ratio: cpu time over ideal, of all that the spinners consumed together, by water-filling
(bench/fair_shares.py). worst_deviation: how far the worst of them is from 1. Stock is not ideal either, as it splits a
group's weight over its cpus: flat, crowded and nested were within 4 %, spare within 16 %, and the one thread of
one-against-32 had 0.99 of its ideal with Linux 6.19, 0.3 with 7.3.

Not valid when another scheduler than the arm's decided for a moment, the agent's layers do not have the pod in Normal,
or the spinners consumed less than nine tenths of what cpus and threads allow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from bench import service
from bench.fair_shares import Group, ideal, leaves
from bench.guest import agent, stage
from bench.guest.house import House
from bench.layers import of_status, tier_doubts
from bench.scenario import Figure, Scenario, Seen, among
from bench.workloads import Rule

POD = "weighed"
LIGHT, MIDDLE, HEAVY = 100, 200, 400
LEAST_SHARE = 0.9


def three(light: int, middle: int, heavy: int) -> tuple[Group, ...]:
    """The weights, with so many threads in each."""
    return Group("light", LIGHT, light), Group("middle", MIDDLE, middle), Group("heavy", HEAVY, heavy)


# The groups of a point, by the node's cpus.
POINTS: dict[str, Callable[[int], tuple[Group, ...]]] = {
    "flat": lambda cpus: three(cpus, cpus, cpus),
    "crowded": lambda cpus: three(8 * cpus, 8 * cpus, 8 * cpus),
    "nested": lambda cpus: (
        Group("light", LIGHT, children=three(cpus, cpus, cpus)),
        Group("heavy", HEAVY, children=three(cpus, cpus, cpus)),
    ),
    "spare": lambda cpus: three(cpus, cpus, 1),
    "one-against-32": lambda _: (Group("one", LIGHT, 1), Group("many", HEAVY, 32)),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """seconds: the window. settle_s: before it, once everything runs."""

    seconds: float = 5.0
    settle_s: float = 1.0


class Weight(Scenario[Settings]):
    """Shares of siblings with different weights."""

    name = "weight"
    settings_type = Settings
    about = "shares of sibling cgroups by cpu.weight, against the ideal ones"
    points_are = ", ".join(POINTS)
    default_points = tuple(POINTS)
    default_cpus = 4
    least_cpus = 2
    programs: ClassVar[tuple[str, ...]] = ("spin",)

    def check_point(self, point: str) -> None:
        among(point, tuple(POINTS))

    def main(self, point: str) -> tuple[str, str]:
        return "worst_deviation", "ratio"

    def rules(self) -> list[Rule]:
        return [Rule(POD, "normal", f"pods/{POD}", self.order.cpus)]

    def pods(self) -> dict[str, int]:
        return {POD: self.order.cpus * 1000}

    def groups(self, point: str) -> tuple[Group, ...]:
        """What is below the pod."""
        return POINTS[point](self.order.cpus)

    def play(self, house: House, arm: str, point: str) -> dict[str, Any]:
        groups = self.groups(point)
        with grown(POD, groups), ExitStack() as stack:
            for path, group in leaves(groups):
                stack.enter_context(service.spinners(house, group.threads, pod_of(path)))
            time.sleep(self.settings.settle_s)
            with service.window([pod_of(path) for path, _ in leaves(groups)]) as measured:
                time.sleep(self.settings.seconds)
        return {"window": measured, "status": of_status(agent.read_status())}

    def judge(self, seen: Seen) -> list[Figure]:
        groups = self.groups(seen.point)
        used = {path: service.used_cpus(seen, pod_of(path)) for path, _ in leaves(groups)}
        together = sum(used.values())
        most = min(self.order.cpus, sum(group.demand for group in groups))
        doubts = (
            *tier_doubts(seen, ["normal"]),
            *([f"the spinners had {together:.2f} of {most} cpus"] if together < LEAST_SHARE * most else ()),
        )
        ratios = {path: used[path] / share for path, share in ideal(groups, together).items()} if together else {}
        worst = max((abs(ratio - 1) for ratio in ratios.values()), default=float("nan"))
        threads = sum(group.threads for _, group in leaves(groups))
        return [
            Figure("worst_deviation", round(worst, 4), "ratio", threads, doubts),
            *(
                Figure(f"{'/'.join(path)}_of_ideal", round(ratios[path], 4), "ratio", group.threads, doubts)
                for path, group in leaves(groups)
                if path in ratios
            ),
        ]


def pod_of(path: Sequence[str]) -> str:
    """A group's cgroup, below pods/."""
    return "/".join((POD, *path))


@contextmanager
def grown(below: str, groups: Sequence[Group]) -> Iterator[None]:
    """The groups' cgroups below pods/`below`, and theirs, inside the block."""
    with stage.children(below, {group.name: group.weight for group in groups}), ExitStack() as stack:
        for group in groups:
            if group.children:
                stack.enter_context(grown(f"{below}/{group.name}", group.children))
        yield


SCENARIO = Weight
