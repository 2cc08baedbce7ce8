"""The ladder: what a Critical memcached waits while more and more Background spins beside it.

A point is the number of spinners in multiples of the node's cpus. At each the client begins, then the spinners, then
the window opens; the client ends first, so that what is still due is answered under the load that delayed it.

Not valid when another scheduler than the arm's decided for a moment, the client sent at another rate than planned or
was itself late, a request was lost, the spinners did not run, memcached was not confined (temper), or it was not as
busy as it is meant to be (stock, point 0).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from bench import service
from bench.guest import agent
from bench.guest.house import House
from bench.guest.memcached import Load
from bench.layers import fence_doubts, of_status
from bench.scenario import Figure, Scenario, Seen, whole
from bench.workloads import Rule

MOST = 32  # times the cpus; spin has 1024 threads at most


@dataclass(frozen=True, slots=True)
class Settings:
    """seconds: a window. settle_s: before it, once the spinners run, and before those, once the client sends.

    service_cpus: memcached's own, one worker for each; 0: all but one. rate: requests a second; 0: as busy as the demo.
    seed: of the client's schedule.
    """

    seconds: float = 3.0
    settle_s: float = 0.5
    service_cpus: int = 0
    rate: float = 0.0
    seed: int = 1


class Ladder(Scenario[Settings]):
    """p50, p99 and p99.9 of memcached at each rung."""

    name = "ladder"
    settings_type = Settings
    about = "latency of a Critical memcached under Background spinners"
    points_are = f"spinners, in multiples of the node's cpus: 0 to {MOST}"
    default_points = ("0", "1", "2", "4", "8")
    default_cpus = 3
    least_cpus = 2
    programs: ClassVar[tuple[str, ...]] = ("mcopen", "spin")

    def check_point(self, point: str) -> None:
        whole(point, MOST)

    @property
    def own(self) -> int:
        """memcached's cpus."""
        return self.settings.service_cpus or self.order.cpus - 1

    @property
    def load(self) -> Load:
        """Its load: the schedule repeats with each window's length."""
        rate = self.settings.rate or service.rate(self.own, self.order.cpus)
        return Load(threads=self.own, rate=rate, period_s=self.settings.seconds, seed=self.settings.seed)

    def spinners(self, point: str) -> int:
        """Threads in the background."""
        return int(point) * self.order.cpus

    def main(self, point: str) -> tuple[str, str]:
        return "latency_p99", "us"

    def rules(self) -> list[Rule]:
        return service.rules(self.own)

    def pods(self) -> dict[str, int]:
        return service.pods(self.own)

    @contextmanager
    def ready(self, house: House) -> Iterator[None]:
        self._service = service.Service(house, self.load)
        with self._service.serving():
            yield

    def play(self, house: House, arm: str, point: str) -> dict[str, Any]:
        with self._service.asked() as client:
            time.sleep(self.settings.settle_s)
            with service.spinning(house, self.spinners(point)):
                time.sleep(self.settings.settle_s)
                with service.window((service.POD, service.BACKGROUND)) as measured:
                    time.sleep(self.settings.seconds)
                client_said = self._service.answered(client, arm, point)
        return {"window": measured, "client": client_said, "status": of_status(agent.read_status())}

    def judge(self, seen: Seen) -> list[Figure]:
        spinners = self.spinners(seen.point)
        found = service.figures(seen, self.load, own=self.own, cpus=self.order.cpus, spinners=spinners)
        fence = fence_doubts(seen, "critical")
        return [replace(figure, doubts=(*figure.doubts, *fence)) for figure in found]


SCENARIO = Ladder
