"""/metrics: the catalogue of every metric, and a collector that fills it in when somebody scrapes.

Nothing is counted twice: values come from the status, the linter and the kernel as they stand; only durations are kept
(`measurements`). Labels are bounded: tiers, layers, states, steps, invariants, and the two processes of ours. Pods are
labels where a cpu.max is counted only, of which the scheduler keeps so many and no more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from prometheus_client import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from temper import __version__
from temper.agent.facts import Facts, Gather
from temper.agent.measurements import COMMIT_PARTS, STEPS, Histogram
from temper.agent.node_source import totals
from temper.agent.quotas import QuotaView, quota_views
from temper.agent.states import State
from temper.node.processes import read_cost
from temper.node.small_files import read_numbers
from temper.plan.layers import SYSTEM
from temper.plan.lint import Invariant
from temper.plan.planner import ORDER
from temper.plan.tiers import RULES, LayerKind, Tier
from temper.plan.waits import bounds_us
from temper.wire.messages import LayerStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    """Prometheus' own words."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Entry(NamedTuple):
    """One metric. name: as it is queried, a counter's with `_total`; labels: name -> the values there are, in words."""

    name: str
    kind: Kind
    about: str
    labels: Mapping[str, str] = MappingProxyType({})


_TIER = {"tier": ", ".join((*Tier, SYSTEM))}
_LAYER = {"layer": ", ".join(ORDER)}
_PROCESS = {"process": "agent, engine"}
_INVARIANT = {"invariant": ", ".join(Invariant)}
_PART = {"part": "node, pods, annotations"}
_STEP = {"step": ", ".join(STEPS)}
_CGROUP = {
    "namespace": "the pod's, or empty",
    "pod": "its name, or empty where the cgroup is no pod's",
    "container": "its name, or empty",
    "cgroup": "the path, where pod and container don't say which it is",
}
G, C, H = Kind.GAUGE, Kind.COUNTER, Kind.HISTOGRAM

