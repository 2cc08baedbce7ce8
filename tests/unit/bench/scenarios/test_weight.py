import math

import pytest
from bench.guest.stage import Look
from bench.scenario import Order, Seen
from bench.scenarios.weight import Weight

CPUS, SECONDS = 4, 5
NORMAL = {"state": "enforcing", "layers": [{"name": "normal"}]}


def judged(tmp_path, point, used, *, arm="temper", status=NORMAL):
    """used: cpus of each group, by its path below the pod."""
    window = {
        "start_ns": 0,
        "end_ns": SECONDS * 10**9,
        "cpu_us": {f"weighed/{path}": cpus * SECONDS * 1e6 for path, cpus in used.items()},
    }
    look = Look("enabled", "temper", 1)
    data = {"window": window, "status": status if arm == "temper" else {}}
    scenario = Weight(Order("weight", CPUS, ("stock", "temper"), (point,)))
    return {figure.metric: figure for figure in scenario.judge(Seen(arm, point, look, look, data, tmp_path))}


@pytest.mark.parametrize(
    ("point", "used"),
    [
        ("flat", {"light": 4 / 7, "middle": 8 / 7, "heavy": 16 / 7}),
        ("crowded", {"light": 0.5, "middle": 1.0, "heavy": 2.0}),  # whatever else took the rest
        ("spare", {"light": 1, "middle": 2, "heavy": 1}),
        ("one-against-32", {"one": 0.8, "many": 3.2}),
        (
            "nested",
            {
                f"{outer}/{inner}": cpus * share
                for outer, cpus in (("light", 0.8), ("heavy", 3.2))
                for inner, share in (("light", 1 / 7), ("middle", 2 / 7), ("heavy", 4 / 7))
            },
        ),
    ],
)
def test_the_ideal_is_1_everywhere(tmp_path, point, used):
    found = judged(tmp_path, point, used)
    assert {metric: figure.value for metric, figure in found.items()} == {
        "worst_deviation": 0, **{f"{path}_of_ideal": 1 for path in used}
    }  # fmt: skip
    assert found["worst_deviation"].doubts == (("the spinners had 3.50 of 4 cpus",) if point == "crowded" else ())


def test_what_threads_alone_would_give_is_far_from_it(tmp_path):
    found = judged(tmp_path, "flat", {"light": 4 / 3, "middle": 4 / 3, "heavy": 4 / 3})
    assert [found[f"{name}_of_ideal"].value for name in ("light", "middle", "heavy")] == [2.3333, 1.1667, 0.5833]
    assert found["worst_deviation"].value == 1.3333


@pytest.mark.parametrize(
    ("used", "rest", "reason"),
    [
        (4 / 3, {}, None),
        (4 / 3, {"arm": "stock"}, None),
        (1.1, {}, "the spinners had 3.30 of 4 cpus"),
        (4 / 3, {"status": {"state": "enforcing", "layers": []}}, "no layer normal"),
    ],
)
def test_a_figure_of_something_else_says_so(tmp_path, used, rest, reason):
    doubts = judged(tmp_path, "flat", dict.fromkeys(("light", "middle", "heavy"), used), **rest)[
        "light_of_ideal"
    ].doubts
    assert (doubts == ()) if reason is None else (len(doubts) == 1 and reason in doubts[0])


def test_spinners_that_had_nothing_have_no_share(tmp_path):
    found = judged(tmp_path, "flat", dict.fromkeys(("light", "middle", "heavy"), 0))
    assert math.isnan(found["worst_deviation"].value)
    assert found["worst_deviation"].doubts == ("the spinners had 0.00 of 4 cpus",)
