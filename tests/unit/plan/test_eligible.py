import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.plan.eligible import eligible_cpus, open_cpus
from temper.plan.machine import Cpu, Machine
from temper.plan.planner import make_plan
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload

CPUS = range(8)


def plan_of(*tiers, cores=8):
    machine = Machine(tuple(Cpu(cpu, cpu % cores, 0, 0) for cpu in CPUS))
    workloads = [Workload(f"w{number}", tier, (number,), cpus * 1000) for number, (tier, cpus) in enumerate(tiers)]
    return make_plan(machine, workloads)


def text(plan):
    return {name: "".join(map(str, sorted(cpus))) for name, cpus in eligible_cpus(plan, CPUS).items()}


def test_a_fence_serves_its_owner_only():
    plan = plan_of((Tier.CRITICAL, 2), (Tier.BACKGROUND, 1))
    assert text(plan) == {"system": "012345", "critical": "67", "default": "012345", "background": "012345"}
    assert open_cpus(plan, CPUS) == set(range(6))


def test_kept_cpus_of_a_grouped_layer_serve_system_too():
    plan = plan_of((Tier.HIGH, 2), (Tier.LOW, 1))
    assert text(plan) == {"system": "01234567", "high": "01234567", "default": "012345", "low": "012345"}


def test_preferred_cpus_serve_everybody():
    plan = plan_of((Tier.NORMAL, 2), (Tier.LOW, 1))
    assert set(text(plan).values()) == {"01234567"}


def test_a_demoted_layer_spills_and_keeps_nobody_off():
    plan = plan_of((Tier.CRITICAL, 64))
    assert not plan.layer("critical").protected
    assert text(plan)["critical"] == text(plan)["default"] == "01234567"


@pytest.mark.parametrize("cpus", [(), (3,), (6, 7)])
def test_only_of_the_cpus_that_are_asked_about(cpus):
    found = eligible_cpus(plan_of((Tier.CRITICAL, 2)), cpus)
    assert set().union(*found.values()) == set(cpus)


@given(st.dictionaries(st.sampled_from(list(Tier)), st.integers(0, 12)), st.sampled_from([4, 8]))
def test_every_layer_is_served_and_every_fence_holds(tiers, cores):
    plan = plan_of(*tiers.items(), cores=cores)
    found = eligible_cpus(plan, CPUS)
    assert all(found.values())
    fenced = {cpu for layer in plan.layers if layer.kind == "confined" for cpu in layer.cpus}
    assert not any(found[name] & fenced for name in found if name != "critical")
    assert open_cpus(plan, CPUS) <= found["default"]
