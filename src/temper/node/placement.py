"""Where the pods' threads run, and how much: a sampler that costs next to nothing.

One look reads each pod's cpu.stat; of the pods that used something since the look before, busiest first, the cgroups
are listed and so many threads read (/proc/TID/task/TID/stat) as the bounds allow. In a pod with more threads than
that, half of the places go round and the others go to those that ran most. So the cost has a bound whatever the node
runs, and what is left out is what ran least.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from temper.node.cgroup_cpu import read_quota_millicpu
from temper.node.small_files import read_bytes
from temper.plan.samples import ThreadSample
from temper.plan.units import parse_cpu_list
from temper.settings.quoting import printable

MAX_THREADS = 256  # read in one look
MAX_POD_THREADS = 32  # of one pod
MAX_POD_CGROUPS = 64  # listed below one pod
# A pod that used less of a cpu than this has no thread that a rule of the linter is about.
LEAST_SHARE = 0.005
KEEP_LOOKS = 8  # a thread that was not read in so many looks is forgotten
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Watched(NamedTuple):
    """A pod to look at. cgroups: relative to the root; epoch: what was seen in another one is not compared with."""

    cgroups: Sequence[str]
    epoch: Hashable = None


class Placement(NamedTuple):
    """One look. used_millicpu: pod -> since the look before, where there was one; quota_millicpu: cpu.max of busy pods.

    nr_unread: threads that were listed but not read. cost_ns: cpu time that the look took.
    """

    threads: tuple[ThreadSample, ...] = ()
    used_millicpu: Mapping[str, int] = {}
    quota_millicpu: Mapping[str, int] = {}
    nr_unread: int = 0
    cost_ns: int = 0


class _Stat(NamedTuple):
    name: str
    ticks: int
    started: int
    cpu: int
    rt_priority: int
    policy: int


class _Seen(NamedTuple):
    stat: _Stat
    at_ns: int
    look: int
    epoch: Hashable
    ran_ns: int


class Sampler:
    """Looks at the pods of one machine below two roots. Each look remembers what the next one compares with."""

    def __init__(
        self,
        cgroup_root: str = "/sys/fs/cgroup",
        proc_root: str = "/proc",
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._cgroup_root = cgroup_root
        self._proc_root = proc_root
        self._clock_ns = clock_ns
        self._look = 0
        self._use: dict[str, tuple[int, int]] = {}  # pod -> microseconds of cpu, and when that was read
        self._seen: dict[int, _Seen] = {}

    def look(self, pods: Mapping[str, Watched]) -> Placement:
        """At pods by name. Never raises: what is gone or unreadable is left out."""
        started_ns = time.thread_time_ns()
        self._look += 1
        used = self._read_use(pods)
        busy = sorted((pod for pod in used if used[pod] >= 1000 * LEAST_SHARE), key=lambda pod: (-used[pod], pod))
        quotas = {pod: quota for pod in busy if (quota := self._quota(pods[pod])) is not None}
        threads: list[ThreadSample] = []
        nr_unread = 0
        # Those that are seen for the first time come last: what they use isn't known yet.
        for pod in (*busy, *sorted(self._use.keys() - used.keys())):
            tids = self._tids(pods[pod].cgroups)
            chosen = self._choose(tids)[: MAX_THREADS - len(threads)]
            threads += filter(None, (self._read_thread(pod, tid, pods[pod].epoch) for tid in chosen))
            nr_unread += len(tids) - len(chosen)
            if len(threads) >= MAX_THREADS:
                break
        self._forget()
        return Placement(tuple(threads), used, quotas, nr_unread, time.thread_time_ns() - started_ns)

    def allowed(self, tid: int) -> frozenset[int] | None:
        """The cpus that affinity and cpuset leave a thread; None when it is gone."""
        for line in read_bytes(self._task(tid, "status")).splitlines():
            if line.startswith(b"Cpus_allowed_list:"):
                try:
                    return frozenset(parse_cpu_list(line.partition(b":")[2].decode(errors="replace")))
                except ValueError:
                    return None
        return None

    # ---- pods ----

    def _read_use(self, pods: Mapping[str, Watched]) -> dict[str, int]:
        """What every pod used since the look before, in millicpu."""
        used, now = {}, {}
        for pod, watched in pods.items():
            if not watched.cgroups:
                continue
            usage_usec = sum(_usage_usec(f"{self._cgroup_root}/{path}/cpu.stat") for path in watched.cgroups)
            now[pod] = (usage_usec, self._clock_ns())
            before = self._use.get(pod)
            if before is not None and now[pod][1] > before[1]:
                used[pod] = 1_000_000 * max(0, usage_usec - before[0]) // (now[pod][1] - before[1])
        self._use = now
        return used

    def _quota(self, watched: Watched) -> int | None:
        """Of all its cgroups together; None as soon as one has none."""
        quotas = [read_quota_millicpu(f"{self._cgroup_root}/{path}") for path in watched.cgroups]
        return None if None in quotas else sum(quota or 0 for quota in quotas)

    # ---- threads ----

    def _tids(self, cgroups: Iterable[str]) -> list[int]:
        """All threads of these cgroups and of those below."""
        tids: list[int] = []
        stack = [f"{self._cgroup_root}/{path}" for path in cgroups]
        for _ in range(MAX_POD_CGROUPS):
            if not stack:
                break
            cgroup = stack.pop()
            # 0 is a thread that this pid namespace doesn't show.
            tids += [int(word) for word in read_bytes(f"{cgroup}/cgroup.threads").split() if word != b"0"]
            stack += _children(cgroup)
        return tids

    def _choose(self, tids: list[int]) -> list[int]:
        """All, or half of the bound in turn and the other half those that ran most."""
        if len(tids) <= MAX_POD_THREADS:
            return tids
        half = MAX_POD_THREADS // 2
        ordered = sorted(set(tids))
        # The same ones twice running: what a thread ran is known from its second reading on.
        start = self._look // 2 * half % len(ordered)
        turn = (ordered + ordered)[start : start + half]
        known = (tid for tid in ordered if tid in self._seen and tid not in turn)
        return turn + sorted(known, key=lambda tid: -self._seen[tid].ran_ns)[: MAX_POD_THREADS - half]

    def _read_thread(self, pod: str, tid: int, epoch: Hashable) -> ThreadSample | None:
        stat = _parse_stat(read_bytes(self._task(tid, "stat")))
        if stat is None:
            return None
        now_ns = self._clock_ns()
        before = self._seen.get(tid)
        if before is None or before.stat.started != stat.started or before.epoch != epoch:
            self._seen[tid] = _Seen(stat, now_ns, self._look, epoch, 0)
            ran_ns = over_ns = 0
            cpu_before = stat.cpu
        else:
            ran_ns = max(0, stat.ticks - before.stat.ticks) * _NS_PER_TICK
            over_ns = now_ns - before.at_ns
            cpu_before = before.stat.cpu
            self._seen[tid] = _Seen(stat, now_ns, self._look, epoch, ran_ns)
        return ThreadSample(
            pod=pod,
            tid=tid,
            name=stat.name,
            cpu=stat.cpu,
            cpu_before=cpu_before,
            ran_ns=ran_ns,
            over_ns=over_ns,
            policy=stat.policy,
            rt_priority=stat.rt_priority,
        )

    def _forget(self) -> None:
        if self._look % KEEP_LOOKS == 0:
            oldest = self._look - KEEP_LOOKS
            self._seen = {tid: seen for tid, seen in self._seen.items() if seen.look > oldest}

    def _task(self, tid: int, name: str) -> str:
        """A thread's own file: /proc/TID alone would be the whole process's."""
        return f"{self._proc_root}/{tid}/task/{tid}/{name}"


def _children(cgroup: str) -> list[str]:
    """Directories below. The kernel counts them in a cgroup's links, which most have none of, and a listing is dear."""
    try:
        if os.lstat(cgroup).st_nlink == 2:
            return []
        with os.scandir(cgroup) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _usage_usec(path: str) -> int:
    """The first line of cpu.stat."""
    name, _, rest = read_bytes(path).partition(b" ")
    number = rest.partition(b"\n")[0]
    return int(number) if name == b"usage_usec" and number.isdigit() else 0


def _parse_stat(data: bytes) -> _Stat | None:
    """proc_pid_stat(5), fields counted from behind the name, which may hold anything. None when it is no such text."""
    head, _, tail = data.rpartition(b")")
    fields = tail.split(None, 40)
    name = head.partition(b"(")[2].decode(errors="replace")
    try:
        return _Stat(
            name=name if name.isprintable() else printable(name),
            ticks=int(fields[11]) + int(fields[12]),  # 14 utime, 15 stime
            started=int(fields[19]),  # 22 starttime
            cpu=int(fields[36]),  # 39 processor
            rt_priority=int(fields[37]),
            policy=int(fields[38]),
        )
    except (IndexError, ValueError):
        return None
