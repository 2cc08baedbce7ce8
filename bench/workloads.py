"""The workloads file of `temper run`: which pod's cgroup has which tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One workload. cgroup: a path below the cgroup root; cpus: what it asks for, None when it states nothing."""

    name: str
    tier: str
    cgroup: str
    cpus: float | None = None


def text(rules: Sequence[Rule]) -> str:
    """The file's text."""
    lines = ["version = 1"]
    for rule in rules:
        lines += ["", "[[workload]]", f'name = "{rule.name}"', f'tier = "{rule.tier}"', f'cgroup = "{rule.cgroup}"']
        lines += [f"cpus = {rule.cpus:g}"] if rule.cpus is not None else []
    return "\n".join(lines) + "\n"


def cpu_weight(millicpu: int) -> int:
    """cpu.weight as the kubelet writes it for a request of so many thousandths of a cpu; 0 is a BestEffort pod."""
    shares = max(2, millicpu * 1024 // 1000)
    return 1 + (shares - 2) * 9999 // 262142
