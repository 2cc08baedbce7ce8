"""Cpus that somebody else has given to a pod's containers: the kubelet's static policy, a DRA driver, an NRI plugin.

They show as containers whose `cpuset.cpus` leaves fewer cpus than their pod could have. Such a container can run
nowhere else, so nobody else's fence may take these cpus. But the static policy narrows every *other* container
too, to the rest of the machine, and that rest is not held: nothing could be fenced on such a node. Two facts tell
them apart. A cpu is given to one pod only, while the rest is worn by many (the agent and kube-proxy at least),
and so are CRI-O's cpus for pause containers. And while the kubelet moves the others away from cpus it has just
given out (it takes up to 10 s), those still overlap; until they are gone, the cpus aren't exclusive in fact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from temper.node.cgroups import CgroupDir, Cgroups
from temper.node.small_files import read_bytes
from temper.plan.units import parse_cpu_list

# Containers of one pod that are read, far above what any pod has.
MAX_CONTAINERS = 1024


def held_cpus(
    cgroups: Cgroups, pods: Mapping[str, Iterable[CgroupDir]], online: Collection[int]
) -> dict[str, frozenset[int]]:
    """Pod -> the online cpus that its containers alone are pinned to; only pods that hold some.

    pods: all of this machine, as `PodCgroups.find` gives them: with a few only, the shared rest can't be told.
    """
    all_cpus, parents = frozenset(online), dict[str, frozenset[int]]()
    pinned = {pod: set(_pinned(cgroups, dirs, all_cpus, parents)) for pod, dirs in pods.items()}
    wearers = Counter(cpus for sets in pinned.values() for cpus in sets)
    shared = frozenset[int]().union(*(cpus for cpus, count in wearers.items() if count > 1))
    held = {pod: frozenset[int]().union(*(cpus for cpus in sets if not cpus & shared)) for pod, sets in pinned.items()}
    return {pod: cpus for pod, cpus in held.items() if cpus}


def _pinned(
    cgroups: Cgroups, dirs: Iterable[CgroupDir], online: frozenset[int], parents: dict[str, frozenset[int]]
) -> Iterator[frozenset[int]]:
    """The set of each narrowed container of one pod. A container may also be one of `dirs` itself.

    parents: what their cgroups have, read once: a node's pods have three parents.
    """
    for cgroup in dirs:
        pod = f"{cgroups.root}/{cgroup.path}"
        parent = pod.rpartition("/")[0]
        if parent not in parents:
            parents[parent] = (_cpus(f"{parent}/cpuset.cpus.effective") & online) or online
        available = parents[parent]
        for path in (pod, *(f"{pod}/{name}" for name in sorted(cgroups.names(cgroup.path))[:MAX_CONTAINERS])):
            if _cpus(f"{path}/cpuset.cpus"):  # else it's only its parent's set that shows
                cpus = _cpus(f"{path}/cpuset.cpus.effective") & available
                if cpus and cpus < available:
                    yield cpus


def _cpus(path: str) -> frozenset[int]:
    """A cpu list; empty when the file is gone, unreadable, or without the controller not there at all."""
    text = read_bytes(path).decode(errors="replace").strip()
    try:
        return frozenset(parse_cpu_list(text)) if text else frozenset()
    except ValueError:
        return frozenset()
