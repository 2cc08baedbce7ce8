"""The document of /observe: what a node's agent knows, in one piece. `temper top` and `temper explain` read it.

It imports nothing of the agent's own parts, because a command line decodes it. Fields are added freely; one that is
removed or changes its meaning raises VERSION. Units are in the names; times are unix seconds.
"""

from __future__ import annotations

from typing import Any

import msgspec

from temper.node.cgroup_cpu import CpuUse, Pressure
from temper.plan.layers import Size
from temper.wire.messages import LayerStats, NoRoom

VERSION = 1


class Kernel(msgspec.Struct, frozen=True):
    """sched_ext as the kernel says it."""

    state: str
    ops: str
    enable_seq: int


class MachineShape(msgspec.Struct, frozen=True):
    """Counts of online things. reserve: the cpus that no layer keeps others off, as a list (`0-1`)."""

    cpus: int
    cores: int
    llcs: int
    nodes: int
    reserve: str


class LayerView(msgspec.Struct, frozen=True, kw_only=True):
    """One layer in force. cpus: owned or preferred; may_use: all that it may run on (`0-3,8`).

    size: how it came by their number, for a tier that may own cpus.
    smooth_periods: periods' worth of cpu.max that each of its cgroups may save up, 0 when cpu.max is strict.
    ceiling_millicpu: of all its cpu time; 0 for none.

    total: counters since the attach, None before the first reading. The rates are those of the last few seconds:
    used_cpus (cpus kept busy), mean_wait_us of a run, runs_per_s.

    p50, p99: so many percent of the waits were no longer, as upper bounds of buckets that double (`temper.plan.waits`);
    of the last few seconds, and (total_) since the attach. None without a wait.
    """

    name: str
    rank: int
    kind: str
    protected: bool
    preempts: bool
    exclusive: bool
    slice_us: int
    cpus: list[int]
    may_use: str
    nr_pods: int
    size: Size | None = None
    smooth_periods: int = 0
    ceiling_millicpu: int = 0
    total: LayerStats | None = None
    used_cpus: float | None = None
    mean_wait_us: float | None = None
    runs_per_s: float | None = None
    p50_wait_us: float | None = None
    p99_wait_us: float | None = None
    total_p50_wait_us: float | None = None
    total_p99_wait_us: float | None = None


class PodReport(msgspec.Struct, frozen=True, kw_only=True):
    """One pod: what was decided and why, and what the kernel says of it.

    cpus, may_use: its layer's. used_millicpu: of the last few seconds; None before the second look.
    """

    pod: str
    uid: str
    tier: str
    reason: str
    layer: str
    cpus: list[int]
    may_use: str
    request_millicpu: int | None
    limit_millicpu: int | None
    held_cpus: list[int]
    cgroups: list[str]
    used_millicpu: int | None = None
    cpu: CpuUse = CpuUse()
    pressure: dict[str, Pressure] = {}


class QuotaReport(msgspec.Struct, frozen=True, kw_only=True):
    """A cgroup with a finite cpu.max, which our scheduler enforces. Counters began when it became so, or the attach.

    cgroup: its path, or `id` and its id. pod: `namespace/name`, empty when it is no pod's. container: empty when it is
    the pod's own.
    smooth_periods: periods' worth that it may save up; 0 when cpu.max is strict.
    cpu: the kernel's own counters of the same, which stand still while attached.
    """

    cgroup: str
    pod: str
    container: str
    quota_millicpu: int
    period_usec: int
    smooth_periods: int
    nr_periods: int
    nr_throttled: int
    throttled_usec: int
    cpu: CpuUse = CpuUse()


class ThreadView(msgspec.Struct, frozen=True):
    """A busy thread, as the linter saw it last. share: of one cpu; policy: the kernel's number (1, 2, 6: realtime)."""

    pod: str
    tid: int
    name: str
    cpu: int
    share: float
    policy: int
    rt_priority: int


class VerdictView(msgspec.Struct, frozen=True):
    """Something that is not as promised, since when, and what a person can do."""

    invariant: str
    subject: str
    message: str
    fix: str
    since_s: float


class ProcessCost(msgspec.Struct, frozen=True):
    """Of one of our processes, since it started."""

    cpu_s: float
    resident_bytes: int


class LintReport(msgspec.Struct, frozen=True):
    """looked_s: when last, 0 before that; cost_s: cpu time of all looks; nr_unread: threads that the last left out."""

    enabled: bool
    interval_s: int
    looked_s: float
    cost_s: float
    nr_unread: int
    verdicts: list[VerdictView]


class ApiReport(msgspec.Struct, frozen=True):
    """Dealings with the API server. trouble: `node`, `pods` or `annotations` -> why it doesn't work just now."""

    requests: int
    patches: int
    failures: int
    trouble: dict[str, str]


class Counts(msgspec.Struct, frozen=True):
    """Since the agent started. resizes: sizes that measured demand changed."""

    commits: int
    losses: int
    ejections: int
    stand_downs: int
    resizes: int = 0


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. reason: why it is not enforcing; notes: what a person should know of the plan."""

    version: int
    temper: str
    bpf_sha256: str
    time_s: float
    node: str
    mode: str
    state: str
    reason: str
    generation: int
    notes: list[str]
    agent_pid: int
    engine_pid: int
    memory_locked: bool
    kernel: Kernel
    counts: Counts
    start_ns: dict[str, int]
    last_commit_ns: dict[str, int]
    last_stand_down_ns: dict[str, int]
    machine: MachineShape | None
    pressure: dict[str, Pressure]
    layers: list[LayerView]
    pods: list[PodReport]
    threads: list[ThreadView]
    lint: LintReport
    overhead: dict[str, ProcessCost]
    api: ApiReport
    quotas: list[QuotaReport] = []
    no_room: NoRoom = NoRoom()


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Document).decode


def decode(body: bytes) -> Document:
    """The document in a response. ValueError when it is none, or one of another version."""
    document = _decode(body)
    if document.version != VERSION:
        raise ValueError(f"version {document.version} of the document; this is a reader of version {VERSION}")
    return document


def plain(value: Any) -> Any:
    """Any part of a document as dicts, lists, texts and numbers."""
    return msgspec.to_builtins(value)
