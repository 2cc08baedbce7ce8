"""What the scheduler must know of the machine when it is loaded: which cpus share a cache, and which a core."""

from __future__ import annotations

from temper.engine import libbpf
from temper.plan.machine import Machine

MAX_CPUS = libbpf.constant("TEMPER_MAX_CPUS")
MAX_LLCS = libbpf.constant("TEMPER_MAX_LLCS")


def cache_of_cpus(machine: Machine, *, nr_cpus: int = MAX_CPUS, most: int = MAX_LLCS) -> list[int]:
    """The last-level cache of each cpu below `nr_cpus`. Caches from `most` on are folded onto those before.

    A cpu that the machine leaves out (offline, or a cpuset partition's) is put with cache 0: no layer owns it.
    """
    caches = [0] * nr_cpus
    for cpu in machine.cpus:
        caches[cpu.id] = cpu.llc % most
    return caches


def ring_of_siblings(machine: Machine, *, nr_cpus: int = MAX_CPUS) -> list[int]:
    """The next higher cpu of the same core, the lowest after the highest; a cpu alone, or left out, is its own."""
    ring = list(range(nr_cpus))
    for cpus in machine.cores().values():
        for cpu, following in zip(cpus, (*cpus[1:], cpus[0]), strict=True):
            ring[cpu] = following
    return ring
