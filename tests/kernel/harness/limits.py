"""cpu.max of the tests' cgroups, and how much their tasks run."""

from __future__ import annotations

import time
from pathlib import Path

from bench import switches
from bench.guest.tracing import tracing
from bench.windows import Consumption
from tests.kernel.harness import cgroups
from tests.kernel.harness.waiting import until

PERIOD_US = 100_000
# CONFIG_HZ is 250 in Debian's kernels.
TICK_S = 0.004


def limit(name, quota_us, period_us=PERIOD_US, burst_us=None):
    """A cgroup with a cpu.max; None means no limit, and a burst that stays what it was."""
    cgroup = cgroups.make_controlled(name)
    (cgroup / "cpu.max").write_text(f"{'max' if quota_us is None else quota_us} {period_us}")
    if burst_us is not None:
        (cgroup / "cpu.max.burst").write_text(str(burst_us))
    return cgroup


def cpus_used(cgroup, window_s):
    """How many cpus its tasks had, over a window."""
    return cgroups.cpus_each([cgroup], window_s)[0]


def says(cgroup, words):
    """Is this a line of the cgroup's cgroup.events?"""
    return words in (cgroup / "cgroup.events").read_text().splitlines()


def freeze(cgroup, within_s=10.0):
    """Freeze it, and wait until all of its tasks are."""
    (cgroup / "cgroup.freeze").write_text("1")
    until(f"{cgroup} is frozen", lambda: says(cgroup, "frozen 1"), within_s)


def thaw(cgroup):
    """Let its tasks go on."""
    (cgroup / "cgroup.freeze").write_text("0")


class Traced:
    """`with Traced(pids, file) as traced: ...`: what these tasks consumed in the block, to the microsecond."""

    def __init__(self, pids, file):
        self._pids, self._file, self._trace = frozenset(pids), Path(file), tracing()

    def __enter__(self):
        self._recorded = self._trace.__enter__()
        self._began_ns = time.monotonic_ns()
        return self

    def __exit__(self, *failure):
        ended_ns = time.monotonic_ns()
        self._trace.__exit__(*failure)
        assert not self._recorded.lost
        self._recorded.write(self._file)
        self.consumed = Consumption.of(switches.read(self._file), self._pids, self._began_ns, ended_ns)
