import json

import pytest
from bench.guest.stage import Look
from bench.scenario import Order, Seen
from bench.scenarios.switch_cost import SwitchCost

NORMAL = {"state": "enforcing", "layers": [{"name": "normal"}]}


def judged(tmp_path, point="same-cpu", arm="temper", switches=400, used=1.0, status=NORMAL):
    """200 round trips in four batches of 50, of which one was disturbed."""
    body = {"rounds": 200, "switches": switches, "batch_ns": [300_000, 310_000, 305_000, 900_000]}
    (tmp_path / "out.json").write_text(json.dumps(body))
    window = {"start_ns": 0, "end_ns": 10**9, "cpu_us": {"pingpong": used * 1e6}}
    look = Look("enabled", "temper", 1)
    data = {"window": window, "result": "out.json", "status": status}
    scenario = SwitchCost(Order("switch-cost", 0, (arm,), (point,)))
    return scenario.judge(Seen(arm, point, look, look, data, tmp_path))


def test_half_of_a_round_trip_in_nanoseconds_is_the_instructions_of_a_switch(tmp_path):
    median, mean = judged(tmp_path)
    assert (median.metric, median.value, median.n) == ("instructions_per_switch", 307_500 / 50 / 2, 400)
    assert (mean.metric, mean.value) == ("instructions_per_switch_mean", round(1_815_000 / 200 / 2, 1))
    assert median.doubts == ()


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ({"switches": 300}, "switched 1.50 times a round"),
        ({"switches": 440}, "switched 2.20 times a round"),
        ({"used": 0.8}, "80% of the one cpu"),
        ({"used": 0.8, "point": "two-cpus"}, None),
        ({"status": {"state": "enforcing", "layers": []}}, "no layer normal"),
        ({"status": {}, "arm": "stock"}, None),
    ],
)
def test_a_figure_of_something_else_says_so(tmp_path, rest, reason):
    doubts = judged(tmp_path, **rest)[0].doubts
    assert (doubts == ()) if reason is None else (len(doubts) == 1 and reason in doubts[0])


def test_the_pod_asks_for_as_many_cpus_as_there_are():
    assert SwitchCost(Order("switch-cost", 0, ("stock",), ("two-cpus",))).rules()[0].cpus == 2
