"""Plans made by the planner itself, for a scheduler attached past agent and engine."""

from __future__ import annotations

from temper.node.cgroups import Cgroups
from temper.node.topology import read_machine
from temper.plan.planner import make_plan
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload


def plan(*rules):
    """Each rule as in workloads.text: (tier, cgroup) or (tier, cgroup, cpus)."""
    found = []
    for number, (tier, name, *cpus) in enumerate(rules):
        ids = tuple(cgroup.id for cgroup in Cgroups().match(name))
        found.append(Workload(str(number), Tier(tier), ids, *(1000 * count for count in cpus)))
    return make_plan(read_machine(), found)
