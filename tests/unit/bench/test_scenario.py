import pytest
from bench import scenario
from bench.guests import Shape
from bench.scenario import FOLDER, Order, Unfit
from bench.workloads import text

from temper.settings import workloads

NAMES = ("ladder", "quota", "quota-pgbench", "reconfigure", "smt", "switch-cost", "throughput", "weight")


def made(name, *points, **rest):
    kind = scenario.find(name)
    return kind(Order(name, rest.pop("cpus", kind.default_cpus or 0), kind.arms, points or kind.default_points, rest))


def test_scenarios_are_found_by_the_names_of_their_modules():
    assert set(NAMES) <= set(scenario.names())
    assert all(scenario.find(name).name == name for name in scenario.names())


@pytest.mark.parametrize("name", ["nothing", "", "../ladder", "switch_cost"])
def test_an_unknown_scenario_is_refused_with_those_that_there_are(name):
    with pytest.raises(Unfit, match="there are ladder"):
        scenario.find(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_can_be_made_as_it_is_by_default(name):
    found = made(name)
    assert {scenario.decided_by(arm) for arm in found.arms} <= set(scenario.ARMS)
    assert all((FOLDER.parent / f"load/{program}.c").exists() for program in found.programs)
    for point in found.order.points:
        assert len(found.main(point)) == 2
        assert found.node_cpus(point) >= 1


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_is_valid_and_about_a_pod_of_the_scenarios(name):
    found = made(name)
    parsed = workloads.parse(text(found.rules()), "w.toml").rules
    assert {rule.cgroup for rule in parsed} <= {f"pods/{pod}" for pod in found.pods()}
    assert max(rule.millicpu or 0 for rule in parsed) <= 1000 * found.node_cpus(found.order.points[0])


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("ladder", "x"), ("ladder", "33"), ("ladder", "-1"), ("ladder", "01"), ("ladder", ""), ("ladder", "²"),
        ("switch-cost", "three-cpus"), ("throughput", "sysbench"), ("reconfigure", "100001"), ("smt", "0"),
        ("weight", "steep"), ("quota-pgbench", "6401"),
        ("quota", "all"), ("quota", "5pct-10ms-b0-t1"), ("quota", "5pct-2000ms-b0-t1"), ("quota", "5pct-100ms-b2-t1"),
        ("quota", "5pct-100ms-b0-t1025"), ("quota", "5pct-100ms-b0-t0"), ("quota", "5pct-100ms-b0-t1 "),
    ],
)  # fmt: skip
def test_a_point_that_is_none_is_named(name, point):
    with pytest.raises(Unfit, match="point"):
        made(name, point)


def test_an_order_goes_to_the_guest_and_is_the_same_there(tmp_path):
    order = Order("ladder", 3, ("stock", "temper"), ("0", "2"), {"seconds": 1.5})
    order.write(tmp_path / "order.json")
    assert Order.read(tmp_path / "order.json") == order


def test_the_instruments_cpu_is_beside_those_of_the_node():
    found = made("ladder", "0")
    assert (found.shape("0"), found.node_cpus("0")) == (Shape(4, 8), 3)
    assert made("switch-cost").node_cpus("same-cpu") == 1
    assert made("smt").node_cpus("mixed") == 8
