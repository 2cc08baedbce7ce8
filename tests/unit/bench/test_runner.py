import json

import pytest
from bench import lines
from bench.guest.stage import Look
from bench.guests import Shape
from bench.runner import Runner, by_shape, decider
from bench.scenario import Figure, Order
from bench.scenarios.switch_cost import SwitchCost

STOCK, OURS = ["disabled", "", 4], ["enabled", "temper", 5]


class Fake(SwitchCost):
    """Judges whatever it is given."""

    def judge(self, seen):
        return [Figure("figure", seen.data["value"], "things", 7, tuple(seen.data.get("doubts", ())))]


@pytest.fixture
def play(tmp_path, monkeypatch):
    """play(lines that the guest says by shape, exit status): the record's lines, and what was shown."""

    def run(said, status=0, repeats=1):
        order = Order("switch-cost", 0, ("stock", "temper"), ("same-cpu", "two-cpus"))
        shown = []
        runner = Runner(
            Fake, order, out=tmp_path / "r.jsonl", share=tmp_path / "share", kernel=None, timeout_s=None,
            say=shown.append,
        )  # fmt: skip

        def start(shape, hear):
            for line in said.get(shape.cpus, ()):
                hear(line if isinstance(line, str) else json.dumps(line), 1.0)
            return status

        monkeypatch.setattr(runner, "_build", (tmp_path / "share").mkdir)
        monkeypatch.setattr(runner, "start", start)
        runner.run(repeats)
        return lines.read(tmp_path / "r.jsonl"), "\n".join(shown)

    return run


def seen(arm, point, value, look, **rest):
    return {"seen": {"value": value, **rest}, "arm": arm, "point": point, "before": look, "after": look}


def test_figures_are_written_down_with_what_they_were_measured_under(play):
    found, _ = play(
        {
            1: [{"kernel": "7.3.4"}, seen("stock", "same-cpu", 10, STOCK), seen("temper", "same-cpu", 9, OURS)],
            2: [{"kernel": "7.3.4"}, seen("stock", "two-cpus", 20, STOCK), seen("temper", "two-cpus", 19, OURS)],
        }
    )
    assert [(line.arm, line.point, line.value, line.valid, line.cpus) for line in found] == [
        ("stock", "same-cpu", 10, True, 1),
        ("temper", "same-cpu", 9, True, 1),
        ("stock", "two-cpus", 20, True, 2),
        ("temper", "two-cpus", 19, True, 2),
    ]
    line = found[0]
    assert (line.scenario, line.metric, line.unit, line.n, line.repeat) == ("switch-cost", "figure", "things", 7, 1)
    assert (line.kernel, line.clock, line.reason) == ("7.3.4", "virtual", "")


def test_a_figure_that_is_doubted_is_kept_with_every_reason(play):
    other = ["disabled", "", 6]
    told = seen("temper", "same-cpu", 9, OURS, doubts=["it was late"]) | {"after": other}
    found, _ = play({1: [told]})
    (line,) = [line for line in found if line.value is not None]
    assert (line.valid, line.reason) == (False, "ops was temper,stock, not temper, throughout; it was late")


def test_a_value_that_is_none_is_not_valid(play):
    found, _ = play({1: [seen("stock", "same-cpu", float("nan"), STOCK)]})
    assert (found[0].value, found[0].valid, found[0].reason) == (None, False, "there is no value")


def test_a_point_that_failed_or_never_came_is_written_down_as_that(play):
    found, shown = play(
        {1: [{"failed": "no socket", "arm": "stock", "point": "same-cpu"}, "Kernel panic, perhaps\n"]}, status=125
    )
    assert [(line.arm, line.point, line.metric, line.value, line.valid) for line in found] == [
        ("stock", "same-cpu", "instructions_per_switch", None, False),
        ("temper", "same-cpu", "instructions_per_switch", None, False),
        ("stock", "two-cpus", "instructions_per_switch", None, False),
        ("temper", "two-cpus", "instructions_per_switch", None, False),
    ]
    assert found[0].reason == "no socket"
    assert found[1].reason == "the guest ended with status 125 before it was played"
    assert "Kernel panic" in shown


def test_the_guests_own_reason_for_ending_stands_for_what_it_did_not_play(play):
    found, _ = play({1: [{"stage": "the end", "error": "Temper attaches: not within 60 s"}]}, status=1)
    assert found[0].reason == "Temper attaches: not within 60 s"


def test_what_can_not_be_read_is_a_failed_point(play):
    found, _ = play({1: [{"seen": {}, "arm": "stock", "point": "same-cpu", "before": STOCK, "after": STOCK}]})
    assert "can't be read: KeyError: 'value'" in found[0].reason


def test_points_with_one_shape_share_a_guest():
    order = Order("switch-cost", 0, ("stock",), ("same-cpu", "two-cpus", "two-cpus-free"))
    assert list(by_shape(SwitchCost(order))) == [
        (Shape(1, 1), ("same-cpu",)),
        (Shape(2, 2), ("two-cpus", "two-cpus-free")),
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Look("disabled", "", 0), Look("disabled", "", 0), "stock"),
        (Look("enabled", "temper", 1), Look("enabled", "temper", 1), "temper"),
        (Look("enabled", "temper", 1), Look("disabled", "", 1), "temper,stock"),
        (Look("enabled", "temper", 1), Look("enabled", "temper", 3), "temper,2 more attached meanwhile"),
        (Look("disabled", "", 1), Look("disabled", "", 2), "stock,1 more attached meanwhile"),
        (Look("enabling", "temper", 1), Look("enabled", "temper", 1), "enabling,temper"),
    ],
)
def test_who_decided_from_one_look_to_the_next(before, after, expected):
    assert decider(before, after) == expected
