"""The host's side of a measurement: one guest for each repeat and shape, and a line for each figure as it comes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import guests, lines, packages, programs
from bench.guest.stage import Look
from bench.guests import Shape
from bench.lines import Line, finite
from bench.scenario import Figure, Order, Scenario, Seen, decided_by
from bench.validity import wrong_scheduler

CLOCK = "virtual"


class Runner:
    """Plays one order some times and appends to a record.

    share: a folder for what guest and host exchange, emptied for each guest. say: progress, one line at a time.
    """

    def __init__(
        self,
        kind: type[Scenario[Any]],
        order: Order,
        *,
        out: Path,
        share: Path,
        kernel: str | None,
        timeout_s: float | None,
        say: Callable[[str], None],
    ) -> None:
        self._kind = kind
        self._order = order
        self._out = out
        self._share = share
        self._kernel = kernel
        self._timeout_s = timeout_s or kind.timeout_s
        self._say = say
        self.nr_valid = self.nr_invalid = 0

    def run(self, repeats: int) -> None:
        """All repeats. TestbedError or CalledProcessError when what the guest needs can't be made."""
        self._build()
        for repeat in range(1, repeats + 1):
            for shape, points in by_shape(self._kind(self._order)):
                order = replace(self._order, points=points)
                self._clear(order)
                _Guest(self, self._kind(order), repeat).play(shape)

    def _build(self) -> None:
        """What every guest of this run finds at /share."""
        self._say("building the load")
        shutil.rmtree(self._share, ignore_errors=True)
        programs.build(("turns", *self._kind.programs), self._share / "bin")
        if self._kind.steady:
            programs.build_bpf("idleburn", self._share / "bin")
        if self._kind.packages:
            packages.copy(packages.fetch(self._kind.packages), self._share / "packages")

    def _clear(self, order: Order) -> None:
        """What this guest finds there: its order, and nothing of the one before."""
        for folder in ("raw", "log"):
            shutil.rmtree(self._share / folder, ignore_errors=True)
        (self._share / "raw").mkdir()
        order.write(self._share / "order.json")

    def start(self, shape: Shape, hear: Callable[[str, float], None]) -> int:
        """Run the guest; its exit status."""
        words = guests.command(shape, self._share, kernel=self._kernel, timeout_s=self._timeout_s)
        return guests.follow(words, "bench.guest.play", hear)

    def say(self, text: str) -> None:
        """Progress."""
        self._say(text)

    def keep(self, found: list[Line]) -> None:
        """Write figures down."""
        lines.append(self._out, found)
        for line in found:
            self.nr_valid += line.valid
            self.nr_invalid += not line.valid
            value = "no figure" if line.value is None else f"{line.value:g} {line.unit}"
            doubt = "" if line.valid else f" (not valid: {line.reason})"
            self._say(f"    {line.arm} {line.point}: {line.metric} {value}{doubt}")

    @property
    def raw(self) -> Path:
        """What points brought home."""
        return self._share / "raw"


class _Guest:
    """One guest's run: hears its words, and notices what never came."""

    def __init__(self, runner: Runner, scenario: Scenario[Any], repeat: int) -> None:
        self._runner = runner
        self._scenario = scenario
        self._order = order = scenario.order
        self._repeat = repeat
        self._kernel = self._why = ""
        self._missing = {(arm, point) for arm in order.arms for point in order.points}

    def play(self, shape: Shape) -> None:
        """From boot to end. A guest that fails leaves points without figures, and they are written down as that."""
        status = self._runner.start(shape, self.hear)
        reason = self._why or f"the guest ended with status {status} before it was played"
        for arm in self._order.arms:
            for point in self._order.points:
                if (arm, point) in self._missing:
                    self._failed(arm, point, reason)

    def hear(self, line: str, elapsed_s: float) -> None:
        """One line of the guest's stdout. What is not JSON is shown: some program's own words."""
        try:
            told = json.loads(line)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            self._runner.say(f"    {line.rstrip()}")
            return
        self._kernel = told.get("kernel", self._kernel)
        self._why = told.get("error", self._why)
        if "stage" in told:
            self._runner.say(f"[{elapsed_s:6.1f} s] {self._order.scenario} repeat {self._repeat}: {told['stage']}")
        elif "failed" in told:
            self._failed(told["arm"], told["point"], told["failed"])
        elif "seen" in told:
            self._judge(told)

    def _judge(self, told: dict[str, Any]) -> None:
        arm, point = told["arm"], told["point"]
        seen = Seen(arm, point, Look(*told["before"]), Look(*told["after"]), told["seen"], self._runner.raw)
        try:
            figures = self._scenario.judge(seen)
        except (OSError, ValueError, KeyError) as error:
            self._failed(arm, point, f"what it brought home can't be read: {type(error).__name__}: {error}")
            return
        self._missing.discard((arm, point))
        around = wrong_scheduler(decider(seen.before, seen.after), decided_by(arm))
        self._runner.keep([self._line(arm, point, figure, around) for figure in figures])

    def _failed(self, arm: str, point: str, reason: str) -> None:
        self._missing.discard((arm, point))
        metric, unit = self._scenario.main(point)
        none = Figure(metric, float("nan"), unit, 0, (reason,))
        self._runner.keep([self._line(arm, point, none, [])])

    def _line(self, arm: str, point: str, figure: Figure, around: list[str]) -> Line:
        value = finite(figure.value)
        reasons = [*around, *figure.doubts, *(["there is no value"] if value is None and not figure.doubts else [])]
        return Line(
            scenario=self._order.scenario,
            arm=arm,
            point=point,
            metric=figure.metric,
            value=value,
            unit=figure.unit,
            n=figure.n,
            repeat=self._repeat,
            valid=not reasons,
            reason="; ".join(reasons),
            kernel=self._kernel,
            clock=CLOCK,
            cpus=self._scenario.node_cpus(point),
            settings=self._order.settings,
        )


def by_shape(scenario: Scenario[Any]) -> Iterator[tuple[Shape, tuple[str, ...]]]:
    """Points that share a guest, in the order of their first one."""
    groups: dict[Shape, list[str]] = {}
    for point in scenario.order.points:
        groups.setdefault(scenario.shape(point), []).append(point)
    for shape, points in groups.items():
        yield shape, tuple(points)


def decider(before: Look, after: Look) -> str:
    """Who decided from the first look to the second: "stock", the attached scheduler's name, or several things seen.

    Nobody attaches without counting up, so the same on both sides was there all the while.
    """
    names = {"enabled": "", "disabled": "stock"}
    said = [names.get(look.state, look.state) or look.ops for look in (before, after)]
    if said[0] == said[1] and before.seq != after.seq:
        said.append(f"{after.seq - before.seq} more attached meanwhile")
    return ",".join(dict.fromkeys(said))


def wall_failure(error: Exception) -> str:
    """What kept the host from making a guest, in one line."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]} failed with status {error.returncode}"
    return str(error)
