"""From a workloads file to the workloads as they stand now; `temper plan` and `temper run` share it."""

from __future__ import annotations

from collections.abc import Sequence

from temper.errors import Finding, InvalidInput
from temper.node.cgroups import CgroupDir, Cgroups
from temper.plan.machine import Machine
from temper.plan.tiers import Tier
from temper.plan.units import MILLI, format_millicpu
from temper.plan.workloads import Workload, find_clashes
from temper.settings.quoting import quoted
from temper.settings.workloads import WorkloadRule, WorkloadsFile


def snapshot(file: WorkloadsFile, cgroups: Cgroups, machine: Machine) -> list[Workload]:
    """The file's workloads, in its order, with the cgroups that exist now (perhaps none: some come later).

    InvalidInput with every finding when a workload asks for more than the machine or two claim one cgroup.
    """
    workloads, findings = resolve(file.rules, cgroups)
    findings = [*find_oversized(file.rules, machine), *findings]
    if findings:
        raise InvalidInput(findings)
    return workloads


def resolve(rules: Sequence[WorkloadRule], cgroups: Cgroups) -> tuple[list[Workload], list[Finding]]:
    """One workload for each rule, and a finding for each pair of rules that claim the same cgroup."""
    found = [_match(rule, cgroups) for rule in rules]
    workloads = [_workload(rule, dirs) for rule, dirs in zip(rules, found, strict=True)]
    paths = {cgroup.id: quoted(cgroup.path) for dirs in found for cgroup in dirs}
    return workloads, list(find_clashes(workloads, paths))


def find_oversized(rules: Sequence[WorkloadRule], machine: Machine) -> list[Finding]:
    """A finding for each rule that alone asks for more cpus than the machine has."""
    count = len(machine.cpus)
    return [
        Finding(f"{rule.place}.cpus", f"{format_millicpu(rule.millicpu)} cpus asked, this machine has {count}")
        for rule in rules
        if rule.millicpu is not None and rule.millicpu > count * MILLI
    ]


def _match(rule: WorkloadRule, cgroups: Cgroups) -> tuple[CgroupDir, ...]:
    if rule.unit is not None:
        return cgroups.match_unit(rule.unit)
    return cgroups.match(rule.cgroup) if rule.cgroup is not None else ()


def _workload(rule: WorkloadRule, dirs: Sequence[CgroupDir]) -> Workload:
    ids = tuple(sorted({cgroup.id for cgroup in dirs}))
    return Workload(rule.name, Tier(rule.tier), ids, rule.millicpu, rule.place)