CATALOGUE = (
    Entry("temper_info", G, "Always 1.", {"version": "Temper's", "mode": "enforce, observe"}),
    Entry("temper_state", G, "1 for the state that the node is in, 0 for the others.", {"state": ", ".join(State)}),
    Entry("temper_enforcing", G, "1 while our scheduler decides, 0 while the stock one does."),
    Entry("temper_generation", G, "The generation in force; 0 while none is. An attach begins again at 1."),
    Entry("temper_memory_locked", G, "1 when the engine's memory can't be swapped out, so that beats are never late."),
    Entry("temper_last_pass_seconds", G, "Age of the agent loop's last pass, which ends with a heartbeat."),
    Entry("temper_commits_total", C, "Generations that replaced another while attached."),
    Entry("temper_resizes_total", C, "Times that measured demand changed how many cpus a layer owns."),
    Entry("temper_losses_total", C, "Engines that were lost: killed, silent, or with a scheduler that left."),
    Entry("temper_ejections_total", C, "Those of them whose scheduler was thrown out: by the kernel, or SysRq-S."),
    Entry("temper_stand_downs_total", C, "Times that a kill switch or the agent's end took the scheduler out."),
    Entry("temper_stand_down_seconds", H, "Kill switch: from hearing of it to the kernel being on stock."),
    Entry("temper_stand_down_step_seconds", H, "Its steps: decide, detach the scheduler, reap the engine.", _STEP),
    Entry(
        "temper_commit_seconds",
        H,
        "A commit: in the kernel; from the agent's decision until it is in force; from the first change that it holds.",
        {"part": ", ".join(COMMIT_PARTS)},
    ),
    Entry(
        "temper_start_seconds",
        G,
        "How long each step of the last attach took.",
        {"step": "engine_start, preflight, open, load, attach, plan"},
    ),
    Entry("temper_tier_pods", G, "Pods of this node by tier; system pods are in none, and counted as system.", _TIER),
    Entry("temper_tier_request_millicpu", G, "Thousandths of a cpu that they request.", _TIER),
    Entry("temper_layer_cpus", G, "Cpus that the layer owns or prefers; 0 for an open one.", _LAYER),
    Entry(
        "temper_layer_requested_cpus",
        G,
        "Cpus that its pods request, rounded up; less than it owns where demand is higher, more where it is lower.",
        {"layer": ", ".join(tier for tier in Tier if RULES[tier].kind is not LayerKind.OPEN)},
    ),
    Entry("temper_layer_run_seconds_total", C, "Cpu time of the layer's tasks.", _LAYER),
    Entry("temper_layer_guest_run_seconds_total", C, "Of it, on cpus that the layer may not use.", _LAYER),
    Entry("temper_layer_wait_seconds", H, "Their waits, runnable, for a cpu; the bounds double from 1 us.", _LAYER),
    Entry("temper_layer_runs_total", C, "Times that one began to run.", _LAYER),
    Entry("temper_layer_wakes_total", C, "Times that one woke up.", _LAYER),
    Entry("temper_layer_direct_total", C, "Wake-ups that went to an idle cpu at once.", _LAYER),
    Entry("temper_layer_spills_total", C, "Runs of a layer with own cpus on others that it may use.", _LAYER),
    Entry("temper_layer_preempts_total", C, "Cpus taken from a lower layer.", _LAYER),
    Entry("temper_layer_preempted_total", C, "Cpus lost to a higher layer.", _LAYER),
    Entry("temper_layer_guest_runs_total", C, "Runs on a cpu that the layer may not use, for want of another.", _LAYER),
    Entry("temper_layer_rescued_total", C, "Tasks that waited past the bound and were moved ahead.", _LAYER),
    Entry("temper_layer_max_wait_seconds", G, "The longest wait since the attach.", _LAYER),
    Entry("temper_cpu_max_periods_total", C, "Periods of a finite cpu.max while our scheduler enforces it.", _CGROUP),
    Entry("temper_cpu_max_throttled_periods_total", C, "Of them, those in which it was throttled.", _CGROUP),
    Entry("temper_cpu_max_throttled_seconds_total", C, "For how long, counted when a throttling ends.", _CGROUP),
    Entry(
        "temper_cpu_max_kernel_periods_total",
        C,
        "The kernel's own nr_periods, of the cgroup's cpu.stat, which stands still while our scheduler is attached.",
        _CGROUP,
    ),
    Entry("temper_cpu_max_kernel_throttled_periods_total", C, "Its nr_throttled, which stands still too.", _CGROUP),
    Entry("temper_cpu_max_kernel_throttled_seconds_total", C, "Its throttled_usec, which stands still too.", _CGROUP),
    Entry(
        "temper_no_room_total",
        C,
        "Times that a cgroup came and the scheduler's table was full: its cpu.max, or its cpu.weight, doesn't hold.",
        {"table": "cpu_max, cpu_weight"},
    ),
    Entry("temper_api_requests_total", C, "Lists and watches asked of the API server."),
    Entry("temper_api_patches_total", C, "Patches of the node object's annotations."),
    Entry("temper_api_failures_total", C, "Lists, watches and patches that ended in an error."),
    Entry("temper_api_trouble", G, "1 while this part can't reach the API server, or is told no.", _PART),
    Entry("temper_process_cpu_seconds_total", C, "Own cost: cpu time.", _PROCESS),
    Entry("temper_process_resident_bytes", G, "Own cost: resident memory.", _PROCESS),
    Entry("temper_lint_violations", G, "Pods, layers or nodes that an invariant does not hold for now.", _INVARIANT),
    Entry("temper_lint_found_total", C, "Times that one began not to hold.", _INVARIANT),
    Entry("temper_lint_age_seconds", G, "Age of the linter's last look; absent before the first."),
    Entry("temper_lint_cpu_seconds_total", C, "Cpu time of the linter's looks, which the agent's contains."),
)

_Values = Iterable[tuple[tuple[str, ...], float]]


class Collector:
    """What prometheus_client asks when somebody scrapes."""

    def __init__(self, gather: Gather) -> None:
        self._gather = gather

    def collect(self) -> Iterator[Metric]:
        """Every family of the catalogue, in its order."""
        facts = self._gather()
        values = dict(_all_values(facts))
        histograms = dict(_histograms(facts))
        for entry in CATALOGUE:
            if entry.kind is Kind.HISTOGRAM:
                yield _histogram_family(entry, histograms[entry.name])
            else:
                yield _family(entry, values[entry.name])

    def text(self) -> bytes:
        """The body of a scrape."""
        return generate_latest(self)


