"""The placement linter: what the kernel did, held against what each tier was promised.

Rules are pure functions from a `Sample` to verdicts. They judge by what was counted or seen (where threads ran, what
they used, what the scheduler counted), never by what was intended: a wrong plan, a wrong commit and a wrong scheduler
look the same from here, and are found alike. Rules about layers need a plan that was in force all the while.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from enum import StrEnum

import msgspec

from temper.plan.eligible import eligible_cpus, open_cpus
from temper.plan.layers import DEFAULT, SYSTEM
from temper.plan.samples import REALTIME, LayerSample, Sample, ThreadSample
from temper.plan.tiers import RULES, Tier
from temper.plan.units import counted, format_cpu_list, format_millicpu

# Of one cpu over the time that was looked at. A thread that ran less than BUSY may have been caught in a moment that
# means nothing (exiting, migration disabled); one that ran more than HOT is what a layer was made for.
BUSY = 0.01
HOT = 0.5
# Of the open cpus that protected tiers may use before there is no reserve to speak of.
RESERVE_SHARE = 0.8
# Of a protected layer's runs, as guest on a cpu that it may not use; and how many they must be.
GUEST_SHARE, LEAST_GUEST_RUNS = 0.01, 20
# Of the quota, and at least so much: the kernel too lets a group exceed it by a slice on each cpu.
QUOTA_FACTOR, LEAST_EXCESS_MILLICPU = 1.1, 50
# The kubelet's default (cpuCFSQuotaPeriod).
QUOTA_PERIOD_NS = 100_000_000
# (mean, longest) wait. System preempts, so nothing should make it wait for longer than a tick or two. The default layer
# shares cpus with slices of 20 ms, and any layer's whole queue gets through in about a second.
_WAITS_NS = {SYSTEM: (10_000_000, 100_000_000), DEFAULT: (100_000_000, 2_500_000_000)}
_NAMED = 3  # subjects that a message names


class Invariant(StrEnum):
    """What must hold, by the name that metrics and logs know it by."""

    SMT_COLLISION = "smt_collision"
    PROTECTED_FALLBACK = "protected_fallback"
    OPEN_RESERVE = "open_reserve"
    LAYER_MISMATCH = "layer_mismatch"
    CPUSET_CONFLICT = "cpuset_conflict"
    RT_HOG = "rt_hog"
    CGROUP_DRIVER_MISMATCH = "cgroup_driver_mismatch"
    SYSTEM_STARVED = "system_starved"
    POD_UNMAPPED = "pod_unmapped"
    QUOTA_EXCEEDED = "quota_exceeded"


class About(msgspec.Struct, frozen=True):
    """An invariant in words. holds: what must be so; fix: what a person can do when it isn't."""

    holds: str
    fix: str


