"""Load: processes that never sleep, in a cgroup from their first instruction after the shell's start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from bench.guest import tasks
from tests.kernel.harness.cgroups import procs
from tests.kernel.harness.waiting import until, until_stopped

# dash costs a guest some milliseconds to start, Python half a second.
SPIN = 'echo 0 >"$0/cgroup.procs" && while :; do :; done'
# The cgroup is sys.argv[1] until it is joined.
JOIN = """
import os, sys, time
with open(sys.argv.pop(1) + "/cgroup.procs", "w") as joined:
    joined.write("0")
"""
NAPS = """
os.sched_setaffinity(0, map(int, sys.argv[2:]))
while True:
    time.sleep(float(sys.argv[1]))
"""

started = []


def start(script, cgroup, *before):
    """Start a shell with a script whose $0 is a cgroup's folder; it is ended with the test."""
    started.append(subprocess.Popen([*before, "sh", "-c", script, str(cgroup)]))
    return started[-1]


def end_all():
    """End what was started here."""
    while started:
        process = started.pop()
        process.kill()
        process.wait()


class Spinner:
    """One process that spins in `cgroup`. cpu: pinned there, or None. before: a program that starts it."""

    def __init__(self, cgroup, cpu=None, before=()):
        pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
        self._process = start(SPIN, cgroup, *pinned, *before)
        self.pid = self._process.pid
        self._cgroup = Path(cgroup)

    def until_in(self):
        """Wait until it has joined its cgroup."""
        mine = f"0::/{self._cgroup.relative_to('/sys/fs/cgroup')}\n"
        until(f"spinner {self.pid} is in {self._cgroup}", lambda: Path(f"/proc/{self.pid}/cgroup").read_text() == mine)
        return self

    def ran_s(self):
        """Seconds of cpu it has had."""
        return ran_s(self.pid)

    def cpu(self):
        """Where it runs, or ran last: field 39 of stat."""
        return int(tasks.stat(Path(f"/proc/{self.pid}"))[36])

    def kill(self):
        """End it."""
        self._process.kill()
        self._process.wait()


def ran_s(pid):
    """Seconds of cpu that a process's first thread has had."""
    return tasks.ran_ns([pid])[pid] / 1e9


def spinners(cgroup, count, cpu=None):
    """Several of them, all in their cgroup."""
    return [one.until_in() for one in [Spinner(cgroup, cpu) for _ in range(count)]]


def hog(cgroup, cpu):
    """A spinner above sched_ext: real-time, and it never sleeps."""
    return Spinner(cgroup, cpu, ["chrt", "-f", "50"]).until_in()


def crowd(cgroup, count, work=":", before=()):
    """Very many at little cost: stopped forks of one shell that repeat `work` once they are told to go(). Their pids.

    Stopped, for nothing that they would all wait for lets hundreds go at once: a fifo's lock takes seconds to go round.
    before: a program that starts the shell.
    """
    spin = f"(read -r me _ </proc/self/stat; kill -STOP $me; while :; do {work}; done) &"
    shell = start(f'echo 0 >"$0/cgroup.procs"; for _ in $(seq {count}); do {spin} done; wait', cgroup, *before)
    until(f"{count} spinners are in {cgroup}", lambda: len(procs(cgroup)) == count + 1)
    pids = [pid for pid in procs(cgroup) if pid != shell.pid]
    for pid in pids:
        until_stopped(pid)
    return pids


def go(pids):
    """Let a crowd run."""
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def until_each_ran(spinners, least_s=0.1):
    """Wait until each has run for so long from now on: what it was before, a commit's moment ago, is over by then."""
    had_s = {one: one.ran_s() for one in spinners}
    until(f"each of {len(had_s)} ran", lambda: all(one.ran_s() - had > least_s for one, had in had_s.items()))


def nr_gone_on(before_ns, least_s):
    """How many have run for more than that since `before_ns` (as of bench.guest.tasks.ran_ns)."""
    now_ns = tasks.ran_ns(list(before_ns))
    return sum(now_ns[pid] - had_ns > least_s * 1e9 for pid, had_ns in before_ns.items())


def start_python(program, cgroup, *words):
    """Start a Python program in a cgroup, with words from sys.argv[1] on; it is ended with the test."""
    started.append(subprocess.Popen([sys.executable, "-S", "-c", JOIN + program, str(cgroup), *map(str, words)]))
    return started[-1]


def nappers(cgroup, count, nap_s, cpus):
    """Processes that may use these cpus only and sleep for so long again and again. All of them do."""
    started_now = [start_python(NAPS, cgroup, nap_s, *cpus) for _ in range(count)]
    for one in started_now:
        until(f"{one.pid} naps", lambda pid=one.pid: os.sched_getaffinity(pid) == set(cpus))
    return started_now


def is_kernel_thread(pid):
    """Is it a thread of the kernel's? They have no program."""
    with contextlib.suppress(OSError):
        (Path("/proc") / str(pid) / "exe").readlink()
        return False
    return Path(f"/proc/{pid}").exists()


def is_realtime(pid):
    """Is it above sched_ext? The test bed's process 1 is."""
    with contextlib.suppress(OSError):
        return os.sched_getscheduler(pid) in (os.SCHED_FIFO, os.SCHED_RR)
    return False
