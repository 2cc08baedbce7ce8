"""What a cgroup's cpu.max lets through: spinners under quotas, periods, bursts and crowds of many sizes.

A point is QUOTApct-PERIODms-bBURST-tTHREADS: the quota in percent of a cpu, the burst in quotas (0 or 1). The spinners
are started without a limit and frozen; it is set, and three periods later, when a burst is saved up, they are thawed.
After three and a half more, and as many as the burst lasts and what was overrun then is owed, the window opens: whole
periods of the steady state.

consumed_of_asked: of cpu.stat's usage, against the quota or what the threads and cpus can use, whichever is less.
worst_window_beyond: the most consumed in any window of one period, wherever it begins, less quota and burst.
worst_window_owed: the same, less what others kept the spinners from earlier in the period. (A quota is for a period:
who was kept from it at the begin has it at the end, and the next one comes right after. The agent's own work, once a
second, takes a cpu of this guest for 20 ms, so it is done on the instruments' cpu here.)
after_rest_window_beyond: the same for the two periods after the thaw. The kernel's own rule allows a quota there: a
burst that was saved up may be used just before a period ends, and then comes the next quota.
Both windows are exact, from the kernel's trace of sched_switch; cpu.stat alone is a tick behind.

Not valid when another scheduler than the arm's decided for a moment, the agent's layers do not have the pod in Normal,
events of the trace were lost, a spinner was missing at the end, or trace and cpu.stat tell different consumptions.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from bench import service, switches
from bench.guest import agent, stage, tasks
from bench.guest.house import House
from bench.guest.tracing import tracing
from bench.layers import of_status, tier_doubts
from bench.scenario import Figure, Scenario, Seen, Unfit
from bench.windows import Consumption
from bench.workloads import Rule

POD = "limited"
QUOTAS_PERCENT, PERIODS_MS, BURSTS, THREADS = (5, 25, 150, 350), (10, 100, 1000), (0, 1), (1, 8, 64)
REST_PERIODS = 3
# And a half: whole periods that begin at a refill would be as long as the player woke up late, in the midst of a burst.
SETTLE_PERIODS = 3.5
FREEZE_S = 20.0
AFTER_REST_PERIODS = 2
LEAST_QUOTA_US = 1000  # the kernel takes no smaller one (kernel/sched/core.c)
MOST_PERIOD_MS = 1000
MOST_THREADS = 1024
# How far trace and cpu.stat may differ. Of what was consumed; on each cpu: what runs is counted at the next tick; for
# each switch: a part of it is charged to nobody, and a cpu of the guest does 200 instructions in a microsecond.
CLOSE, TICK_NS, SWITCH_NS = 0.01, 4_000_000, 20_000
_POINT = re.compile(r"([1-9]\d*)pct-([1-9]\d*)ms-b([01])-t([1-9]\d*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limit:
    """A point: a cpu.max and the threads under it. burst: in quotas."""

    quota_percent: int
    period_ms: int
    burst: int
    threads: int

    @classmethod
    def of(cls, point: str) -> Limit:
        """From its name. Unfit when the kernel would not take it."""
        found = _POINT.fullmatch(point)
        if not found:
            raise Unfit(f"point {point!r} is not like {DEFAULT_POINTS[0]!r}")
        limit = cls(*map(int, found.groups()))
        if limit.quota_us < LEAST_QUOTA_US or limit.period_ms > MOST_PERIOD_MS:
            raise Unfit(f"point {point!r}: the kernel takes quotas from {LEAST_QUOTA_US} us, periods to one second")
        if limit.threads > MOST_THREADS:
            raise Unfit(f"point {point!r} has more than {MOST_THREADS} threads")
        return limit

    def __str__(self) -> str:
        return f"{self.quota_percent}pct-{self.period_ms}ms-b{self.burst}-t{self.threads}"

    @property
    def period_us(self) -> int:
        """The period."""
        return self.period_ms * 1000

    @property
    def quota_us(self) -> int:
        """Of each period."""
        return self.period_us * self.quota_percent // 100

    @property
    def burst_us(self) -> int:
        """That may be saved up."""
        return self.burst * self.quota_us

    def settle_periods(self, cpus: int) -> float:
        """Until nothing saved up is left: each period takes of it what the spinners can use beyond the quota. And until
        what they overran then, a tick of each cpu at most, is paid out of the quotas that come."""
        running = min(self.threads, cpus)
        more_us = running * self.period_us - self.quota_us
        if more_us <= 0:
            return SETTLE_PERIODS
        return SETTLE_PERIODS + math.ceil(self.burst_us / more_us) + running * TICK_NS // 1000 // self.quota_us

    def wanted_cpus(self, cpus: int) -> float:
        """What is to be consumed on so many cpus."""
        return min(self.quota_us / self.period_us, self.threads, cpus)


def table() -> Iterator[str]:
    """Every point of the table that the kernel takes."""
    for limit in map(Limit, *zip(*product(QUOTAS_PERCENT, PERIODS_MS, BURSTS, THREADS), strict=True)):
        if limit.quota_us >= LEAST_QUOTA_US:
            yield str(limit)


# Every two values of the table that go together are in one of them.
DEFAULT_POINTS = (
    "5pct-100ms-b0-t1",
    "5pct-100ms-b1-t64",
    "5pct-1000ms-b0-t8",
    "25pct-10ms-b0-t64",
    "25pct-100ms-b0-t8",
    "25pct-100ms-b1-t8",
    "25pct-1000ms-b1-t1",
    "150pct-10ms-b1-t8",
    "150pct-100ms-b0-t64",
    "150pct-1000ms-b0-t1",
    "350pct-10ms-b1-t1",
    "350pct-100ms-b0-t8",
    "350pct-1000ms-b1-t64",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """seconds: the window, of which whole periods are taken, one at least. settle_s: before it, or more (see above)."""

    seconds: float = 10.0
    settle_s: float = 0.5


class Quota(Scenario[Settings]):
    """Consumption under a cpu.max, in steady state and after a rest."""

    name = "quota"
    settings_type = Settings
    about = "what spinners consume under a cpu.max: on average, and in the worst window of a period"
    points_are = "QUOTApct-PERIODms-bBURST-tTHREADS, burst in quotas (0 or 1); all: a table of these"
    default_points = DEFAULT_POINTS
    all_points = tuple(table())
    default_cpus = 4
    agent_beside = True
    programs: ClassVar[tuple[str, ...]] = ("spin",)
    timeout_s = 6 * 3600.0

    def check_point(self, point: str) -> None:
        Limit.of(point)

    def main(self, point: str) -> tuple[str, str]:
        return "consumed_of_asked", "ratio"

    def rules(self) -> list[Rule]:
        return [Rule(POD, "normal", f"pods/{POD}", self.order.cpus)]

    def pods(self) -> dict[str, int]:
        return {POD: self.order.cpus * 1000}

    def periods(self, limit: Limit) -> int:
        """Of the window."""
        return max(1, int(self.settings.seconds * 1e6) // limit.period_us)

    # ---- in the guest ----

    def play(self, house: House, arm: str, point: str) -> dict[str, Any]:
        limit = Limit.of(point)
        period_s = limit.period_us / 1e6
        pod = f"{POD}/{point}"
        with stage.children(POD, {point: 100}), service.spinners(house, limit.threads, pod) as threads:
            with ExitStack() as limits, tracing() as trace:
                with stage.frozen(stage.ROOT / pod):
                    stage.wait_for("the spinners to rest", lambda: stage.is_frozen(pod), FREEZE_S)
                    limits.enter_context(stage.limited(pod, limit.quota_us, limit.period_us, limit.burst_us))
                    time.sleep(REST_PERIODS * period_s)
                thawed_ns = time.monotonic_ns()
                time.sleep(max(limit.settle_periods(self.order.cpus) * period_s, self.settings.settle_s))
                with service.window((pod,)) as measured:
                    time.sleep(self.periods(limit) * period_s)
            left = set(threads) & set(tasks.of_pod(pod))
        trace.write(house.work / "trace.txt")
        return {
            "window": measured,
            "thawed_ns": thawed_ns,
            "threads": threads,
            "ended": len(threads) - len(left),
            "lost": trace.lost,
            "trace": house.bring(house.work / "trace.txt", arm, point),
            "status": of_status(agent.read_status()),
        }

    # ---- on the host ----

    def judge(self, seen: Seen) -> list[Figure]:
        limit = Limit.of(seen.point)
        measured, thawed_ns = seen.data["window"], seen.data["thawed_ns"]
        trace = switches.read(Path(seen.raw, seen.data["trace"]))
        threads = frozenset(seen.data["threads"])
        cpus = range(self.order.cpus)
        n, rests, period_ns = self.periods(limit), AFTER_REST_PERIODS, limit.period_us * 1000
        steady = Consumption.of(trace, threads, measured["start_ns"], measured["end_ns"], cpus)
        rested = Consumption.of(trace, threads, thawed_ns, thawed_ns + rests * period_ns)
        used = service.used_cpus(seen, f"{POD}/{seen.point}")
        window_ns = measured["end_ns"] - measured["start_ns"]
        switched = sum(measured["start_ns"] <= switch.t_ns < measured["end_ns"] for switch in trace.switches)
        uncounted_ns = self.order.cpus * TICK_NS + switched * SWITCH_NS
        doubts = (
            *tier_doubts(seen, ["normal"]),
            *([f"{seen.data['lost']} events of the trace were lost"] if seen.data["lost"] else ()),
            *([f"{seen.data['ended']} spinners ended"] if seen.data["ended"] else ()),
            *trace_doubts(used, steady.total_ns / window_ns, CLOSE * used + uncounted_ns / window_ns),
        )
        return [
            Figure("consumed_of_asked", round(used / limit.wanted_cpus(self.order.cpus), 4), "ratio", n, doubts),
            Figure("worst_window_beyond", beyond_us(steady.most_in(period_ns), limit), "us", n, doubts),
            Figure("worst_window_owed", beyond_us(steady.most_owed_in(period_ns), limit), "us", n, doubts),
            Figure("after_rest_window_beyond", beyond_us(rested.most_in(period_ns), limit), "us", rests, doubts),
        ]


def beyond_us(most_ns: int, limit: Limit) -> float:
    """The busiest window of a period, less what it may have: below 0 when it had less."""
    return round(most_ns / 1000 - limit.quota_us - limit.burst_us, 1)


def trace_doubts(used: float, traced: float, tolerance: float) -> list[str]:
    """Two witnesses. All in cpus."""
    if abs(used - traced) <= tolerance:
        return []
    return [f"cpu.stat tells {used:.3f} cpus, the trace {traced:.3f}"]


SCENARIO = Quota