ABOUT: Mapping[Invariant, About] = {
    Invariant.SMT_COLLISION: About(
        "The cores of an exclusive layer run its threads only, and two busy ones share no core while another is free.",
        "Ask for more whole cores (the pods' cpu requests), or start fewer busy threads than the layer has cores.",
    ),
    Invariant.PROTECTED_FALLBACK: About(
        "Critical and High run protected, on cpus of their layer.",
        "Lower the requests of the tier's pods, or move some to another node or tier, so that its cpus fit; look for "
        "threads of these pods that are pinned elsewhere.",
    ),
    Invariant.OPEN_RESERVE: About(
        "Protected tiers leave room on the cpus that everybody else lives on.",
        "Raise the cpu requests of the Critical and High pods to what they use, so that they get cpus of their own.",
    ),
    Invariant.LAYER_MISMATCH: About(
        "A thread runs only where its layer may.",
        "If it lasts, it is a defect: `temper safe-mode on --local` and report it with /observe.",
    ),
    Invariant.CPUSET_CONFLICT: About(
        "Nobody else pins a pod away from its layer's cpus.",
        "Remove the pinning (taskset, cpuset, the kubelet's static cpu manager, another agent), or move the pod to a "
        "tier without a fence.",
    ),
    Invariant.RT_HOG: About(
        "No pod keeps a cpu busy with a realtime policy, which goes before every sched_ext scheduler.",
        "Let the pod run without SCHED_FIFO, SCHED_RR and SCHED_DEADLINE (drop CAP_SYS_NICE), or on another node.",
    ),
    Invariant.CGROUP_DRIVER_MISMATCH: About(
        "Kubelet and container runtime name cgroups the same way.",
        "Set the runtime's driver to the kubelet's (containerd: SystemdCgroup = true) and restart the pods.",
    ),
    Invariant.SYSTEM_STARVED: About(
        "The scheduler's own processes, kubelet and daemons are served in time.",
        "Leave more cpus open: lower the requests of Critical pods; look for realtime threads and for an overloaded "
        "lowest core.",
    ),
    Invariant.POD_UNMAPPED: About(
        "Each running pod has a cgroup that its tier is put in force for.",
        "Check `cgroups.root` and `cgroups.kubepods` in the agent's settings, and that /sys/fs/cgroup is the host's.",
    ),
    Invariant.QUOTA_EXCEEDED: About(
        "A pod uses no more than its cpu limit, also while our scheduler decides.",
        "Where limits must be exact, leave the node on stock: annotate it with temper.codes/safe-mode-requested=true.",
    ),
}


class Verdict(msgspec.Struct, frozen=True):
    """One thing that is not as promised. subject: a pod, a layer, `node`; message: what was seen."""

    invariant: Invariant
    subject: str
    message: str

    @property
    def fix(self) -> str:
        """What a person can do about it."""
        return ABOUT[self.invariant].fix


def lint(sample: Sample) -> tuple[Verdict, ...]:
    """Every verdict, at most one for each invariant and subject; the same for every order of the sample's parts."""
    found: dict[tuple[Invariant, str], Verdict] = {}
    for verdict in (verdict for rule in _RULES for verdict in rule(sample)):
        found.setdefault((verdict.invariant, verdict.subject), verdict)
    return tuple(found[key] for key in sorted(found))


def strays(sample: Sample) -> tuple[ThreadSample, ...]:
    """Threads that ran where their layer may not, busiest first: why, their affinity tells."""
    if sample.plan is None:
        return ()
    eligible = eligible_cpus(sample.plan, _ids(sample))
    layers = {pod.pod: pod.layer for pod in sample.pods}
    found = [each for each in _busiest(sample) if _decided_by_us(each) and each.share >= BUSY]
    return tuple(each for each in found if each.cpu not in eligible.get(layers.get(each.pod, ""), {each.cpu}))


# ---- the rules ----


def _misplaced(sample: Sample) -> Iterator[Verdict]:
    """A thread off its layer's cpus: pinned there by somebody, or by a mistake of ours."""
    if sample.plan is None:
        return
    eligible = eligible_cpus(sample.plan, _ids(sample))
    layers = {pod.pod: pod.layer for pod in sample.pods}
    for thread in strays(sample):
        layer = layers[thread.pod]
        may = eligible[layer]
        seen = f"{thread.shown} of layer {layer} ran on cpu {thread.cpu}; the layer may use {_cpus(may)}"
        if thread.allowed is not None and not thread.allowed & may:
            allowed = f", but its affinity and cpuset leave it {_cpus(thread.allowed)} only"
            yield Verdict(Invariant.CPUSET_CONFLICT, thread.pod, seen + allowed)
        else:
            yield Verdict(Invariant.LAYER_MISMATCH, thread.pod, seen)


