"""What the kernel did over a short while, frozen: threads where they ran, pods with what they used, layers' counters.

Made by `temper.node.placement` and the engine's counters; judged by `temper.plan.lint`.
"""

from __future__ import annotations

import msgspec

from temper.plan.layers import Plan
from temper.plan.machine import Machine

# Scheduling policies of the kernel's uapi/linux/sched.h that no sched_ext scheduler decides on.
REALTIME = {1: "SCHED_FIFO", 2: "SCHED_RR", 6: "SCHED_DEADLINE"}


class ThreadSample(msgspec.Struct, frozen=True, kw_only=True):
    """One thread of a pod.

    cpu: where it ran last; cpu_before: the same when it was looked at before.
    ran_ns, over_ns: cpu time, and the time over which it was counted; both 0 when it is seen for the first time.
    allowed: the cpus that its affinity and cpuset leave it; None when that was not looked at.
    """

    pod: str
    tid: int
    name: str
    cpu: int
    cpu_before: int
    ran_ns: int
    over_ns: int
    policy: int = 0
    rt_priority: int = 0
    allowed: frozenset[int] | None = None

    @property
    def share(self) -> float:
        """Of one cpu; 0 when it is seen for the first time."""
        return self.ran_ns / self.over_ns if self.over_ns else 0.0

    @property
    def shown(self) -> str:
        """As a message names it."""
        return f"thread {self.tid} ({self.name})"


class PodSample(msgspec.Struct, frozen=True, kw_only=True):
    """One pod. used_millicpu: None when not known yet; quota_millicpu: its cpu.max, None without one.

    held: cpus that somebody else pinned it to, and it alone. mapped: it has a cgroup. running: it should have one.
    """

    pod: str
    layer: str
    used_millicpu: int | None = None
    quota_millicpu: int | None = None
    held: frozenset[int] = frozenset()
    mapped: bool = True
    running: bool = True


class LayerSample(msgspec.Struct, frozen=True, kw_only=True):
    """What one layer's counters grew by. wait_hist: the waits by their length (`temper.plan.waits`).

    longest_wait_ns: exact when it is the longest since the attach, else the lower bound of its bucket.
    """

    layer: str
    ran_ns: int
    wait_ns: int
    nr_runs: int
    nr_guest_runs: int
    nr_rescued: int
    longest_wait_ns: int
    wait_hist: tuple[int, ...] = ()

    @property
    def mean_wait_ns(self) -> float:
        """Of each run."""
        return self.wait_ns / max(1, self.nr_runs)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the machine.

    plan: in force throughout the time that was looked at; None when none was: then no layer is judged.
    over_ns: looks are at least so far apart; 0 when not known.
    mismatched: pods whose containers the runtime put outside the kubelet's tree.
    """

    machine: Machine
    plan: Plan | None = None
    threads: tuple[ThreadSample, ...] = ()
    pods: tuple[PodSample, ...] = ()
    layers: tuple[LayerSample, ...] = ()
    over_ns: int = 0
    mismatched: tuple[str, ...] = ()
