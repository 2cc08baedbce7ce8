import pytest
from bench.workloads import Rule, cpu_weight, text

from temper.plan.tiers import Tier
from temper.settings import workloads


def test_the_agent_reads_what_is_written():
    rules = [Rule("a", "critical", "pods/a", 2), Rule("b", "normal", "pods/b", 0.25), Rule("c", "low", "pods/c")]
    found = workloads.parse(text(rules), "w.toml").rules
    assert [(rule.name, rule.tier, rule.cgroup, rule.millicpu) for rule in found] == [
        ("a", Tier.CRITICAL, "pods/a", 2000),
        ("b", Tier.NORMAL, "pods/b", 250),
        ("c", Tier.LOW, "pods/c", None),
    ]


def test_the_agent_reads_how_limits_hold():
    found = workloads.parse(text([Rule("a", "low", "pods/a")], {"low": "smooth", "high": "strict"}), "w.toml")
    periods = {tier.value: each.smooth_periods for tier, each in found.bandwidths.items()}
    assert periods == {"critical": 10, "high": 0, "normal": 0, "low": 10, "background": 0}


@pytest.mark.parametrize(("millicpu", "weight"), [(0, 1), (100, 4), (500, 20), (1000, 39), (2000, 79)])
def test_weights_are_the_kubelets(millicpu, weight):
    assert cpu_weight(millicpu) == weight
