"""Where sizes come to rest when the tiers use so much, and go on to: what `temper plan --used` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from temper.plan.demand import CALM_NS, NO_DEMAND, Demands, Reading, State, demands, judge
from temper.plan.machine import Machine
from temper.plan.planner import make_plan
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload

# Far more than it takes: each calm halves what is left to shrink, and a tier waits for the ones above at most.
MOST_READINGS = 1000


def settled(machine: Machine, workloads: Sequence[Workload], used_millicpu: Mapping[Tier, int]) -> Demands:
    """The demand at rest, from the sizes by request on; tiers without a use are left at those."""
    readings = {tier.value: Reading(used, CALM_NS) for tier, used in used_millicpu.items()}
    demand: Demands = NO_DEMAND
    states: Mapping[str, State] = {}
    for _ in range(MOST_READINGS):
        sizes = make_plan(machine, workloads, demand).sizes
        before, states = states, judge(states, sizes, readings)
        demand = demands(states, sizes, readings)
        if states == before:
            break
    return demand
