"""The workloads file of `temper run`: which pod's cgroup has which tier, and how a tier's cpu.max holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Rule:
    """One workload. cgroup: a path below the cgroup root; cpus: what it asks for, None when it states nothing."""

    name: str
    tier: str
    cgroup: str
    cpus: float | None = None


def text(rules: Sequence[Rule], quotas: Mapping[str, str] = MappingProxyType({})) -> str:
    """The file's text. quotas: tier -> `strict` or `smooth`; the others have the defaults."""
    lines = ["version = 1"]
    for rule in rules:
        lines += ["", "[[workload]]", f'name = "{rule.name}"', f'tier = "{rule.tier}"', f'cgroup = "{rule.cgroup}"']
        lines += [f"cpus = {rule.cpus:g}"] if rule.cpus is not None else []
    lines += ["", "[tiers.quota]", *(f'{tier} = "{quota}"' for tier, quota in quotas.items())] if quotas else []
    return "\n".join(lines) + "\n"


def cpu_weight(millicpu: int) -> int:
    """cpu.weight as the kubelet writes it for a request of so many thousandths of a cpu; 0 is a BestEffort pod."""
    shares = max(2, millicpu * 1024 // 1000)
    return 1 + (shares - 2) * 9999 // 262142
