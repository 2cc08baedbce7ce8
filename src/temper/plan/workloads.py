"""What the plan is made for: named workloads with a tier, their cgroups and the cpus they ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from temper.errors import Finding
from temper.plan.layers import SYSTEM
from temper.plan.tiers import Tier
from temper.plan.units import MILLI

# A workload of these tiers that states no request counts as one cpu: with none, its layer would hold nothing.
ASSUMED_TIERS = frozenset({Tier.CRITICAL, Tier.HIGH})
ASSUMED_MILLICPU = MILLI

_URGENCY = {tier: position for position, tier in enumerate((None, *Tier))}


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload as it stands on the machine now.

    tier: None stands for the system layer, served first and never fenced (system pods).
    cgroup_ids: v2 ids of its cgroups; empty while none exists, and then it takes no part in the plan.
    request_millicpu: thousandths of a cpu for all its cgroups together; None when not stated.
    place: where a person wrote it, for findings.
    """

    name: str
    tier: Tier | None
    cgroup_ids: tuple[int, ...]
    request_millicpu: int | None = None
    place: str = ""

    @property
    def layer(self) -> str:
        """The name of its layer."""
        return SYSTEM if self.tier is None else self.tier.value

    @property
    def where(self) -> str:
        """The place to name in a finding."""
        return self.place or self.name


def in_order(workloads: Iterable[Workload]) -> tuple[Workload, ...]:
    """Most urgent tier first, then by name: the same tuple for every order of the input."""
    return tuple(sorted(workloads, key=_key))


def _key(workload: Workload) -> tuple[int, str, tuple[int, ...], int, str]:
    request = -1 if workload.request_millicpu is None else workload.request_millicpu
    return _URGENCY[workload.tier], workload.name, workload.cgroup_ids, request, workload.place


def wanted_cpus(workloads: Iterable[Workload], tier: Tier) -> int:
    """Logical cpus the tier asks for: the sum of its requests, rounded up; 0 when nothing is in the tier."""
    present = [workload for workload in workloads if workload.tier is tier and workload.cgroup_ids]
    if not present:
        return 0
    least, assumed = (1, ASSUMED_MILLICPU) if tier in ASSUMED_TIERS else (0, 0)
    requests = (workload.request_millicpu for workload in present)
    total = sum(assumed if request is None else request for request in requests)
    return max(least, -(-total // MILLI))


def find_clashes(workloads: Iterable[Workload], paths: Mapping[int, str] | None = None) -> tuple[Finding, ...]:
    """One finding for each pair of workloads that claim the same cgroup, at the later one's place.

    paths: cgroup id -> how to print it; an id without a path is printed as a number.
    """
    owners: dict[int, tuple[int, Workload]] = {}
    shared: dict[tuple[int, int], list[int]] = {}
    pairs: dict[tuple[int, int], tuple[Workload, Workload]] = {}
    for position, workload in enumerate(workloads):
        for cgroup_id in sorted(set(workload.cgroup_ids)):
            first, owner = owners.setdefault(cgroup_id, (position, workload))
            if first != position:
                shared.setdefault((first, position), []).append(cgroup_id)
                pairs[first, position] = owner, workload
    return tuple(_clash(*pairs[key], ids, paths or {}) for key, ids in shared.items())


def _clash(owner: Workload, claimant: Workload, ids: list[int], paths: Mapping[int, str]) -> Finding:
    what = f"cgroup {paths.get(ids[0], ids[0])}"
    more = f" (and {len(ids) - 1} more)" if len(ids) > 1 else ""
    holder = f'"{owner.name}" ({owner.where})'
    return Finding(claimant.where, f'"{claimant.name}" claims {what}{more}, which already belongs to {holder}')
