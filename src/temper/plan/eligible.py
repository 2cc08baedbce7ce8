"""Which cpus each layer may run on: the rule that the scheduler's commit derives its table by (bpf/commit.bpf.h).

An owned cpu that is protected serves its owner, and if the owner is only grouped also the system layer. Any other cpu
serves its owner and every layer that is not confined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from temper.plan.layers import SYSTEM, Layer, Plan
from temper.plan.tiers import LayerKind


def eligible_cpus(plan: Plan, cpus: Iterable[int]) -> Mapping[str, frozenset[int]]:
    """Layer name -> those of `cpus` that it may run on, as a guest or not counted."""
    owners = {cpu: layer for layer in plan.layers for cpu in layer.cpus}
    served: dict[str, set[int]] = {layer.name: set() for layer in plan.layers}
    for cpu in cpus:
        for name in _served_on(plan, owners.get(cpu)):
            served[name].add(cpu)
    return {name: frozenset(found) for name, found in served.items()}


def open_cpus(plan: Plan, cpus: Iterable[int]) -> frozenset[int]:
    """Those of `cpus` that no layer keeps others off: what everybody without a fence lives on."""
    kept = {cpu for layer in plan.layers if layer.protected for cpu in layer.cpus}
    return frozenset(cpus) - kept


def _served_on(plan: Plan, owner: Layer | None) -> Iterator[str]:
    if owner is not None:
        yield owner.name
    if owner is None or not owner.protected:
        yield from (each.name for each in plan.layers if each.kind is not LayerKind.CONFINED and each is not owner)
    elif owner.kind is not LayerKind.CONFINED:
        yield SYSTEM
