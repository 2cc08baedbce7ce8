"""Plays one order inside a guest and says what it saw; it judges nothing.

    python3 -m bench.guest.play /share

/share holds order.json, bin/ and perhaps packages/; it gets raw/ and log/. Each line of stdout is one JSON object:
`kernel`, then `stage` (progress), `seen` (a point that was played) or `failed` (one that was not, and why).
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from bench import scenario, workloads
from bench.guest import agent, stage
from bench.guest.house import House
from bench.guest.idleburn import IdleBurn, IdleBurnError
from bench.scenario import TEMPER, Order, Scenario, decided_by
from bench.workloads import cpu_weight

WORK = Path("/run/bench")
# What a pod of the agent's own size asks for.
AGENT_MILLICPU = 100
FAILURES = (TimeoutError, OSError, subprocess.SubprocessError)


def tell(**said: Any) -> None:
    """One line for the host."""
    print(json.dumps(said), flush=True)


class Play:
    """One order. The same for every scenario: the machine, the arms, and who decided around each point."""

    def __init__(self, share: Path) -> None:
        order = Order.read(share / "order.json")
        self.house = House(share, WORK, order)
        self.scenario: Scenario[Any] = scenario.find(order.scenario)(order)
        self.kept: list[IdleBurn] = []  # attached as long as it is referred to
        self.agent_cgroup = stage.AGENT_BESIDE if self.scenario.agent_beside else stage.AGENT

    def set_up(self) -> None:
        """Our own place, cpus of constant speed, cgroups, and everything in memory."""
        WORK.mkdir()
        self.house.workloads.parent.mkdir()
        (self.house.share / "log").mkdir(exist_ok=True)
        if (packages := self.house.share / "packages").is_dir():
            shutil.copytree(packages, self.house.packages, symlinks=True)
        if self.scenario.instrument:
            stage.become_instrument(self.scenario.node_cpus(self.house.order.points[0]))
        else:
            stage.become_realtime()
        stage.no_huge_pages()
        if self.scenario.steady:
            self.kept.append(IdleBurn(self.house.bin / "idleburn.bpf.o"))
        requests = self.scenario.pods() | {stage.AGENT.name: AGENT_MILLICPU}
        stage.make_pods({name: cpu_weight(millicpu) for name, millicpu in requests.items()})
        self.agent_cgroup.mkdir(exist_ok=True)
        self.house.workloads.write_text(workloads.text(self.scenario.rules()))

    @contextmanager
    def attached(self, arm: str) -> Iterator[None]:
        """The real standalone agent with this arm's file, attached and at rest inside the block."""
        self.house.workloads.write_text(workloads.text(self.scenario.rules(), self.scenario.quotas_of(arm)))
        process = agent.start(self.agent_cgroup, self.house.workloads, log := WORK / f"agent-{arm}.log")
        try:
            agent.wait_attached(process.pid)
            agent.wait_rest(self.agent_cgroup)
            yield
        finally:
            stage.end(process)
            shutil.copyfile(log, self.house.share / "log" / log.name)

    def point(self, arm: str, point: str) -> None:
        """One point, between two looks at the kernel."""
        tell(stage=f"{arm}, point {point}")
        before = stage.look()
        try:
            data = self.scenario.play(self.house, arm, point)
        except FAILURES as error:
            tell(failed=describe(error), arm=arm, point=point)
            return
        tell(seen=data, arm=arm, point=point, before=before, after=stage.look())

    def arm(self, name: str) -> None:
        """All points of one arm. Whatever keeps it from beginning is told by the host, which misses its points."""
        tell(stage=f"{name}: begins")
        with self.attached(name) if decided_by(name) == TEMPER else nullcontext():
            for point in self.house.order.points:
                self.point(name, point)

    def run(self) -> None:
        """Everything."""
        tell(kernel=platform.release())
        self.set_up()
        with self.scenario.ready(self.house):
            for name in self.house.order.arms:
                self.arm(name)


def describe(error: BaseException) -> str:
    """For a person: what went wrong."""
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else None
    return f"{error or type(error).__name__}{f': {said.strip()[-300:]}' if said else ''}"


def main() -> int:
    """Play; the exit status is 1 when something kept a part from being played at all."""
    try:
        Play(Path(sys.argv[1])).run()
    except (*FAILURES, IdleBurnError) as error:
        tell(stage=f"the end: {describe(error)}", error=describe(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
