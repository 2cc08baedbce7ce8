"""What a scenario is: one module of bench/scenarios, found by its name, that plays in the guest and judges on the host.

The same object exists twice, made from the same `Order`: `bench/runner.py` asks it for its guest and has it judge what
came back, `bench/guest/play.py` has it play. So a scenario's module imports nothing that only one side has.
"""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from bench.guest.stage import Look
from bench.guests import Shape
from bench.settings import Settings
from bench.workloads import Rule

if TYPE_CHECKING:
    from bench.guest.house import House

STOCK, TEMPER = "stock", "temper"
# In the order played: stock first, in the same guest, then Temper's own agent is started. A scenario may have others.
ARMS = (STOCK, TEMPER)
FOLDER = Path(__file__).resolve().parent / "scenarios"


def decided_by(arm: str) -> str:
    """Whose scheduler is to decide in an arm: stock's, or Temper's, of which a scenario may have several arms."""
    return STOCK if arm == STOCK else TEMPER


class Unfit(Exception):
    """What was asked for does not fit: an unknown scenario, arm, point or setting. One line for a person."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be measured in one guest. cpus: the node's; settings: those of the scenario that were changed."""

    scenario: str
    cpus: int
    arms: tuple[str, ...]
    points: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """For the guest."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Order:
        """What the host wrote."""
        body = json.loads(path.read_text())
        return cls(**(body | {"arms": tuple(body["arms"]), "points": tuple(body["points"])}))


@dataclass(frozen=True, slots=True)
class Seen:
    """What one point of one arm brought home: what `play` returned, and who decided before and after it.

    raw: the folder of the files that `House.bring` names.
    """

    arm: str
    point: str
    before: Look
    after: Look
    data: Mapping[str, Any]
    raw: Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. n: of how many events it is made; doubts: why it can't be trusted, empty when it can."""

    metric: str
    value: float
    unit: str
    n: int
    doubts: tuple[str, ...] = ()


class Scenario(ABC, Generic[Settings]):
    """One scenario, made for one order. Unfit when the order does not fit it."""

    name: ClassVar[str]
    about: ClassVar[str]
    points_are: ClassVar[str]
    default_points: ClassVar[tuple[str, ...]]
    # What `--points all` means, where the points are a table that takes too long to be played unless asked for.
    all_points: ClassVar[tuple[str, ...]] = ()
    arms: ClassVar[tuple[str, ...]] = ARMS
    # The node's cpus; None when the points or the scenario itself say how many. least_cpus: below, there is no room.
    default_cpus: ClassVar[int | None] = None
    least_cpus: ClassVar[int] = 1
    # Programs of bench/load, and Debian packages beyond those of the guest's image.
    programs: ClassVar[tuple[str, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ()
    # A cpu beyond the node's for who observes and for the client; idle cpus that use up their turns.
    instrument: ClassVar[bool] = True
    steady: ClassVar[bool] = True
    # The agent on the instruments' cpu too, where what it does each second would be taken for the scheduler's doing.
    agent_beside: ClassVar[bool] = False
    timeout_s: ClassVar[float] = 3600.0  # of wall time, for one guest

    settings_type: ClassVar[type[Any]]  # a frozen dataclass whose fields all have defaults
    settings: Settings

    def __init__(self, order: Order) -> None:
        self.order = order
        self.settings = self.make_settings(order.settings)
        for point in order.points:
            self.check_point(point)

    @classmethod
    def make_settings(cls, changed: Mapping[str, Any]) -> Settings:
        """The scenario's own settings with some of them changed."""
        made: Settings = replace(cls.settings_type(), **changed)
        return made

    @abstractmethod
    def check_point(self, point: str) -> None:
        """Unfit, with what would do, when this is no point of the scenario's."""

    def shape(self, point: str) -> Shape:
        """The guest for a point; points with the same shape share one."""
        del point
        return Shape.even(self.order.cpus + self.instrument)

    def node_cpus(self, point: str) -> int:
        """How many cpus the node has at this point."""
        return self.shape(point).cpus - self.instrument

    @abstractmethod
    def main(self, point: str) -> tuple[str, str]:
        """Metric and unit of the figure that stands, without a value, for a point that could not be measured."""

    @abstractmethod
    def rules(self) -> list[Rule]:
        """The workloads file with which the agent is started."""

    def quotas_of(self, arm: str) -> dict[str, str]:
        """How cpu.max holds with one of Temper's arms, by tier, where it isn't by default: strict or smooth."""
        del arm
        return {}

    @abstractmethod
    def pods(self) -> dict[str, int]:
        """The cgroups below pods/, each with its cpu request in thousandths, 0 for a BestEffort pod."""

    @contextmanager
    def ready(self, house: House) -> Iterator[None]:
        """In the guest: what stays on stage for all arms and points."""
        del house
        yield

    @abstractmethod
    def play(self, house: House, arm: str, point: str) -> dict[str, Any]:
        """In the guest: one point. What it saw, for JSON. It judges nothing, and ends what it started.

        A TimeoutError, OSError or SubprocessError leaves this point without figures, and the others go on.
        """

    @abstractmethod
    def judge(self, seen: Seen) -> list[Figure]:
        """On the host: the figures of one point. That the arm's scheduler decided throughout is checked elsewhere."""


def among(point: str, allowed: tuple[str, ...]) -> None:
    """For `check_point`: one of these."""
    if point not in allowed:
        raise Unfit(f"point {point!r} is not one of {', '.join(allowed)}")


def whole(point: str, most: int) -> int:
    """For `check_point`: a whole number from 0 to `most`, written plainly."""
    if not (point.isascii() and point.isdigit() and str(int(point)) == point and int(point) <= most):
        raise Unfit(f"point {point!r} is not a whole number from 0 to {most}")
    return int(point)


def names() -> list[str]:
    """Every scenario there is."""
    return sorted(path.stem.replace("_", "-") for path in FOLDER.glob("[a-z]*.py"))


def find(name: str) -> type[Scenario[Any]]:
    """The scenario of that name. Unfit when there is none."""
    if name not in names():
        raise Unfit(f"no scenario {name!r}; there are {', '.join(names())}")
    module = importlib.import_module(f"bench.scenarios.{name.replace('-', '_')}")
    scenario: type[Scenario[Any]] = module.SCENARIO
    return scenario
