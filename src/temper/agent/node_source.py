"""`temper agent`: plans from a node's own pods, and the kill switch on its node object.

Each pod is one workload: its tier by its priority, its size by its requests, its cgroup by its uid. What the API server
said last stays true while it is away: pods keep their tiers, the switch its position. Only at the start is there
nothing to go by, and the node stays on stock until pods and node object have been read whole.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from temper.agent.events import event, warning
from temper.agent.kill_switch import is_unclear, why_engaged
from temper.agent.live_settings import LiveSettings
from temper.kube import resources
from temper.kube.client import Client
from temper.kube.pods import from_api
from temper.kube.reflector import Reflector
from temper.node.cgroups import CgroupDir
from temper.node.held_cpus import held_cpus
from temper.node.pod_cgroups import PodCgroups
from temper.node.run_dir import RunDir
from temper.node.topology import read_machine
from temper.plan.demand import NO_DEMAND, Demands
from temper.plan.layers import SYSTEM, Plan
from temper.plan.machine import Machine
from temper.plan.planner import make_plan
from temper.plan.pod_sizes import limit_millicpu, request_millicpu
from temper.plan.pod_tiers import Decision, decide
from temper.plan.pods import SWITCH_ANNOTATIONS, Pod
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload

KEPT = ", on a node object that was since made anew; set it to false to re-engage"


class PodView(NamedTuple):
    """A pod and everything decided for it. held: cpus that somebody else pinned it to, and it alone."""

    pod: Pod
    decision: Decision
    cgroups: tuple[CgroupDir, ...]
    request_millicpu: int | None
    limit_millicpu: int | None
    held: frozenset[int]


class Total(NamedTuple):
    """Of one tier's pods."""

    pods: int = 0
    request_millicpu: int = 0


def totals(views: Iterable[PodView]) -> dict[str, Total]:
    """Tier, or the system layer's name -> its pods and what they request; all are there, in the order of urgency."""
    found: dict[str, Total] = dict.fromkeys((*Tier, SYSTEM), Total())
    for view in views:
        name = view.decision.tier or SYSTEM
        pods, millicpu = found[name]
        found[name] = Total(pods + 1, millicpu + (view.request_millicpu or 0))
    return found


