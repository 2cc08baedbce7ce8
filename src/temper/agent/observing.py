"""Puts the document of /observe together: from what is known, and from the cgroups as they are when somebody asks."""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import temper
from temper.agent.facts import Facts
from temper.agent.lint import Standing
from temper.agent.node_source import PodView, describe, layer_of
from temper.agent.observe import (
    VERSION,
    ApiReport,
    Counts,
    Document,
    Kernel,
    LayerView,
    LintReport,
    MachineShape,
    PodReport,
    ProcessCost,
    QuotaReport,
    ThreadView,
    VerdictView,
)
from temper.agent.quotas import QuotaView, quota_views
from temper.errors import Refused
from temper.node.cgroup_cpu import Pressure, read_cpu_use, read_machine_pressure, read_pressure, sum_cpu_use
from temper.node.processes import read_cost
from temper.node.sched_ext import read_state
from temper.plan.eligible import eligible_cpus, open_cpus
from temper.plan.layers import Layer, Plan, Size
from temper.plan.machine import Machine
from temper.plan.samples import LayerSample
from temper.plan.units import format_cpu_list
from temper.plan.waits import percentile_us
from temper.wire.messages import LayerStats

MOST_THREADS = 32
_BPF = Path(temper.__file__).parent / "engine/_bpf/temper.bpf.o"


def observe(facts: Facts) -> Document:
    """The document as of now. Reads a few files for each pod: to be called beside the loop, in a thread."""
    status, linter = facts.status, facts.linter
    machine = _machine(facts)
    plan = status.plan
    eligible = eligible_cpus(plan, [cpu.id for cpu in machine.cpus]) if plan and machine else {}
    return Document(
        version=VERSION,
        temper=temper.__version__,
        bpf_sha256=bpf_sha256(),
        time_s=time.time(),
        node=facts.node,
        mode=facts.mode,
        state=status.state.value,
        reason=status.reason,
        generation=status.generation,
        notes=list(status.notes),
        agent_pid=os.getpid(),
        engine_pid=status.engine_pid,
        memory_locked=status.memory_locked,
        kernel=Kernel(*read_state()),
        counts=Counts(
            status.nr_commits, status.nr_losses, status.nr_ejections, status.nr_stand_downs, status.nr_resizes
        ),
        start_ns=dict(status.timings_ns),
        last_commit_ns=dict(status.last_commit_ns),
        last_stand_down_ns=dict(status.stand_down_ns),
        machine=_shape(machine, plan) if machine else None,
        pressure=read_machine_pressure(),
        layers=_layers(facts, plan, eligible),
        pods=[_pod(view, facts, plan, eligible) for view in facts.views],
        threads=_threads(facts),
        lint=LintReport(
            facts.lint_enabled,
            facts.lint_interval_s,
            linter.looked_s,
            linter.cost_ns / 1e9,
            linter.placement.nr_unread,
            [_verdict(standing) for standing in linter.standing],
        ),
        overhead=_overhead({"agent": os.getpid(), "engine": status.engine_pid}),
        api=ApiReport(
            facts.api.requests,
            facts.api.patches,
            facts.api.failures,
            {part: why for part, why in facts.api.trouble.items() if why},
        ),
        quotas=[_quota(view, facts.cgroup_root) for view in quota_views(facts)],
        no_room=status.no_room,
    )


@functools.cache
def bpf_sha256() -> str:
    """Of the scheduler's object that this package carries; empty where it was not built."""
    try:
        return hashlib.sha256(_BPF.read_bytes()).hexdigest()
    except OSError:
        return ""


def _machine(facts: Facts) -> Machine | None:
    try:
        return facts.linter.shape.read()
    except Refused:
        return None


def _shape(machine: Machine, plan: Plan | None) -> MachineShape:
    ids = [cpu.id for cpu in machine.cpus]
    return MachineShape(
        cpus=len(ids),
        cores=len({cpu.core for cpu in machine.cpus}),
        llcs=len({cpu.llc for cpu in machine.cpus}),
        nodes=len({cpu.node for cpu in machine.cpus}),
        reserve=format_cpu_list(open_cpus(plan, ids)) if plan else format_cpu_list(ids),
    )


