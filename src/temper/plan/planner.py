"""From a machine and its workloads to one frozen Plan: the decision itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from temper.errors import Finding, InvalidInput
from temper.plan.demand import NO_DEMAND, Demands
from temper.plan.layers import DEFAULT, SYSTEM, Layer, Member, Plan, Size
from temper.plan.machine import Machine
from temper.plan.sizing import Share, Sizes, size
from temper.plan.tiers import DEFAULT_BANDWIDTHS, RULES, Bandwidth, LayerKind, Tier
from temper.plan.units import format_cpu_list, format_millicpu
from temper.plan.workloads import ASSUMED_TIERS, Workload, find_clashes, in_order, wanted_cpus

# First served first. DEFAULT stands above Normal so that pods can't starve kubelet, sshd and other daemons:
# kubernetes/kubernetes issues 125409 and 139790 describe nodes lost that way.
ORDER = (SYSTEM, Tier.CRITICAL, Tier.HIGH, DEFAULT, Tier.NORMAL, Tier.LOW, Tier.BACKGROUND)

SYSTEM_SLICE_US = 5_000
DEFAULT_SLICE_US = 20_000


def make_plan(
    machine: Machine,
    workloads: Sequence[Workload],
    demand: Demands = NO_DEMAND,
    bandwidths: Mapping[Tier, Bandwidth] = DEFAULT_BANDWIDTHS,
) -> Plan:
    """The plan for these workloads on this machine; the same for every order of the input.

    demand: what was made of readings, by tier; a tier without is sized by its requests.
    bandwidths: of every tier.
    A workload without a cgroup is noted and left out. InvalidInput when two workloads claim one cgroup.
    """
    ordered = in_order(workloads)
    if clashes := find_clashes(ordered):
        raise InvalidInput(clashes)
    present = tuple(workload for workload in ordered if workload.cgroup_ids)
    sizes = size_tiers(machine, present, demand)
    layers = _layers(present, sizes, bandwidths)
    findings = (*_findings(ordered, sizes), *_low_ceilings(present, bandwidths))
    return Plan(layers, _members(present), findings, _sizes(layers, sizes))


def size_tiers(machine: Machine, workloads: Sequence[Workload], demand: Demands = NO_DEMAND) -> Sizes:
    """How the machine is divided among the tiers of these workloads."""
    tiers = {workload.tier for workload in workloads if workload.tier is not None and workload.cgroup_ids}
    return size(machine, {tier: wanted_cpus(workloads, tier) for tier in tiers}, demand)


def _layers(workloads: Sequence[Workload], sizes: Sizes, bandwidths: Mapping[Tier, Bandwidth]) -> tuple[Layer, ...]:
    used = {workload.tier for workload in workloads}
    names = [name for name in ORDER if not isinstance(name, Tier) or name in used]
    return tuple(
        _tier_layer(name, rank, sizes.share(name), bandwidths[name])
        if isinstance(name, Tier)
        else _system_layer(name, rank)
        for rank, name in enumerate(names)
    )


def _system_layer(name: str, rank: int) -> Layer:
    is_system = name == SYSTEM
    return Layer(
        name=name,
        rank=rank,
        kind=LayerKind.OPEN,
        protected=False,
        preempts=is_system,
        exclusive=False,
        slice_us=SYSTEM_SLICE_US if is_system else DEFAULT_SLICE_US,
    )


def _tier_layer(tier: Tier, rank: int, share: Share, bandwidth: Bandwidth) -> Layer:
    """The tier's rules, less what the machine lacks: a fence needs whole cores, protection needs cpus."""
    rules = RULES[tier]
    demoted = rules.kind is LayerKind.CONFINED and not share.fenced
    return Layer(
        name=tier.value,
        rank=rank,
        kind=LayerKind.GROUPED if demoted else rules.kind,
        protected=rules.protected and not demoted and bool(share.cpus),
        preempts=rules.preempts,
        exclusive=rules.exclusive and not demoted,
        slice_us=rules.slice_us,
        cpus=share.cpus,
        smooth_periods=bandwidth.smooth_periods,
        ceiling_millicpu=bandwidth.ceiling_millicpu,
    )


def _sizes(layers: Sequence[Layer], sizes: Sizes) -> tuple[Size, ...]:
    """Of the tiers whose rules give them cpus."""
    tiers = [Tier(layer.name) for layer in layers if layer.name in RULES]
    return tuple(_size(tier, sizes.share(tier)) for tier in tiers if RULES[tier].kind is not LayerKind.OPEN)


def _size(tier: Tier, share: Share) -> Size:
    return Size(
        layer=tier.value,
        requested=share.requested,
        owned=len(share.cpus),
        room=share.room,
        least=share.limits.least,
        most=share.limits.most,
    )


def _members(workloads: Sequence[Workload]) -> tuple[Member, ...]:
    layers = {cgroup_id: workload.layer for workload in workloads for cgroup_id in workload.cgroup_ids}
    return tuple(Member(cgroup_id, layer) for cgroup_id, layer in sorted(layers.items()))


def _findings(workloads: Sequence[Workload], sizes: Sizes) -> tuple[Finding, ...]:
    """Notes on single workloads, then on what had to be cut."""
    notes = [finding for workload in workloads if (finding := _note(workload))]
    reserve = format_cpu_list(sizes.reserve)
    if sizes.critical.cut:
        notes.append(_demotion(sizes, reserve))
    if sizes.high.cut:
        notes.append(_cut(Tier.HIGH, sizes.high, f"were left above the open reserve (cpu {reserve})"))
    if sizes.normal.cut:
        notes.append(_cut(Tier.NORMAL, sizes.normal, "were left by the tiers above"))
    return tuple(notes)


def _low_ceilings(workloads: Sequence[Workload], bandwidths: Mapping[Tier, Bandwidth]) -> Iterator[Finding]:
    """Tiers that may take less cpu time than their workloads request. Who states nothing requests nothing."""
    for tier, bandwidth in bandwidths.items():
        requested = sum(workload.request_millicpu or 0 for workload in workloads if workload.tier is tier)
        if bandwidth.ceiling_millicpu and requested > bandwidth.ceiling_millicpu:
            asked, most = format_millicpu(requested), format_millicpu(bandwidth.ceiling_millicpu)
            yield Finding(
                f"tier {tier}", f"{asked} cpus requested, and its ceiling is {most}: it gets no more than that"
            )


def _note(workload: Workload) -> Finding | None:
    if not workload.cgroup_ids:
        return Finding(workload.where, f'"{workload.name}" has no cgroup now; left out until one appears')
    if workload.request_millicpu is None and workload.tier in ASSUMED_TIERS:
        return Finding(workload.where, f'"{workload.name}" states no cpus; counted as 1')
    return None


def _demotion(sizes: Sizes, reserve: str) -> Finding:
    return Finding(
        f"tier {Tier.CRITICAL}",
        f"demoted from confined to grouped: {sizes.critical.requested} cpus wanted, {sizes.fenceable} can be "
        f"fenced as whole cores (cpu {reserve} stays open); it shares its cpus and still preempts",
    )


def _cut(tier: Tier, share: Share, reason: str) -> Finding:
    return Finding(f"tier {tier}", f"{share.requested} cpus wanted, {share.room} {reason}; it shares the rest")
