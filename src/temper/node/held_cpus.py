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
from pathlib import Path

from temper.node.cgroups import CgroupDir, Cgroups
from temper.plan.units import parse_cpu_list

# Containers of one pod that are read, far above what any pod has.
MAX_CONTAINERS = 1024


def held_cpus(
    cgroups: Cgroups, pods: Mapping[str, Iterable[CgroupDir]], online: Collection[int]
) -> dict[str, frozenset[int]]:
    """Pod -> the online cpus that its containers alone are pinned to; only pods that hold some.

    pods: all of this machine, as `PodCgroups.find` gives them: with a few only, the shared rest can't be told.
    """
    all_cpus, parents = frozenset(online), dict[Path, frozenset[int]]()
    pinned = {pod: set(_pinned(cgroups, dirs, all_cpus, parents)) for pod, dirs in pods.items()}
    wearers = Counter(cpus for sets in pinned.values() for cpus in sets)
    shared = frozenset[int]().union(*(cpus for cpus, count in wearers.items() if count > 1))
    held = {pod: frozenset[int]().union(*(cpus for cpus in sets if not cpus & shared)) for pod, sets in pinned.items()}
    return {pod: cpus for pod, cpus in held.items() if cpus}


def _pinned(
    cgroups: Cgroups, dirs: Iterable[CgroupDir], online: frozenset[int], parents: dict[Path, frozenset[int]]
) -> Iterator[frozenset[int]]:
    """The set of each narrowed container of one pod. A container may also be one of `dirs` itself.

    parents: what their cgroups have, read once: a node's pods have three parents.
    """
    for cgroup in dirs:
        pod = cgroups.root / cgroup.path
        if pod.parent not in parents:
            parents[pod.parent] = (_cpus(pod.parent / "cpuset.cpus.effective") & online) or online
        available = parents[pod.parent]
        for path in (pod, *(pod / name for name in sorted(cgroups.names(cgroup.path))[:MAX_CONTAINERS])):
            if _cpus(path / "cpuset.cpus"):  # else it's only its parent's set that shows
                cpus = _cpus(path / "cpuset.cpus.effective") & available
                if cpus and cpus < available:
                    yield cpus


def _cpus(path: Path) -> frozenset[int]:
    """A cpu list; empty when the file is gone, unreadable, or without the controller not there at all."""
    try:
        return frozenset(parse_cpu_list(path.read_text(encoding="ascii", errors="replace")))
    except (OSError, ValueError):
        return frozenset()
