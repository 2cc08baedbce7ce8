"""A plan in the scheduler's terms: stable layer ids, and one filled `struct temper_config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temper.engine import libbpf
from temper.errors import CommitRejected
from temper.plan.layers import DEFAULT, SYSTEM, Plan
from temper.plan.tiers import LayerKind

MAX_LAYERS = libbpf.constant("TEMPER_MAX_LAYERS")
NAME_LEN = libbpf.constant("TEMPER_NAME_LEN")
OWNER_NONE = libbpf.constant("TEMPER_OWNER_NONE")

KINDS = {
    LayerKind.CONFINED: libbpf.constant("TEMPER_CONFINED"),
    LayerKind.GROUPED: libbpf.constant("TEMPER_GROUPED"),
    LayerKind.OPEN: libbpf.constant("TEMPER_OPEN"),
}

# A layer that a generation leaves out is still served while tasks are queued under it; its slice then.
LEFT_OUT_SLICE_US = 5_000


class LayerIds(Mapping[str, int]):
    """Layer name -> id, the same in every generation of one attach.

    Ids are positions in the kernel side's tables and name its queues; rank is another matter. A name keeps
    its id even when a generation leaves it out, so tasks still queued there are found.
    """

    def __init__(self, ids: Mapping[str, int] | None = None) -> None:
        self._ids = dict(ids or {})

    def __getitem__(self, name: str) -> int:
        return self._ids[name]

    def __iter__(self) -> Any:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def extended(self, plan: Plan) -> LayerIds:
        """These ids, and new ones for the plan's new names; CommitRejected when there are no more."""
        ids = dict(self._ids)
        for layer in plan.layers:
            ids.setdefault(layer.name, len(ids))
        if len(ids) > MAX_LAYERS:
            raise CommitRejected(f"{len(ids)} layers were ever named; {MAX_LAYERS} is the most one attach holds")
        return LayerIds(ids)


def write_config(config: Any, plan: Plan, ids: Mapping[str, int], *, nr_cpus: int) -> None:
    """Fill one idle slot. config: a cffi `struct temper_config`; every field but its generation is written."""
    libbpf.ffi.memmove(libbpf.ffi.addressof(config), bytes(libbpf.ffi.sizeof(config)), libbpf.ffi.sizeof(config))
    config.nr_layers = len(ids)
    config.system_layer, config.default_layer = ids[SYSTEM], ids[DEFAULT]
    _write_layers(config, plan, ids)
    owner = bytearray([OWNER_NONE]) * len(config.owner)
    for layer in plan.layers:
        for cpu in layer.cpus:
            if cpu >= nr_cpus:
                raise CommitRejected(f"layer {layer.name} owns cpu {cpu}; this machine has {nr_cpus}")
            owner[cpu] = ids[layer.name]
    libbpf.ffi.buffer(config.owner)[:] = owner  # at once: one by one they were most of a commit's time in the engine


def _write_layers(config: Any, plan: Plan, ids: Mapping[str, int]) -> None:
    planned = [layer.name for layer in plan.layers]
    for rank, name in enumerate(planned + [name for name in ids if name not in planned]):
        config.order[rank] = ids[name]
        config.layers[ids[name]].rank = rank
        config.layers[ids[name]].slice_us = LEFT_OUT_SLICE_US
    for layer in plan.layers:
        record = config.layers[ids[layer.name]]
        record.kind = KINDS[layer.kind]
        record.protects, record.preempts, record.exclusive = layer.protected, layer.preempts, layer.exclusive
        record.slice_us = layer.slice_us
        record.smooth_periods, record.ceiling_millicpu = layer.smooth_periods, layer.ceiling_millicpu
        record.name = layer.name.encode()[: NAME_LEN - 1]