def _held(sample: Sample) -> Iterator[Verdict]:
    """Cpus given to a pod by somebody else, and to a fence by us."""
    for layer in sample.plan.layers if sample.plan else ():
        for pod in sample.pods:
            both = pod.held & set(layer.cpus) if layer.protected and layer.name != pod.layer else frozenset()
            if both:
                message = f"its containers are pinned to {_cpus(pod.held)}, but layer {layer.name} keeps {_cpus(both)}"
                yield Verdict(Invariant.CPUSET_CONFLICT, pod.pod, message)


def _shared_cores(sample: Sample) -> Iterator[Verdict]:
    """Somebody else on the sibling of a busy thread of an exclusive layer, or two such on one core for no need."""
    exclusive = {layer.name: layer for layer in sample.plan.layers if layer.exclusive} if sample.plan else {}
    layers = {pod.pod: pod.layer for pod in sample.pods}
    core_of = {cpu.id: cpu.core for cpu in sample.machine.cpus}
    busy = [thread for thread in _busiest(sample) if thread.share >= BUSY and thread.cpu in core_of]
    for name, layer in exclusive.items():
        hot = [thread for thread in busy if layers.get(thread.pod) == name and thread.share >= HOT]
        spare = {core_of[cpu] for cpu in layer.cpus if cpu in core_of} - {core_of[thread.cpu] for thread in hot}
        for thread in hot:
            for other in busy:
                if core_of[other.cpu] != core_of[thread.cpu] or other.cpu == thread.cpu:
                    continue
                if layers.get(other.pod) != name:
                    yield Verdict(Invariant.SMT_COLLISION, thread.pod, _collision(thread, other))
                elif spare and other in hot and _together_before(thread, other, core_of):
                    free = f" while {counted(len(spare), 'core')} of the layer had no busy thread"
                    yield Verdict(Invariant.SMT_COLLISION, thread.pod, _collision(thread, other) + free)


def _together_before(one: ThreadSample, other: ThreadSample, core_of: Mapping[int, int]) -> bool:
    """Were they on one core at the beginning too? Threads that wander meet by chance."""
    before = core_of.get(one.cpu_before), core_of.get(other.cpu_before)
    return None not in before and before[0] == before[1]


def _collision(one: ThreadSample, other: ThreadSample) -> str:
    return f"{one.shown} on cpu {one.cpu} shared its core with {other.shown} of {other.pod} on cpu {other.cpu}"


def _unprotected(sample: Sample) -> Iterator[Verdict]:
    """A tier that is promised protection and ran without."""
    layers = {layer.name: layer for layer in sample.plan.layers} if sample.plan else {}
    for counts in sample.layers:
        layer = layers.get(counts.layer)
        if layer is None or counts.layer not in _PROTECTED or not counts.nr_runs:
            continue
        if not layer.protected:
            message = (
                f"ran {counts.ran_ns / 1e9:.2f} s with nothing kept for it: {layer.kind}, cpus {_cpus(layer.cpus)}"
            )
            yield Verdict(Invariant.PROTECTED_FALLBACK, counts.layer, message)
        elif counts.nr_guest_runs >= max(LEAST_GUEST_RUNS, GUEST_SHARE * counts.nr_runs):
            message = f"{counts.nr_guest_runs} of {counts.nr_runs} runs were on cpus that the layer may not use"
            yield Verdict(Invariant.PROTECTED_FALLBACK, counts.layer, message)


def _reserve(sample: Sample) -> Iterator[Verdict]:
    """What protected tiers used of the cpus that are everybody's."""
    if sample.plan is None:
        return
    cpus = open_cpus(sample.plan, _ids(sample))
    layers = {pod.pod: pod.layer for pod in sample.pods}
    used = sum(thread.share for thread in sample.threads if layers.get(thread.pod) in _PROTECTED and thread.cpu in cpus)
    if not cpus:
        yield Verdict(Invariant.OPEN_RESERVE, "node", "every cpu is kept for a layer; nothing is left to anybody else")
    elif used > RESERVE_SHARE * len(cpus):
        message = f"Critical and High used {used:.1f} of the {counted(len(cpus), 'open cpu')} ({_cpus(cpus)})"
        yield Verdict(Invariant.OPEN_RESERVE, "node", message)


