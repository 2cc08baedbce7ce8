"""All that /metrics and /observe are made of, gathered at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from temper.agent.lint import Linter
from temper.agent.measurements import Measurements
from temper.agent.node_source import PodView
from temper.agent.status import Status
from temper.node.cgroup_paths import CgroupPaths


class Api(NamedTuple):
    """Dealings with the API server. requests: lists and watches; patches: of the node object.

    trouble: part (`node`, `pods`, `annotations`) -> why it doesn't work just now; empty while it does.
    """

    requests: int
    patches: int
    failures: int
    trouble: Mapping[str, str]


class Facts(NamedTuple):
    """One moment of an agent. What the loop goes on to change (status, counters) is copied by `copy_of`."""

    node: str
    mode: str
    cgroup_root: str
    cgroup_paths: CgroupPaths
    lint_enabled: bool
    lint_interval_s: int
    status: Status
    views: Sequence[PodView]
    api: Api
    measured: Measurements
    linter: Linter


def copy_of(status: Status) -> Status:
    """A status that the loop no longer changes."""
    return replace(
        status,
        notes=list(status.notes),
        timings_ns=dict(status.timings_ns),
        last_commit_ns=dict(status.last_commit_ns),
        stand_down_ns=dict(status.stand_down_ns),
        stats=dict(status.stats),
        used_millicpu=dict(status.used_millicpu),
    )


Gather = Callable[[], Facts]