class NodeSource:
    """A `Source`. settings(): those in force now. InvalidInput or Refused when the cgroup tree can't be used."""

    def __init__(self, settings: LiveSettings, client: Client, run_dir: RunDir) -> None:
        self._settings = settings
        self._run_dir = run_dir
        now = settings()
        self._pod_cgroups = PodCgroups(
            Path(now.cgroups.root), kubepods=now.cgroups.kubepods or None, driver=now.cgroups.driver
        )
        self._on_change: Callable[[], None] = lambda: None
        self._on_switch: Callable[[], None] = lambda: None
        self._switch: str | None = None
        self._switch_uid = ""  # of the node object that said so
        self._heard_ns = 0
        self.views: tuple[PodView, ...] = ()

        def relist_s() -> float:
            return settings().kubernetes.relist_s

        name = now.node_name
        self.node = Reflector(
            client,
            resources.Node,
            keep=lambda node: node.metadata.annotations or {},
            fields=f"metadata.name={name}",
            on_change=self._node_changed,
            relist_s=relist_s,
            on_surprise=_surprised,
        )
        self.pods = Reflector(
            client,
            resources.Pod,
            keep=from_api,
            fields=f"spec.nodeName={name}",
            namespace="*",
            on_change=self._pods_changed,
            relist_s=relist_s,
            on_surprise=_surprised,
        )

    # ---- what the loop asks ----

    def not_ready(self) -> str:
        """Until both have been listed, and the node object was there to be read."""
        for what, reflector in (("node object", self.node), ("pods", self.pods)):
            if not reflector.synced:
                return f"waiting for the {what}" + (f": {reflector.trouble}" if reflector.trouble else "")
        if not self.node.objects and not self._heard_ns:
            return f"waiting for the node object: there is no node {self._settings().node_name}"
        return ""

    def safe_mode_reason(self) -> str | None:
        """The node object's annotations, as last heard."""
        return self._switch

    def switch_heard_ns(self) -> int:
        """When the node object last changed the switch."""
        return self._heard_ns

    def make_plan(self, demand: Demands = NO_DEMAND) -> Plan:
        """For the pods as last heard, and the cgroups and cpus that there are now."""
        machine = read_machine()
        self.views = self._look(machine)
        workloads = [_workload(view) for view in self.views]
        return make_plan(_without_held(machine, self.views), workloads, demand, self._settings().tiers.bandwidths)

    def refresh(self) -> None:
        """The pods as last heard."""
        if self.pods.synced:
            self.views = self._look(read_machine())

    def bind(self, on_change: Callable[[], None], on_switch: Callable[[], None]) -> None:
        """Whom to tell."""
        self._on_change, self._on_switch = on_change, on_switch

    async def watch(self) -> None:
        """The pod cgroups, the settings' file and the local switch. The API server is watched by `follow`."""
        watching = await asyncio.to_thread(importlib.import_module, "temper.agent.pod_watching")
        await watching.PodWatcher(
            run_dir=self._run_dir,
            parents=self._pod_cgroups.parents,
            on_change=self._on_change,
            on_switch=self._on_switch,
            settings_file=self._settings.sources.file,
            on_settings=self._settings.reload,
        ).run()

    # ---- what the API server tells ----

    async def follow(self) -> None:
        """Both reflectors, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.node.run(), name="node")
            group.create_task(self.pods.run(), name="pods")

    def trouble(self) -> str:
        """Why the API server can't be heard just now; empty while it can."""
        return self.node.trouble or self.pods.trouble

    def _node_changed(self) -> None:
        for uid, found in self.node.objects.items():  # one; a node that is gone leaves the switch as it was
            reason = self._why_engaged(uid, found)
            if reason != self._switch or not self._heard_ns:
                self._heard_ns = self.node.heard_ns
                self._switch = reason
                if is_unclear(found):
                    event("unclear_switch", reason=reason)
        self._on_switch()

    def _why_engaged(self, uid: str, annotations: Mapping[str, Any]) -> str | None:
        """A node object made anew has no annotations, and nobody has turned off what its predecessor's had."""
        reason = why_engaged(annotations)
        silent = not any(name in annotations for name in SWITCH_ANNOTATIONS)
        if reason is None and self._switch is not None and silent and uid != self._switch_uid:
            return self._switch if self._switch.endswith(KEPT) else self._switch + KEPT
        self._switch_uid = uid
        return reason

    def _pods_changed(self) -> None:
        self._on_change()

    # ---- from pods to workloads ----

    def _look(self, machine: Machine) -> tuple[PodView, ...]:
        there = (pod for pod in self.pods.objects.values() if not pod.finished)
        pods = sorted(there, key=lambda pod: (pod.key, pod.uid))
        cgroups = self._cgroups(pods)
        held = held_cpus(self._pod_cgroups.cgroups, cgroups, [cpu.id for cpu in machine.cpus])
        rules = self._settings().tiers.rules
        return tuple(
            PodView(
                pod,
                decide(pod, rules),
                cgroups[pod.uid],
                request_millicpu(pod),
                limit_millicpu(pod),
                held.get(pod.uid, frozenset()),
            )
            for pod in pods
        )

    def _cgroups(self, pods: Collection[Pod]) -> dict[str, tuple[CgroupDir, ...]]:
        """Pod uid -> its cgroups, each of which goes to one pod only.

        A real uid comes before a mirror's claim on one: whoever can make a mirror pod could name a victim's uid there.
        """
        found = self._pod_cgroups.find({uid for pod in pods for uid in pod.cgroup_uids})
        owners: dict[CgroupDir, str] = {}
        for pod in pods:
            for cgroup in found.get(pod.uid, ()):
                owners.setdefault(cgroup, pod.uid)
        claims = Counter(pod.config_hash for pod in pods)
        for pod in pods:
            if claims[pod.config_hash] == 1:  # one of several claimants is an impostor, and it can't be told which
                for cgroup in found.get(pod.config_hash, ()):
                    owners.setdefault(cgroup, pod.uid)
        cgroups: dict[str, list[CgroupDir]] = {pod.uid: [] for pod in pods}
        for cgroup, uid in sorted(owners.items()):
            cgroups[uid].append(cgroup)
        return {uid: tuple(dirs) for uid, dirs in cgroups.items()}

    @property
    def mismatched(self) -> tuple[str, ...]:
        """Uids of pods whose containers the runtime put outside the kubelet's tree."""
        return self._pod_cgroups.mismatched


def _surprised(error: Exception) -> None:
    warning("api_answer_unusable", exc_info=error)


def _workload(view: PodView) -> Workload:
    """A pod that holds cpus needs none of ours, and must not be fenced away from its own: it goes with High."""
    tier, request = view.decision.tier, view.request_millicpu
    if view.held and tier is Tier.CRITICAL:
        tier, request = Tier.HIGH, 0
    elif view.held:
        request = 0
    ids = tuple(cgroup.id for cgroup in view.cgroups)
    return Workload(view.pod.key, tier, ids, request, f"pod {view.pod.key}")


def layer_of(view: PodView) -> str:
    """The name of the layer that a pod belongs to: its tier's, but for one that holds cpus."""
    return _workload(view).layer


def _without_held(machine: Machine, views: Collection[PodView]) -> Machine:
    """The cpus that may be given away. A machine whose cpus are all held is left as it is."""
    held: set[int] = set().union(*(view.held for view in views))
    cpus = tuple(cpu for cpu in machine.cpus if cpu.id not in held)
    return Machine(cpus) if cpus else machine


def describe(view: PodView) -> dict[str, Any]:
    """One pod as `temper explain` and /observe show it."""
    return {
        "pod": view.pod.key,
        "uid": view.pod.uid,
        "tier": view.decision.tier.value if view.decision.tier else "system",
        "reason": view.decision.reason,
        "layer": layer_of(view),
        "request_millicpu": view.request_millicpu,
        "limit_millicpu": view.limit_millicpu,
        "held_cpus": sorted(view.held),
        "cgroups": [cgroup.path for cgroup in view.cgroups],
    }