def _realtime(sample: Sample) -> Iterator[Verdict]:
    for thread in _busiest(sample):
        if thread.policy in REALTIME and thread.share >= HOT:
            policy = f"{REALTIME[thread.policy]} priority {thread.rt_priority}"
            message = f"{thread.shown} used {thread.share:.2f} of cpu {thread.cpu} with {policy}"
            yield Verdict(Invariant.RT_HOG, thread.pod, message)


def _driver(sample: Sample) -> Iterator[Verdict]:
    if sample.mismatched:
        pods = sorted(sample.mismatched)
        names = ", ".join(pods[:_NAMED]) + ("…" if len(pods) > _NAMED else "")
        message = f"{counted(len(pods), 'pod')} ({names}) with containers outside the kubelet's cgroup tree"
        yield Verdict(Invariant.CGROUP_DRIVER_MISMATCH, "node", message)


def _starved(sample: Sample) -> Iterator[Verdict]:
    for counts in sample.layers if sample.plan else ():
        if counts.layer in _WAITS_NS and (why := _waited(counts)):
            yield Verdict(Invariant.SYSTEM_STARVED, counts.layer, why)


def _waited(counts: LayerSample) -> str:
    mean_ns, longest_ns = _WAITS_NS[counts.layer]
    if counts.longest_wait_ns > longest_ns:
        return f"a thread waited at least {counts.longest_wait_ns / 1e6:.0f} ms for a cpu"
    if counts.mean_wait_ns > mean_ns:
        return f"threads waited {counts.mean_wait_ns / 1e6:.0f} ms for a cpu on average, {counts.nr_runs} times"
    return ""


def _unmapped(sample: Sample) -> Iterator[Verdict]:
    for pod in sample.pods:
        if pod.running and not pod.mapped:
            message = f"it runs, but no cgroup of it was found: its threads are in layer {DEFAULT}, not {pod.layer}"
            yield Verdict(Invariant.POD_UNMAPPED, pod.pod, message)


def _over_quota(sample: Sample) -> Iterator[Verdict]:
    """Only while our scheduler decides: under stock the kernel throttles. What was saved up in a smooth tier counts."""
    if sample.plan is None:
        return
    smooth_periods = {layer.name: layer.smooth_periods for layer in sample.plan.layers}
    for pod in sample.pods:
        used, quota = pod.used_millicpu, pod.quota_millicpu
        if used is None or not quota:
            continue
        saved_ns = smooth_periods.get(pod.layer, 0) * QUOTA_PERIOD_NS
        allowed = quota * (1 + saved_ns / sample.over_ns) if sample.over_ns else quota
        if used > max(QUOTA_FACTOR * allowed, allowed + LEAST_EXCESS_MILLICPU):
            message = f"it used {format_millicpu(used)} cpus, its cpu.max allows {format_millicpu(quota)}"
            yield Verdict(Invariant.QUOTA_EXCEEDED, pod.pod, message)


_RULES: tuple[Callable[[Sample], Iterator[Verdict]], ...] = (
    _shared_cores,
    _unprotected,
    _reserve,
    _misplaced,
    _held,
    _realtime,
    _driver,
    _starved,
    _unmapped,
    _over_quota,
)
_PROTECTED = frozenset(tier.value for tier in Tier if RULES[tier].protected)


def _decided_by_us(thread: ThreadSample) -> bool:
    return thread.policy not in REALTIME


def _busiest(sample: Sample) -> list[ThreadSample]:
    return sorted(sample.threads, key=lambda thread: (-thread.share, thread.tid))


def _ids(sample: Sample) -> list[int]:
    return [cpu.id for cpu in sample.machine.cpus]


def _cpus(cpus: Collection[int]) -> str:
    return format_cpu_list(cpus) or "none"
