from dataclasses import astuple
from itertools import combinations

import pytest
from bench.guest.stage import Look
from bench.scenario import Order, Seen
from bench.scenarios.quota import DEFAULT_POINTS, Limit, Quota

S, MS = 10**9, 10**6
POINT = "25pct-100ms-b1-t1"
NORMAL = {"state": "enforcing", "layers": [{"name": "normal"}]}


def switch(ns, before, after):
    return (
        f"  x-1 [000] d..2. {ns / S:.6f}: sched_switch: prev_comm=x prev_pid={before} prev_prio=120 "
        f"prev_state=R ==> next_comm=y next_pid={after} next_prio=120\n"
    )


def judged(tmp_path, *, arm="temper", lost=0, ended=0, used_us=500_000, status=NORMAL, late_ms=0):
    """Thawed at 1 s, measured from 2 s to 4 s: 25 ms from each tenth of a second on, and at first twice that.

    The first 50 ms end just before a period does. late_ms: how much later one period of the window gets its own.
    """
    found = [switch(S + 45 * MS, 0, 7), switch(S + 95 * MS, 7, 0)]
    for period in range(11, 45):
        began = period * 100 * MS + (late_ms * MS if period == 30 else 0)
        found += [switch(began, 0, 7), switch(began + 25 * MS, 7, 0)]
    (tmp_path / "trace").write_text("".join(found))
    window = {"start_ns": 2 * S, "end_ns": 4 * S, "cpu_us": {f"limited/{POINT}": used_us}}
    data = {
        "window": window, "thawed_ns": S, "threads": [6, 7], "ended": ended, "lost": lost,
        "trace": "trace",
        "status": status if arm == "temper" else {},
    }  # fmt: skip
    scenario = Quota(Order("quota", 4, ("stock", "temper"), (POINT,), {"seconds": 2.0}))
    look = Look("enabled", "temper", 1)
    return {figure.metric: figure for figure in scenario.judge(Seen(arm, POINT, look, look, data, tmp_path))}


def test_what_is_consumed_is_held_against_what_is_asked(tmp_path):
    found = judged(tmp_path)
    assert {metric: (figure.value, figure.unit, figure.n) for metric, figure in found.items()} == {
        "consumed_of_asked": (1.0, "ratio", 20),
        "worst_window_beyond": (-25_000, "us", 20),
        "worst_window_owed": (-25_000, "us", 20),
        "after_rest_window_beyond": (25_000, "us", 2),
    }
    assert {figure.doubts for figure in found.values()} == {()}


def test_a_window_that_had_a_part_of_the_next_period_is_seen(tmp_path):
    assert judged(tmp_path, late_ms=10)["worst_window_beyond"].value == 10_000 - 25_000


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ({"arm": "stock"}, None),
        ({"used_us": 520_000}, None),  # a tick on each of four cpus
        ({"used_us": 540_000}, "cpu.stat tells 0.270 cpus, the trace 0.250"),
        ({"lost": 3}, "3 events of the trace were lost"),
        ({"ended": 1}, "1 spinners ended"),
        ({"status": {"state": "enforcing", "layers": []}}, "no layer normal"),
    ],
)
def test_a_figure_of_something_else_says_so(tmp_path, rest, reason):
    doubts = judged(tmp_path, **rest)["consumed_of_asked"].doubts
    assert (doubts == ()) if reason is None else (len(doubts) == 1 and reason in doubts[0])


@pytest.mark.parametrize(
    ("point", "wanted"),
    [("5pct-100ms-b0-t64", 0.05), ("350pct-10ms-b0-t8", 3.5), ("350pct-10ms-b0-t64", 3.5), ("150pct-1000ms-b1-t1", 1)],
)
def test_nobody_can_use_more_than_threads_and_cpus(point, wanted):
    assert Limit.of(point).wanted_cpus(4) == wanted
    assert Limit.of("800pct-100ms-b0-t64").wanted_cpus(4) == 4


@pytest.mark.parametrize(
    ("point", "periods"),
    [
        ("25pct-100ms-b0-t8", 3.5),
        ("25pct-100ms-b1-t8", 4.5),
        ("5pct-100ms-b1-t8", 4.5 + 3),  # 16 ms of four ticks, 5 in each period
        ("350pct-1000ms-b1-t64", 3.5 + 7),  # four cpus take half a cpu's second of it in each period
        ("150pct-1000ms-b1-t1", 3.5),  # never used
    ],
)
def test_the_window_opens_when_nothing_saved_up_is_left(point, periods):
    assert Limit.of(point).settle_periods(4) == periods


def test_the_table_has_every_point_that_the_kernel_takes():
    points = Quota.all_points
    assert len(points) == len(set(points)) == 72 - 6  # 0.5 ms of 10 ms is too little
    assert {str(Limit.of(point)) for point in points} == set(points)
    assert set(DEFAULT_POINTS) <= set(points)


def pairs(points):
    """Every two values of a point, with which of its parts they are."""
    return {pair for point in points for pair in combinations(enumerate(astuple(Limit.of(point))), 2)}


def test_every_two_values_of_the_table_are_played_together_unless_told_otherwise():
    assert pairs(DEFAULT_POINTS) == pairs(Quota.all_points)


def test_the_window_is_of_whole_periods():
    quota = Quota(Order("quota", 4, ("stock",), DEFAULT_POINTS, {"seconds": 2.5}))
    assert [quota.periods(Limit.of(f"5pct-{period}ms-b0-t1")) for period in (100, 1000)] == [25, 2]
    assert Quota(Order("quota", 4, ("stock",), (), {"seconds": 0.5})).periods(Limit.of("5pct-1000ms-b0-t1")) == 1
