from itertools import islice, pairwise

import pytest
from bench.scenarios.reconfigure import OWN, PODS
from bench.service import rules
from bench.variations import variations
from bench.workloads import text

from temper.plan.machine import Cpu, Machine
from temper.plan.planner import make_plan
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload
from temper.settings import workloads

MANY = 300


def files(seed=1, count=MANY):
    return list(islice(variations(rules(OWN), PODS, seed), count))


def planned(found, cpus):
    machine = Machine(tuple(Cpu(number, number, 0, 0) for number in range(cpus)))
    parsed = workloads.parse(text(found), "w.toml").rules
    return make_plan(
        machine, [Workload(rule.name, rule.tier, (index,), rule.millicpu) for index, rule in enumerate(parsed, 1)]
    )


def test_the_same_seed_makes_the_same_files():
    assert files(1, 20) == files(1, 20)
    assert files(1, 20) != files(2, 20)


@pytest.mark.parametrize("cpus", [3, 5, 8])
def test_each_is_valid_another_plan_and_leaves_the_service_alone(cpus):
    plans = [planned(found, cpus) for found in files()]
    assert all(one.members != other.members for one, other in pairwise(plans))
    critical = {plan.layer(Tier.CRITICAL) for plan in plans}
    assert {(layer.kind, layer.cpus) for layer in critical} == {("confined", tuple(range(cpus - OWN, cpus)))}


def test_every_tier_but_critical_and_every_size_comes_up():
    found = [rule for rules_ in files() for rule in rules_[2:]]
    assert {rule.tier for rule in found} == {"high", "normal", "low", "background"}
    assert {rule.cpus for rule in found} == {None, 0.25, 0.5, 1.0, 1.5, 2.0}