def _family(entry: Entry, values: _Values) -> Metric:
    labels = list(entry.labels)
    family: CounterMetricFamily | GaugeMetricFamily
    if entry.kind is Kind.COUNTER:
        family = CounterMetricFamily(entry.name.removesuffix("_total"), entry.about, labels=labels)
    else:
        family = GaugeMetricFamily(entry.name, entry.about, labels=labels)
    for labelled, value in values:
        family.add_metric(labelled, value)
    return family


def _histogram_family(entry: Entry, values: Iterable[tuple[tuple[str, ...], Histogram]]) -> Metric:
    family = HistogramMetricFamily(entry.name, entry.about, labels=list(entry.labels))
    for labelled, histogram in values:
        buckets = [
            ("+Inf" if bound == float("inf") else f"{bound:.10g}", count) for bound, count in histogram.cumulative()
        ]
        family.add_metric(labelled, buckets, histogram.sum_s)
    return family


# ---- values ----


def _all_values(facts: Facts) -> Iterator[tuple[str, _Values]]:
    yield from _of_status(facts)
    yield from _of_tiers(facts)
    yield from _of_layers(facts)
    yield from _of_quotas(facts)
    yield from _of_tables(facts)
    yield from _of_api(facts)
    yield from _of_processes(facts)
    yield from _of_linter(facts)


def _plain(value: float) -> _Values:
    return [((), value)]


def _of_status(facts: Facts) -> Iterator[tuple[str, _Values]]:
    status = facts.status
    yield "temper_info", [((__version__, facts.mode), 1)]
    yield "temper_state", [((state,), state is status.state) for state in State]
    yield "temper_enforcing", _plain(status.state is State.ENFORCING)
    yield "temper_generation", _plain(status.generation)
    yield "temper_memory_locked", _plain(status.memory_locked)
    yield "temper_last_pass_seconds", _plain(time.monotonic() - facts.measured.last_pass_s)
    yield "temper_commits_total", _plain(status.nr_commits)
    yield "temper_resizes_total", _plain(status.nr_resizes)
    yield "temper_losses_total", _plain(status.nr_losses)
    yield "temper_ejections_total", _plain(status.nr_ejections)
    yield "temper_stand_downs_total", _plain(status.nr_stand_downs)
    yield "temper_start_seconds", [((step,), took_ns / 1e9) for step, took_ns in status.timings_ns.items()]


def _of_tiers(facts: Facts) -> Iterator[tuple[str, _Values]]:
    found = totals(facts.views).items()
    yield "temper_tier_pods", [((name,), total.pods) for name, total in found]
    yield "temper_tier_request_millicpu", [((name,), total.request_millicpu) for name, total in found]


def _of_layers(facts: Facts) -> Iterator[tuple[str, _Values]]:
    layers = facts.status.plan.layers if facts.status.plan else ()
    yield "temper_layer_cpus", [((layer.name,), len(layer.cpus)) for layer in layers]
    sizes = facts.status.plan.sizes if facts.status.plan else ()
    yield "temper_layer_requested_cpus", [((size.layer,), size.requested) for size in sizes]
    stats = facts.status.stats.items()
    yield "temper_layer_run_seconds_total", [((name,), each.run_ns / 1e9) for name, each in stats]
    yield "temper_layer_guest_run_seconds_total", [((name,), each.guest_ns / 1e9) for name, each in stats]
    yield "temper_layer_runs_total", [((name,), each.nr_runs) for name, each in stats]
    yield "temper_layer_wakes_total", [((name,), each.nr_wakes) for name, each in stats]
    yield "temper_layer_direct_total", [((name,), each.nr_direct) for name, each in stats]
    yield "temper_layer_spills_total", [((name,), each.nr_spills) for name, each in stats]
    yield "temper_layer_preempts_total", [((name,), each.nr_preempts) for name, each in stats]
    yield "temper_layer_preempted_total", [((name,), each.nr_preempted) for name, each in stats]
    yield "temper_layer_guest_runs_total", [((name,), each.nr_guest_runs) for name, each in stats]
    yield "temper_layer_rescued_total", [((name,), each.nr_rescued) for name, each in stats]
    yield "temper_layer_max_wait_seconds", [((name,), each.max_wait_ns / 1e9) for name, each in stats]


