"""Why a plan is as it is, in sentences for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from temper.plan.demand import NO_DEMAND, Demands
from temper.plan.layers import DEFAULT, SYSTEM, Layer, Plan, Size
from temper.plan.machine import Machine
from temper.plan.planner import size_tiers
from temper.plan.sizing import Sizes
from temper.plan.tiers import RULES, LayerKind, Tier
from temper.plan.units import counted, format_cpu_list, format_millicpu
from temper.plan.workloads import Workload


def explain(plan: Plan, machine: Machine, workloads: Sequence[Workload], demand: Demands = NO_DEMAND) -> dict[str, str]:
    """Layer name -> why it has its kind and its cpus, ordered by rank; same arguments as `make_plan`."""
    sizes = size_tiers(machine, workloads, demand)
    used = {tier.value: each.used_millicpu for tier, each in demand.items()}
    followed = {size.layer: size for size in plan.sizes if size.follows and size.layer in used}
    reasons = {}
    for layer in plan.layers:
        sentences = [_REASONS[layer.name](layer, machine, sizes)]
        if layer.name in followed:
            sentences.append(f"By demand: {explain_size(followed[layer.name], used[layer.name])}.")
        if layer.name in RULES:
            sentences.append(f"{explain_bandwidth(layer.smooth_periods, layer.ceiling_millicpu)}.")
        reasons[layer.name] = " ".join(sentences)
    return reasons


def explain_size(size: Size, used_millicpu: int | None) -> str:
    """Where a layer's number of cpus comes from: `8 requested, 2.0 used: prefers 4`. used: None when not known."""
    parts = [f"{size.requested} requested"]
    if used_millicpu is not None:
        parts.append(f"{used_millicpu / 1000:.1f} used")
    if size.room < size.requested:
        parts.append(f"room for {size.room}")
    return f"{', '.join(parts)}: {'owns' if size.least == size.most else 'prefers'} {size.owned}"


def explain_bandwidth(smooth_periods: int, ceiling_millicpu: int) -> str:
    """How much a tier may run: `cpu.max is smooth (10 periods may be saved up), the tier's ceiling 1.5 cpus`."""
    saved = f"smooth ({smooth_periods} periods may be saved up)" if smooth_periods else "strict"
    ceiling = f", the tier's ceiling {format_millicpu(ceiling_millicpu)} cpus" if ceiling_millicpu else ""
    return f"cpu.max is {saved}{ceiling}"


def _system(_layer: Layer, _machine: Machine, _sizes: Sizes) -> str:
    return "The scheduler's own processes and unbound kernel threads, served first so that nothing starves them."


def _default(_layer: Layer, _machine: Machine, sizes: Sizes) -> str:
    reserve = format_cpu_list(sizes.reserve)
    return (
        "Every task that no rule names (kubelet, daemons, shells), above normal so that no pod starves it. "
        f"Cpu {reserve} is the open reserve: no layer may keep others off it."
    )


def _critical(layer: Layer, machine: Machine, sizes: Sizes) -> str:
    share = sizes.critical
    if layer.kind is LayerKind.CONFINED:
        return (
            f"{_cpus(share.requested)} wanted: {_cores(machine, layer.cpus)} fenced, "
            f"{_span(machine, layer.cpus)}; every other layer is kept off."
        )
    return (
        f"Demoted: {_cpus(share.requested)} wanted as whole cores, but only {sizes.fenceable} can be fenced "
        f"beside the open reserve. {_preference(machine, layer.cpus)}, shares them with others, and "
        "still preempts."
    )


def _high(layer: Layer, machine: Machine, sizes: Sizes) -> str:
    if not layer.protected:
        return (
            f"{_cpus(sizes.high.requested)} wanted, none left above the open reserve: "
            "it runs wherever nobody keeps it off, and preempts."
        )
    cut = ", all that is left above the open reserve" if sizes.high.cut and len(layer.cpus) == sizes.high.room else ""
    return (
        f"{_cpus(sizes.high.requested)} wanted: {_cpus(len(layer.cpus))} kept for it "
        f"{_span(machine, layer.cpus)}{cut}; it may spill onto open cpus."
    )


def _normal(layer: Layer, machine: Machine, sizes: Sizes) -> str:
    if not sizes.normal.requested and not layer.cpus:
        return "No cpus asked: it prefers none, and shares all that nobody keeps."
    return (
        f"{_cpus(sizes.normal.requested)} wanted. {_preference(machine, layer.cpus)}, but others may use them; "
        "it spills onto whatever nobody keeps."
    )


def _low(_layer: Layer, _machine: Machine, _sizes: Sizes) -> str:
    return "Owns no cpus: it runs on whatever the layers above leave idle."


def _background(_layer: Layer, _machine: Machine, _sizes: Sizes) -> str:
    return "Owns no cpus and is served last; its short slice bounds how long a higher tier waits for it."


_REASONS: dict[str, Callable[[Layer, Machine, Sizes], str]] = {
    SYSTEM: _system,
    DEFAULT: _default,
    Tier.CRITICAL: _critical,
    Tier.HIGH: _high,
    Tier.NORMAL: _normal,
    Tier.LOW: _low,
    Tier.BACKGROUND: _background,
}


def _preference(machine: Machine, cpus: Sequence[int]) -> str:
    if not cpus:
        return "It has no cpus of its own to prefer"
    return f"It prefers {_cpus(len(cpus))} {_span(machine, cpus)}"


def _cpus(count: int) -> str:
    return counted(count, "cpu")


def _cores(machine: Machine, cpus: Sequence[int]) -> str:
    cores = {cpu.core for cpu in machine.cpus if cpu.id in set(cpus)}
    return f"{counted(len(cores), 'whole core')} ({_cpus(len(cpus))})"


def _span(machine: Machine, cpus: Sequence[int]) -> str:
    """How compact the cpus lie: `in one last-level cache`, or across how many caches and nodes."""
    inside = set(cpus)
    chosen = [cpu for cpu in machine.cpus if cpu.id in inside]
    caches = len({(cpu.node, cpu.llc) for cpu in chosen})
    nodes = len({cpu.node for cpu in chosen})
    if caches == 1:
        return "in one last-level cache"
    where = "one NUMA node" if nodes == 1 else f"{nodes} NUMA nodes"
    return f"across {caches} last-level caches of {where}"
