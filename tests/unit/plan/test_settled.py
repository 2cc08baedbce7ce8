import pytest

from temper.plan.demand import Demand
from temper.plan.machine import Cpu, Machine
from temper.plan.planner import make_plan
from temper.plan.settled import settled
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload

SIXTEEN = Machine(tuple(Cpu(cpu, cpu, 0, 0) for cpu in range(16)))
ASKED = [Workload("api", Tier.HIGH, (1,), 8000), Workload("web", Tier.NORMAL, (2,), 2000)]


@pytest.mark.parametrize(
    ("used", "owned"),
    [
        ({}, {"high": 8, "normal": 2}),
        ({Tier.HIGH: 2000}, {"high": 4, "normal": 2}),
        ({Tier.HIGH: 20_000, Tier.NORMAL: 500}, {"high": 8, "normal": 1}),
        ({Tier.NORMAL: 60_000}, {"high": 8, "normal": 8}),
        ({Tier.HIGH: 500, Tier.NORMAL: 60_000}, {"high": 1, "normal": 15}),  # as High shrinks, there is more room
        ({Tier.CRITICAL: 500}, {"high": 8, "normal": 2}),
    ],
)
def test_where_sizes_come_to_rest(used, owned):
    demand = settled(SIXTEEN, ASKED, used)
    assert {size.layer: size.owned for size in make_plan(SIXTEEN, ASKED, demand).sizes} == owned


def test_it_says_what_it_was_made_of():
    assert settled(SIXTEEN, ASKED, {Tier.HIGH: 2000}) == {Tier.HIGH: Demand(4, 8, 2000)}
