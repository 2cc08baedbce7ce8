"""A real PostgreSQL under a cpu.max that its average is below and its bursts are not.

pgbench asks from outside of the limit, at random instants and a fixed rate (`--rate`), so that latency counts from the
planned instant. A query is a sum over rows by their key: nothing but cpu time, as the data lie in memory. A point is
the limit in percent of a cpu, at a period of 100 ms; 0 is none. The rate is the same at every point.

Arms: stock; temper-strict and temper-smooth, where the limits of PostgreSQL's tier hold in these ways.

latency_p50, latency_p99; throughput: queries a second that were answered; service_cpu: cpus that PostgreSQL used.
at_limit: the share of windows of one period (one begins each tenth of it) in which it used the whole quota, from the
kernel's trace of sched_switch. throttled_periods: what the kernel itself counts, which it does for its own scheduler.

Not valid when another scheduler than the arm's decided for a moment, the agent's layers do not have PostgreSQL's tier
with the arm's kind of limit, pgbench failed, sent at another rate than planned or began late itself, events of the
trace were lost, or (stock) the average was not below the limit with room, or no burst crossed it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench import pgbench_log, service, switches
from bench.guest import agent, stage, tasks
from bench.guest.house import House
from bench.guest.postgres import PACKAGES, Load, Postgres
from bench.guest.tracing import tracing
from bench.layers import of_status, tier_doubts
from bench.request_log import between, latencies
from bench.scenario import STOCK, Figure, Scenario, Seen, decided_by, whole
from bench.validity import late_client, wrong_rate
from bench.windows import Consumption
from bench.workloads import Rule

POD = "postgres"
TIER = "high"
QUOTAS = {"temper-strict": "strict", "temper-smooth": "smooth"}
PERIOD_US = 100_000
MOST_PERCENT = 6400
WINDOWS_A_PERIOD = 10
# A tick on each cpu may be missing from a window that had its whole quota.
WHOLE_QUOTA = 0.95
# Of the limit, on average: below that, bursts hardly cross it; above, queries wait whatever the bursts are.
LOAD = (0.5, 0.9)
# Queries a second that use 0.38 cpus when four cpus share the clock's rate (a cpu is as fast as its share is large).
RATE, CPUS_OF_THAT = 170.0, 4
END_S = 60.0
# A connection's first query makes its plan and fills its caches, for many times what another one costs: each has had
# one before there is a limit. They take turns.
WARM_UP_TURNS = 2
# pgbench's time begins before it has connected, and its connections' ends cost the server cpu time: beyond the window.
BEYOND_S = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """seconds: the window. settle_s: before it, under the limit. rows: of a query. clients: connections, up to 290.

    rate: queries a second; 0: such that 0.38 cpus are used. seed: of their instants.
    """

    seconds: float = 10.0
    settle_s: float = 2.0
    rows: int = 200
    clients: int = 64
    rate: float = 0.0
    seed: int = 1


class QuotaPgbench(Scenario[Settings]):
    """Latency of PostgreSQL when bursts cross its cpu.max."""

    name = "quota-pgbench"
    settings_type = Settings
    about = "latency of PostgreSQL whose bursts cross its cpu.max"
    points_are = f"cpu.max in percent of a cpu: 0 (none) to {MOST_PERCENT}"
    default_points = ("0", "45")  # at 50 bursts hardly cross it, and stock itself is as good as without a limit
    arms = (STOCK, *QUOTAS)
    default_cpus = 3
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def check_point(self, point: str) -> None:
        whole(point, MOST_PERCENT)

    @property
    def load(self) -> Load:
        """What PostgreSQL is asked."""
        rate = self.settings.rate or RATE * CPUS_OF_THAT / (self.order.cpus + 1)
        return Load(rate, self.settings.rows, self.settings.clients, self.settings.seed)

    def main(self, point: str) -> tuple[str, str]:
        return "latency_p99", "us"

    def rules(self) -> list[Rule]:
        return [Rule(POD, TIER, f"pods/{POD}", self.order.cpus)]

    def quotas_of(self, arm: str) -> dict[str, str]:
        return {TIER: QUOTAS[arm]}

    def pods(self) -> dict[str, int]:
        return {POD: self.order.cpus * 1000}

    # ---- in the guest ----

    @contextmanager
    def ready(self, house: House) -> Iterator[None]:
        self._postgres = Postgres(house, POD, self.load)
        with self._postgres.serving():
            yield

    def play(self, house: House, arm: str, point: str) -> dict[str, Any]:
        log = house.work / "pgbench.log"
        warm_up_s = WARM_UP_TURNS * self.load.clients / self.load.rate
        seconds = math.ceil(warm_up_s + self.settings.settle_s + self.settings.seconds) + BEYOND_S
        with ExitStack() as stack:
            client = stack.enter_context(self._postgres.asked(seconds, log))
            self._postgres.wait_connected()
            threads = tasks.of_pod(POD)
            time.sleep(warm_up_s)
            if int(point):
                stack.enter_context(stage.limited(POD, quota_us(point), PERIOD_US))
            with tracing() as trace:
                time.sleep(self.settings.settle_s)
                before = stage.cpu_stat(POD)
                with service.window((POD,)) as measured:
                    time.sleep(self.settings.seconds)
                after = stage.cpu_stat(POD)
            status = client.wait(END_S)
        trace.write(house.work / "trace.txt")
        return {
            "window": measured,
            "epoch_ns": time.time_ns() - time.monotonic_ns(),
            "counted": {key: after[key] - before[key] for key in ("nr_periods", "nr_throttled")},
            "client": {"status": status, "said": log.read_text(errors="replace")[-1000:]},
            "transactions": house.bring(self._postgres.transactions(), arm, point),
            "threads": threads,
            "lost": trace.lost,
            "trace": house.bring(house.work / "trace.txt", arm, point),
            "status": of_status(agent.read_status()),
        }

    # ---- on the host ----

    def judge(self, seen: Seen) -> list[Figure]:
        data, measured = seen.data, seen.data["window"]
        start_ns, end_ns = measured["start_ns"], measured["end_ns"]
        asked = pgbench_log.read(Path(seen.raw, data["transactions"]))
        requests = between(asked, start_ns + data["epoch_ns"], end_ns + data["epoch_ns"])
        found = latencies(requests)
        rate = round(len(requests) * 1e9 / (end_ns - start_ns), 1)
        used = service.used_cpus(seen, POD)
        doubts = (
            *([f"pgbench failed with status {data['client']['status']}"] if data["client"]["status"] else ()),
            *([f"{data['lost']} events of the trace were lost"] if data["lost"] else ()),
            *wrong_rate(rate, self.load.rate, len(requests)),
            *late_client(found["client_lateness_p99_ms"], found["p99_ms"]),
            *(tier_doubts(seen, [TIER]) or quota_doubts(seen)),
            *(burst_doubts(used, seen.point, data["counted"]) if seen.arm == STOCK else ()),
        )
        n = len(requests)
        figures = [
            *(Figure(f"latency_{p}", round(found[f"{p}_ms"] * 1e3, 1), "us", n, doubts) for p in ("p50", "p99")),
            Figure("throughput", rate, "queries/s", n, doubts),
            Figure("service_cpu", round(used, 3), "cpus", n, doubts),
        ]
        return figures + (self._limit_figures(seen, doubts) if int(seen.point) else [])

    def _limit_figures(self, seen: Seen, doubts: tuple[str, ...]) -> list[Figure]:
        """How often it was at its limit."""
        measured, counted = seen.data["window"], seen.data["counted"]
        trace = switches.read(Path(seen.raw, seen.data["trace"]))
        threads = frozenset(seen.data["threads"])
        consumed = Consumption.of(trace, threads, measured["start_ns"], measured["end_ns"])
        period_ns, quota_ns = PERIOD_US * 1000, quota_us(seen.point) * 1000
        at_limit = consumed.share_with(int(WHOLE_QUOTA * quota_ns), period_ns, period_ns // WINDOWS_A_PERIOD)
        figures = [Figure("at_limit", round(at_limit, 4), "share", len(trace.switches), doubts)]
        if decided_by(seen.arm) == STOCK and counted["nr_periods"]:
            share = counted["nr_throttled"] / counted["nr_periods"]
            figures.append(Figure("throttled_periods", round(share, 4), "share", counted["nr_periods"], doubts))
        return figures


def quota_us(point: str) -> int:
    """Of each period."""
    return PERIOD_US * int(point) // 100


def quota_doubts(seen: Seen) -> list[str]:
    """With Temper, and a layer of that tier: does its cpu.max hold as the arm says?"""
    if seen.arm not in QUOTAS:
        return []
    (smooth_periods,) = (each["smooth_periods"] for each in seen.data["status"]["layers"] if each["name"] == TIER)
    quota = "smooth" if smooth_periods else "strict"
    return [] if quota == QUOTAS[seen.arm] else [f"cpu.max of {TIER} was {quota}"]


def burst_doubts(used: float, point: str, counted: dict[str, int]) -> list[str]:
    """With stock: is the average below the limit, with room, and did bursts cross it? used: cpus."""
    if not int(point):
        return []
    load, (least, most) = used / (int(point) / 100), LOAD
    return [
        *([f"it used {load:.0%} of its limit, not {least:.0%} to {most:.0%}"] if not least <= load <= most else ()),
        *(["no burst crossed the limit"] if not counted["nr_throttled"] else ()),
    ]


SCENARIO = QuotaPgbench
