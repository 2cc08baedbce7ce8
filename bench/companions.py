"""Who shared what with protected threads: time of foreign tasks on confined cpus, and beside exclusive threads.

A layer is as the plan says it: `temper plan --json`, or the agent's status. Foreign to a layer is every task that is
not in it, but for those that no scheduler of ours decides on or that can be nowhere else:

- kernel threads, and tasks of a real-time policy, which go before sched_ext;
- tasks pinned there: to one cpu, or to cpus that are all confined.

A task that came and went between two looks at the guest's threads is foreign, unless its name is a kernel worker's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.switches import IDLE, Span

from temper.plan.samples import REALTIME

KERNEL_WORKER = "kworker/"
EXCUSED = "excused"
FOREIGN = ""


@dataclass(frozen=True, slots=True)
class Node:
    """The node as planned. owner: confined cpu -> its layer; exclusive: layers; siblings: cpu -> others of its core."""

    owner: Mapping[int, str]
    exclusive: frozenset[str]
    siblings: Mapping[int, tuple[int, ...]]

    @classmethod
    def of(cls, layers: Iterable[Mapping[str, Any]], siblings: Mapping[int, tuple[int, ...]]) -> Node:
        """From a plan's layers."""
        layers = list(layers)
        owner = {cpu: layer["name"] for layer in layers if layer["kind"] == "confined" for cpu in layer["cpus"]}
        return cls(owner, frozenset(layer["name"] for layer in layers if layer["exclusive"]), siblings)

    def whole_cores(self, layer: str) -> list[frozenset[int]]:
        """The cores whose cpus are all the layer's."""
        cores = {frozenset((cpu, *self.siblings.get(cpu, ()))) for cpu, name in self.owner.items() if name == layer}
        return [core for core in cores if all(self.owner.get(cpu) == layer for cpu in core)]


@dataclass(slots=True)
class Shared:
    """Nanoseconds over a window.

    foreign_on_confined: of foreign tasks, summed over the confined cpus. exclusive: in which exclusive threads ran,
    summed over them. foreign_beside: of those, with a foreign task on a sibling. paired: of those, with another thread
    of the same layer on a sibling while a core of the layer stood idle. culprits: foreign time in both, by task.
    """

    foreign_on_confined: int = 0
    exclusive: int = 0
    foreign_beside: int = 0
    paired: int = 0
    culprits: dict[int, int] = field(default_factory=dict)


def layers_of(
    tasks: Mapping[int, Mapping[str, Any]], names: Mapping[int, str], pods: Mapping[str, str], node: Node
) -> dict[int, str]:
    """Each process id's layer: of its pod, or FOREIGN to all, or EXCUSED. pods: cgroup -> layer."""
    found = {pid: EXCUSED if name.startswith(KERNEL_WORKER) else FOREIGN for pid, name in names.items()}
    at_home = {*node.owner.values(), *node.exclusive}
    for pid, task in tasks.items():
        layer = next((name for cgroup, name in pods.items() if _below(task["cgroup"], cgroup)), FOREIGN)
        above_us = task["kernel"] or task["policy"] in REALTIME
        found[pid] = EXCUSED if above_us or (layer not in at_home and _pinned(task["allowed"], node)) else layer
    return found


def share(spans: Iterable[Span], layers: Mapping[int, str], node: Node) -> Shared:
    """Add the spans up."""
    found = Shared()
    cores = {name: node.whole_cores(name) for name in node.exclusive}
    for length_ns, running in spans:
        here = {cpu: layers.get(pid, FOREIGN) for cpu, pid in running.items() if pid != IDLE}
        for cpu, owner in node.owner.items():
            if _is_foreign(here.get(cpu), owner):
                found.foreign_on_confined += length_ns
                _blame(found, running[cpu], length_ns)
        for cpu, layer in here.items():
            if layer in node.exclusive:
                found.exclusive += length_ns
                beside = [other for other in node.siblings.get(cpu, ()) if other in here]
                strangers = [other for other in beside if _is_foreign(here[other], layer)]
                found.foreign_beside += length_ns * bool(strangers)
                for other in strangers:
                    if other not in node.owner:  # else it was blamed above
                        _blame(found, running[other], length_ns)
                if any(here[other] == layer for other in beside) and _any_idle(cores[layer], here):
                    found.paired += length_ns
    return found


def _pinned(allowed: Collection[int], node: Node) -> bool:
    return len(allowed) == 1 or all(cpu in node.owner for cpu in allowed)


def _is_foreign(layer: str | None, owner: str) -> bool:
    return layer is not None and layer not in (owner, EXCUSED)


def _any_idle(cores: Sequence[frozenset[int]], here: Mapping[int, str]) -> bool:
    return any(not core & here.keys() for core in cores)


def _blame(found: Shared, pid: int, length_ns: int) -> None:
    found.culprits[pid] = found.culprits.get(pid, 0) + length_ns


def _below(cgroup: str, top: str) -> bool:
    return cgroup == f"/{top}" or cgroup.startswith(f"/{top}/")
