"""Whose the cgroups with a finite cpu.max are: a pod's, one of its containers', or somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from temper.agent.facts import Facts
from temper.agent.node_source import PodView
from temper.plan.pods import Pod
from temper.settings.quoting import printable
from temper.wire.messages import QuotaStats

MAX_SHOWN = 256  # characters of a path: whoever was given a subtree may nest and name as they like


class QuotaView(NamedTuple):
    """One cgroup. path: below the root, as the kernel has it; shown: for people, or the id where that is too long.

    pod: whose it is, None when it is no pod's.
    container: its name; empty for a pod's own cgroup, and for one that the API doesn't name (yet, or any more).
    is_named: pod and container say which cgroup it is.
    """

    stats: QuotaStats
    path: str
    shown: str
    pod: Pod | None = None
    container: str = ""
    is_named: bool = False


def quota_views(facts: Facts) -> list[QuotaView]:
    """Of every one that is there. Looks for those that are new: to be called beside the loop, in a thread."""
    quotas = facts.status.quotas
    paths = facts.cgroup_paths.find([each.cgroup_id for each in quotas])
    owners = {cgroup.path: view for view in facts.views for cgroup in view.cgroups}
    return [_view(each, paths[each.cgroup_id], owners) for each in quotas if each.cgroup_id in paths]


def _view(stats: QuotaStats, path: str, owners: Mapping[str, PodView]) -> QuotaView:
    shown = printable(path)
    if len(shown) > MAX_SHOWN:
        shown = f"id {stats.cgroup_id}"
    parts = path.split("/")
    for length in range(len(parts), 0, -1):
        view = owners.get("/".join(parts[:length]))
        if view is None:
            continue
        below = parts[length:]
        # Of a pod whose driver isn't the runtime's, the containers' cgroups are all that there is.
        container = _container(view.pod, (below or parts)[0 if below else -1])
        is_pods_own = not below and len(view.cgroups) == 1
        is_containers_own = bool(container) and len(below) <= 1
        return QuotaView(stats, path, shown, view.pod, container, is_pods_own or is_containers_own)
    return QuotaView(stats, path, shown)


def _container(pod: Pod, directory: str) -> str:
    """`<id>`, `cri-containerd-<id>.scope` or `...:cri-containerd:<id>`: the name of the container with this id."""
    stem = directory.removesuffix(".scope")
    return next((each.name for each in pod.containers if each.id and stem.endswith(each.id)), "")
