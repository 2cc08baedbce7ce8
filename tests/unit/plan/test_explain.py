import pytest

from temper.plan.demand import Demand
from temper.plan.explain import explain, explain_bandwidth, explain_size
from temper.plan.layers import Size
from temper.plan.machine import Cpu, Machine
from temper.plan.planner import make_plan
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload

MACHINE = Machine(tuple(Cpu(id=i, core=i // 2, llc=i // 4, node=i // 8) for i in range(16)))


def reasons(**millicpu):
    workloads = [Workload(t, Tier(t), (i,), asked) for i, (t, asked) in enumerate(millicpu.items())]
    return explain(make_plan(MACHINE, workloads), MACHINE, workloads)


@pytest.mark.parametrize(
    ("asked", "layer", "sentence"),
    [
        ({}, "system", "served first"),
        ({}, "default", "Cpu 0-1 is the open reserve"),
        (
            {"critical": 2500},
            "critical",
            "3 cpus wanted: 2 whole cores (4 cpus) fenced, in one last-level cache",
        ),
        ({"critical": 8000}, "critical", "fenced, across 2 last-level caches of one NUMA node"),
        ({"critical": 9000}, "critical", "fenced, across 3 last-level caches of 2 NUMA nodes"),
        (
            {"critical": 15000},
            "critical",
            "Demoted: 15 cpus wanted as whole cores, but only 14 can be fenced",
        ),
        ({"high": 1000}, "high", "1 cpu wanted: 1 cpu kept for it in one last-level cache; it may spill"),
        ({"high": 15000}, "high", "all that is left above the open reserve; it may spill"),
        ({"critical": 14000, "high": 1000}, "high", "none left above the open reserve"),
        ({"normal": 1000}, "normal", "It prefers 1 cpu in one last-level cache, but others may use them"),
        ({"normal": None}, "normal", "No cpus asked"),
        ({"high": 14000, "critical": 1000, "normal": 3000}, "normal", "3 cpus wanted. It prefers 2 cpus"),
        ({"low": 1000}, "low", "Owns no cpus"),
        ({"background": 1000}, "background", "served last"),
    ],
)
def test_sentences(asked, layer, sentence):
    assert sentence in reasons(**asked)[layer]


@pytest.mark.parametrize(
    ("asked", "tier", "demand", "sentence"),
    [
        (8000, "high", Demand(3, 8, 2040), "3 cpus kept for it in one last-level cache; it may spill onto open cpus."),
        (8000, "high", Demand(3, 8, 2040), "By demand: 8 requested, 2.0 used: prefers 3."),
        (16000, "high", Demand(3, 16, 2040), "By demand: 16 requested, 2.0 used, room for 14: prefers 3."),
        (1000, "normal", Demand(6, 1, 5500), "1 cpu wanted. It prefers 6 cpus across 2 last-level caches"),
        (None, "normal", Demand(1, 0, 10), "It prefers 1 cpu in one last-level cache"),
    ],
)
def test_a_size_by_demand_is_said(asked, tier, demand, sentence):
    workloads = [Workload("w", Tier(tier), (1,), asked)]
    found = {Tier(tier): demand}
    assert sentence in explain(make_plan(MACHINE, workloads, found), MACHINE, workloads, found)[tier]


@pytest.mark.parametrize(
    ("size", "used", "sentence"),
    [
        (Size("high", 8, 8, 8, 1, 8), None, "8 requested: prefers 8"),
        (Size("critical", 3, 4, 6, 4, 4), 123, "3 requested, 0.1 used: owns 4"),
    ],
)
def test_a_size_in_short(size, used, sentence):
    assert explain_size(size, used) == sentence


@pytest.mark.parametrize(
    ("bandwidth", "sentence"),
    [
        ((0, 0), "cpu.max is strict"),
        ((10, 0), "cpu.max is smooth (10 periods may be saved up)"),
        ((0, 1500), "cpu.max is strict, the tier's ceiling 1.5 cpus"),
    ],
)
def test_bandwidth_in_short(bandwidth, sentence):
    assert explain_bandwidth(*bandwidth) == sentence


def test_how_cpu_max_holds_is_said_of_every_tier_and_of_no_system_layer():
    said = reasons(critical=1000, normal=1000)
    assert said["critical"].endswith(" cpu.max is smooth (10 periods may be saved up).")
    assert said["normal"].endswith(" cpu.max is strict.")
    assert "cpu.max" not in said["system"] + said["default"]


def test_one_reason_for_each_layer_in_rank_order():
    assert list(reasons(low=None, critical=1000)) == ["system", "critical", "default", "low"]