def _layers(facts: Facts, plan: Plan | None, eligible: Mapping[str, frozenset[int]]) -> list[LayerView]:
    counts = Counter(layer_of(view) for view in facts.views)
    growth = {each.layer: each for each in facts.measured.growth.layers}
    over_s = facts.measured.growth.over_ns / 1e9
    sizes = {size.layer: size for size in plan.sizes} if plan else {}
    return [
        _layer(
            layer,
            may_use=format_cpu_list(eligible.get(layer.name, ())),
            nr_pods=counts[layer.name],
            size=sizes.get(layer.name),
            total=facts.status.stats.get(layer.name),
            growth=growth.get(layer.name),
            over_s=over_s,
        )
        for layer in (plan.layers if plan else ())
    ]


def _layer(
    layer: Layer,
    *,
    may_use: str,
    nr_pods: int,
    size: Size | None,
    total: LayerStats | None,
    growth: LayerSample | None,
    over_s: float,
) -> LayerView:
    longest_ns = total.max_wait_ns if total else 0
    ever = total.wait_hist if total else ()
    lately = growth.wait_hist if growth and total else ()
    return LayerView(
        name=layer.name,
        rank=layer.rank,
        kind=layer.kind.value,
        protected=layer.protected,
        preempts=layer.preempts,
        exclusive=layer.exclusive,
        slice_us=layer.slice_us,
        cpus=list(layer.cpus),
        may_use=may_use,
        nr_pods=nr_pods,
        size=size,
        smooth_periods=layer.smooth_periods,
        ceiling_millicpu=layer.ceiling_millicpu,
        total=total,
        used_cpus=round(growth.ran_ns / 1e9 / over_s, 4) if growth else None,
        mean_wait_us=round(growth.mean_wait_ns / 1e3, 1) if growth else None,
        runs_per_s=round(growth.nr_runs / over_s, 1) if growth else None,
        p50_wait_us=percentile_us(lately, 0.50, longest_ns=longest_ns),
        p99_wait_us=percentile_us(lately, 0.99, longest_ns=longest_ns),
        total_p50_wait_us=percentile_us(ever, 0.50, longest_ns=longest_ns),
        total_p99_wait_us=percentile_us(ever, 0.99, longest_ns=longest_ns),
    )


def _pod(view: PodView, facts: Facts, plan: Plan | None, eligible: Mapping[str, frozenset[int]]) -> PodReport:
    paths = [f"{facts.cgroup_root}/{cgroup.path}" for cgroup in view.cgroups]
    layer = layer_of(view)
    own = next((each.cpus for each in plan.layers if each.name == layer), ()) if plan else ()
    return PodReport(
        **describe(view),
        cpus=list(own),
        may_use=format_cpu_list(eligible.get(layer, ())),
        used_millicpu=facts.linter.placement.used_millicpu.get(view.pod.key),
        cpu=sum_cpu_use(read_cpu_use(path) for path in paths),
        pressure=_pod_pressure(paths),
    )


def _pod_pressure(paths: list[str]) -> dict[str, Pressure]:
    """Of a pod's directory; where the drivers mismatch, pressures of its several containers can't be added up."""
    return read_pressure(paths[0]) if len(paths) == 1 else {}


def _quota(view: QuotaView, cgroup_root: str) -> QuotaReport:
    stats = view.stats
    return QuotaReport(
        cgroup=view.shown,
        pod=view.pod.key if view.pod else "",
        container=view.container,
        quota_millicpu=1000 * stats.quota_ns // max(1, stats.period_ns),
        period_usec=stats.period_ns // 1000,
        smooth_periods=stats.smooth_periods,
        nr_periods=stats.nr_periods,
        nr_throttled=stats.nr_throttled,
        throttled_usec=stats.throttled_ns // 1000,
        cpu=read_cpu_use(f"{cgroup_root}/{view.path}"),
    )


def _threads(facts: Facts) -> list[ThreadView]:
    busiest = sorted(facts.linter.placement.threads, key=lambda thread: (-thread.share, thread.tid))[:MOST_THREADS]
    return [
        ThreadView(each.pod, each.tid, each.name, each.cpu, round(each.share, 4), each.policy, each.rt_priority)
        for each in busiest
        if each.share
    ]


def _verdict(standing: Standing) -> VerdictView:
    verdict = standing.verdict
    return VerdictView(verdict.invariant.value, verdict.subject, verdict.message, verdict.fix, standing.since_s)


def _overhead(pids: Mapping[str, int]) -> dict[str, ProcessCost]:
    costs = {name: read_cost(pid) for name, pid in pids.items() if pid}
    return {name: ProcessCost(*cost) for name, cost in costs.items() if cost}
