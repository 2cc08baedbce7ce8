"""What agent and engine say to each other: one request, one reply, in msgpack.

Before all of this the agent says once, without msgpack, that the engine may load (`pair.Start`). The engine also speaks
unasked twice: `Hello` (or `Refusal`) when it has, `Ended` when the kernel let the scheduler go. Everything else
answers the agent's last request, so neither side ever guesses.
"""

from __future__ import annotations

import msgspec

from temper.plan.layers import Plan

# Raised whenever a message changes meaning. Both sides come from one wheel; a mismatch is refused.
PROTOCOL = 1


class Attach(msgspec.Struct, tag=True, frozen=True):
    """Put `plan` in force and attach. Replied by Attached, or Failed.

    deadman_ms: without a beat for this long the scheduler leaves by itself.
    """

    plan: Plan
    deadman_ms: int


class Commit(msgspec.Struct, tag=True, frozen=True):
    """Replace the generation in force. Replied by Committed, or Rejected and the old one stands."""

    plan: Plan


class Beat(msgspec.Struct, tag=True, frozen=True):
    """The agent's loop made a pass. Replied by Beaten."""


class ReadStats(msgspec.Struct, tag=True, frozen=True):
    """Replied by Stats."""


class Detach(msgspec.Struct, tag=True, frozen=True):
    """Close the link and end. Replied by Ended, then the socket closes."""


class Hello(msgspec.Struct, tag=True, frozen=True):
    """The scheduler is loaded, a plan may come. timings_ns: each step since the process started -> nanoseconds."""

    protocol: int
    pid: int
    libbpf: str
    timings_ns: dict[str, int]


class Refusal(msgspec.Struct, tag=True, frozen=True):
    """This machine can't be attached; the engine ends."""

    message: str
    remedy: str


class Failed(msgspec.Struct, tag=True, frozen=True):
    """It went wrong this time; another engine may succeed. This one ends."""

    message: str


class Attached(msgspec.Struct, tag=True, frozen=True):
    """The kernel switched to our scheduler with the first generation in force.

    memory_locked: False when the engine's pages may be swapped out (no CAP_IPC_LOCK), so beats may be late.
    """

    generation: int
    timings_ns: dict[str, int]
    memory_locked: bool


class Committed(msgspec.Struct, tag=True, frozen=True):
    """A generation is in force since in_force_ns (CLOCK_MONOTONIC).

    kernel_ns: the commit program's own time; nr_kicked: cpus told to look again.
    """

    generation: int
    kernel_ns: int
    nr_kicked: int
    in_force_ns: int


class Rejected(msgspec.Struct, tag=True, frozen=True):
    """The scheduler kept the old generation."""

    message: str


class Beaten(msgspec.Struct, tag=True, frozen=True):
    """The beat was written where the scheduler looks for it."""


class LayerStats(msgspec.Struct, frozen=True):
    """Counters of one layer since the attach, summed over cpus; the fields of struct temper_layer_stats.

    wait_hist: waits by powers of two of a microsecond (`temper.plan.waits`). What a reader doesn't find is 0: command
    lines read these from agents of other versions, in /observe.
    """

    run_ns: int = 0
    wait_ns: int = 0
    guest_ns: int = 0
    nr_runs: int = 0
    nr_wakes: int = 0
    nr_direct: int = 0
    nr_spills: int = 0
    nr_preempts: int = 0
    nr_preempted: int = 0
    nr_guest_runs: int = 0
    nr_rescued: int = 0
    wait_hist: tuple[int, ...] = ()
    max_wait_ns: int = 0


class QuotaStats(msgspec.Struct, frozen=True):
    """A cgroup with a finite cpu.max, and its counters since it became so; fields of struct temper_quota.

    throttled_ns: without the time since it was last throttled, while it is.
    """

    cgroup_id: int
    period_ns: int
    quota_ns: int
    nr_periods: int
    nr_throttled: int
    throttled_ns: int
    smooth_periods: int


class NoRoom(msgspec.Struct, frozen=True):
    """Times that a cgroup came and the scheduler's table was full, since the attach; fields of struct temper_no_room.

    quotas: of a finite cpu.max, which is not enforced for it. shares: of a cpu.weight, which is not kept for it.
    """

    quotas: int = 0
    shares: int = 0


class Stats(msgspec.Struct, tag=True, frozen=True):
    """Counters by layer name, those of each cgroup with a finite cpu.max, and of cgroups that found no room."""

    generation: int
    layers: dict[str, LayerStats]
    quotas: tuple[QuotaStats, ...] = ()
    no_room: NoRoom = NoRoom()


class Ended(msgspec.Struct, tag=True, frozen=True):
    """The scheduler is out. kind: the kernel's enum scx_exit_kind; code: ours in its low 32 bits."""

    kind: int
    code: int
    reason: str
    message: str


Request = Attach | Commit | Beat | ReadStats | Detach
Reply = Hello | Refusal | Failed | Attached | Committed | Rejected | Beaten | Stats | Ended
