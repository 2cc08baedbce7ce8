import pytest
from bench import packages
from bench.guest.postgres import Load
from bench.guest.stage import Look
from bench.scenario import Order, Seen
from bench.scenarios.quota_pgbench import QuotaPgbench
from bench.workloads import text

from temper.plan.tiers import SMOOTH_PERIODS
from temper.settings import workloads

S, MS = 10**9, 10**6
EPOCH_NS = 1_763_992_800 * S
ARMS = ("stock", "temper-strict", "temper-smooth")
RATE = 100


def scenario(**settings):
    return QuotaPgbench(Order("quota-pgbench", 3, ARMS, ("0", "50"), settings))


def switch(ns, before, after):
    return (
        f"  x-1 [000] d..2. {ns / S:.6f}: sched_switch: prev_comm=x prev_pid={before} prev_prio=120 "
        f"prev_state=R ==> next_comm=y next_pid={after} next_prio=120\n"
    )


def judged(tmp_path, point="50", arm="stock", *, used=0.35, asked=RATE, late_us=10, **rest):
    """One second from 10 s on: a query each 10 ms took 4 ms; its whole quota in the fourth tenth, half of it else.

    rest: throttled (periods), status (pgbench's), lost (events), layer (name), smooth_periods.
    """
    ended_us = [10_000_000 + number * 1_000_000 // asked + 4000 for number in range(asked)]
    lines = [f"0 1 4000 0 {EPOCH_NS // S + us // 10**6} {us % 10**6} {late_us}\n" for us in ended_us]
    (tmp_path / "log").write_text("".join(lines))
    switches = []
    for tenth in range(10):
        began = 10 * S + tenth * 100 * MS
        switches += [switch(began, 0, 7), switch(began + (50 if tenth == 3 else 25) * MS, 7, 0)]
    (tmp_path / "trace").write_text("".join(switches))
    layer = {"name": rest.get("layer", "high"), "smooth_periods": rest.get("smooth_periods", 0)}
    data = {
        "window": {"start_ns": 10 * S, "end_ns": 11 * S, "cpu_us": {"postgres": used * 1e6}}, "epoch_ns": EPOCH_NS,
        "counted": {"nr_periods": 10, "nr_throttled": rest.get("throttled", 2)},
        "client": {"status": rest.get("status", 0), "said": ""},
        "transactions": "log", "threads": [7, 8], "lost": rest.get("lost", 0), "trace": "trace",
        "status": {} if arm == "stock" else {"state": "enforcing", "layers": [layer]},
    }  # fmt: skip
    look = Look("enabled", "temper", 1)
    found = scenario(rate=float(RATE)).judge(Seen(arm, point, look, look, data, tmp_path))
    return {figure.metric: figure for figure in found}


def test_a_good_window(tmp_path):
    found = judged(tmp_path)
    assert {metric: figure.value for metric, figure in found.items() if metric != "at_limit"} == {
        "latency_p50": 4000, "latency_p99": 4000, "throughput": RATE, "service_cpu": 0.35, "throttled_periods": 0.2,
    }  # fmt: skip
    # Of the 91 windows, of which one begins each 10 ms: those that begin from 50 ms before that tenth to 20 ms in it.
    assert found["at_limit"].value == round(8 / 91, 4)
    assert {figure.doubts for figure in found.values()} == {()}


def test_without_a_limit_nothing_is_said_of_it(tmp_path):
    assert set(judged(tmp_path, "0", used=1.5)) == {"latency_p50", "latency_p99", "throughput", "service_cpu"}
    assert judged(tmp_path, "0", used=1.5)["latency_p99"].doubts == ()


def test_the_kernel_counts_for_its_own_scheduler_only(tmp_path):
    assert "throttled_periods" not in judged(tmp_path, arm="temper-strict")


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ({"asked": 60}, "100.0 offered"),
        ({"late_us": 3000}, "the client itself"),
        ({"status": 2}, "pgbench failed with status 2"),
        ({"lost": 5}, "5 events of the trace were lost"),
        ({"used": 0.2}, "it used 40% of its limit"),
        ({"used": 0.48}, "it used 96% of its limit"),
        ({"used": 0.48, "arm": "temper-strict"}, None),
        ({"throttled": 0}, "no burst crossed the limit"),
        ({"throttled": 0, "arm": "temper-strict"}, None),
        ({"arm": "temper-smooth", "layer": "low"}, "no layer high"),
        ({"arm": "temper-smooth", "smooth_periods": 10}, None),
        ({"arm": "temper-smooth"}, "cpu.max of high was strict"),
        ({"arm": "temper-strict", "smooth_periods": 10}, "cpu.max of high was smooth"),
    ],
)
def test_a_window_that_proves_nothing_says_why(tmp_path, rest, reason):
    doubts = judged(tmp_path, **rest)["latency_p99"].doubts
    assert (doubts == ()) if reason is None else (len(doubts) == 1 and reason in doubts[0])


@pytest.mark.parametrize(("arm", "smooth_periods"), [("temper-strict", 0), ("temper-smooth", SMOOTH_PERIODS)])
def test_an_arm_says_how_the_limits_of_the_same_tier_hold(arm, smooth_periods):
    found = scenario()
    settings = workloads.parse(text(found.rules(), found.quotas_of(arm)), "w.toml")
    (rule,) = settings.rules
    assert settings.bandwidths[rule.tier].smooth_periods == smooth_periods


def test_a_cpu_is_asked_as_much_for_its_speed():
    assert scenario().load.rate == QuotaPgbench(Order("quota-pgbench", 7, ARMS, ("50",))).load.rate * 2


def test_a_query_stays_within_the_table():
    assert Load(rate=1.0, rows=1000).script().splitlines() == [
        "\\set first random(1, 99001)",
        "SELECT sum(abalance) FROM pgbench_accounts WHERE aid BETWEEN :first AND :first + 999;",
    ]


def test_what_a_database_is_made_from_goes_along():
    assert "usr/share/postgresql" in packages.PARTS
