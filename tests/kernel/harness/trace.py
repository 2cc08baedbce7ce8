"""Who ran where, from the kernel's trace: sched_stat_runtime accounts every nanosecond at ticks and switches."""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.kernel.harness.load import is_kernel_thread, is_realtime

ROOT = Path("/sys/kernel/tracing")
EVENT = ROOT / "events/sched/sched_stat_runtime/enable"
RAN = re.compile(r"\[(\d+)\] .* sched_stat_runtime: comm=(.*) pid=(\d+) runtime=(\d+)")
OVERRUN = re.compile(r"^overrun: (\d+)$", re.MULTILINE)


class Task(NamedTuple):
    """A task in a trace."""

    pid: int
    name: str


class Trace:
    """Filled when the block ends. ran_ns: cpu -> task -> nanoseconds."""

    def __init__(self):
        self.ran_ns = defaultdict(lambda: defaultdict(int))

    def cpus_of(self, pid):
        """Where a process ran."""
        return {cpu for cpu, tasks in self.ran_ns.items() if any(task.pid == pid for task in tasks)}

    def users_on(self, cpus):
        """Tasks that are under sched_ext and no kernel threads, and how long each ran on these cpus."""
        ran = defaultdict(int)
        for cpu in cpus:
            for task, nanoseconds in self.ran_ns[cpu].items():
                if not is_kernel_thread(task.pid) and not is_realtime(task.pid):
                    ran[task] += nanoseconds
        return dict(ran)


@contextmanager
def tracing():
    """Trace the block: `with tracing() as trace: ...`."""
    trace = Trace()
    (ROOT / "tracing_on").write_text("0")
    (ROOT / "trace").write_text("")
    EVENT.write_text("1")
    (ROOT / "tracing_on").write_text("1")
    try:
        yield trace
    finally:
        (ROOT / "tracing_on").write_text("0")
        EVENT.write_text("0")
    for stats in ROOT.glob("per_cpu/cpu*/stats"):
        assert OVERRUN.findall(stats.read_text()) == ["0"], f"{stats}: events were lost"
    for line in (ROOT / "trace").read_text().splitlines():
        if match := RAN.search(line):
            cpu, name, pid, nanoseconds = match.groups()
            trace.ran_ns[int(cpu)][Task(int(pid), name)] += int(nanoseconds)