def _of_quotas(facts: Facts) -> Iterator[tuple[str, _Values]]:
    # By labels, so that none is there twice whatever a cgroup is called: Prometheus would refuse the whole scrape.
    views = {_quota_labels(view): view for view in quota_views(facts)}
    ours = {labels: view.stats for labels, view in views.items()}
    yield "temper_cpu_max_periods_total", [(labels, each.nr_periods) for labels, each in ours.items()]
    yield "temper_cpu_max_throttled_periods_total", [(labels, each.nr_throttled) for labels, each in ours.items()]
    yield "temper_cpu_max_throttled_seconds_total", [(labels, each.throttled_ns / 1e9) for labels, each in ours.items()]
    stats = {labels: read_numbers(f"{facts.cgroup_root}/{view.path}/cpu.stat") for labels, view in views.items()}
    kernels = {labels: stat for labels, stat in stats.items() if "throttled_usec" in stat}  # else it is gone
    yield "temper_cpu_max_kernel_periods_total", [(labels, stat["nr_periods"]) for labels, stat in kernels.items()]
    yield (
        "temper_cpu_max_kernel_throttled_periods_total",
        [(labels, stat["nr_throttled"]) for labels, stat in kernels.items()],
    )
    yield (
        "temper_cpu_max_kernel_throttled_seconds_total",
        [(labels, stat["throttled_usec"] / 1e6) for labels, stat in kernels.items()],
    )


def _of_tables(facts: Facts) -> Iterator[tuple[str, _Values]]:
    no_room = facts.status.no_room if facts.status.stats else None
    yield "temper_no_room_total", [(("cpu_max",), no_room.quotas), (("cpu_weight",), no_room.shares)] if no_room else []


def _quota_labels(view: QuotaView) -> tuple[str, ...]:
    namespace, pod = (view.pod.namespace, view.pod.name) if view.pod else ("", "")
    return namespace, pod, view.container, "" if view.is_named else view.shown


def _of_api(facts: Facts) -> Iterator[tuple[str, _Values]]:
    yield "temper_api_requests_total", _plain(facts.api.requests)
    yield "temper_api_patches_total", _plain(facts.api.patches)
    yield "temper_api_failures_total", _plain(facts.api.failures)
    yield "temper_api_trouble", [((part,), bool(why)) for part, why in facts.api.trouble.items()]


def _of_processes(facts: Facts) -> Iterator[tuple[str, _Values]]:
    pids = {"agent": os.getpid(), "engine": facts.status.engine_pid}
    costs = {name: cost for name, pid in pids.items() if pid and (cost := read_cost(pid))}
    yield "temper_process_cpu_seconds_total", [((name,), cost.cpu_s) for name, cost in costs.items()]
    yield "temper_process_resident_bytes", [((name,), cost.resident_bytes) for name, cost in costs.items()]


def _of_linter(facts: Facts) -> Iterator[tuple[str, _Values]]:
    linter = facts.linter
    standing = [each.verdict.invariant for each in linter.standing]
    yield "temper_lint_violations", [((name,), standing.count(name)) for name in Invariant]
    yield "temper_lint_found_total", [((name,), linter.found[name]) for name in Invariant]
    yield "temper_lint_age_seconds", _plain(time.time() - linter.looked_s) if linter.looked_s else []
    yield "temper_lint_cpu_seconds_total", _plain(linter.cost_ns / 1e9)


def _histograms(facts: Facts) -> Iterator[tuple[str, list[tuple[tuple[str, ...], Histogram]]]]:
    measured = facts.measured
    yield "temper_stand_down_seconds", [((), measured.stand_down)]
    yield "temper_stand_down_step_seconds", [((step,), each) for step, each in measured.stand_down_steps.items()]
    yield "temper_commit_seconds", [((part,), each) for part, each in measured.commits.items()]
    yield "temper_layer_wait_seconds", [((name,), _waits(each)) for name, each in facts.status.stats.items()]


def _waits(stats: LayerStats) -> Histogram:
    """As the scheduler counted them: a wait of exactly a bound above it, not below, which a nanosecond would change."""
    bounds_s = [bound_us / 1e6 for bound_us in bounds_us(len(stats.wait_hist))]
    return Histogram(bounds_s, stats.wait_hist, stats.wait_ns / 1e9)
