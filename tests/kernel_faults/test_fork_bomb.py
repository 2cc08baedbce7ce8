"""docs/failure-modes/fork-bomb.md: hundreds of processes fork and exit beside a Critical pod."""

from __future__ import annotations

import time
from pathlib import Path

from tests.kernel.harness import cgroups, load
from tests.kernel.harness.plans import plan
from tests.kernel.harness.waiting import until

from temper.plan.waits import percentile_us, waits_since

PIDS = 500
WINDOW_S = 2.0
LONGEST_P99_US = 1024
PULSE = """
while True:
    time.sleep(0.001)
"""


def forks():
    """Processes made since the boot."""
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("processes "))


def test_fork_bomb(attached_scheduler, measured):
    bomb, kept = cgroups.make("test-bomb"), cgroups.make("test-kept")
    (bomb / "pids.max").write_text(str(PIDS))
    attached_scheduler.commit(plan(("critical", "test-kept", 1), ("background", "test-bomb")))
    for _ in range(2):
        load.start_python(PULSE, kept)
    crowd = load.crowd(bomb, PIDS // 2 - 1, work="(:)")

    forks_before, before = forks(), attached_scheduler.stats()["critical"]
    load.go(crowd)
    time.sleep(WINDOW_S)
    now = attached_scheduler.stats()["critical"]
    made = forks() - forks_before
    p99_us = percentile_us(waits_since(before.wait_hist, now.wait_hist), 0.99, longest_ns=now.max_wait_ns)
    measured(f"processes forked in {WINDOW_S:g} s", made)
    measured(f"waits of Critical beside them: p99 of {now.nr_runs - before.nr_runs}", p99_us / 1e6)
    assert made > 100
    assert now.nr_runs - before.nr_runs > 100
    assert p99_us <= LONGEST_P99_US

    killed = time.monotonic()
    (bomb / "cgroup.kill").write_text("1")
    load.end_all()  # the shell is this process's to reap
    until("all are reaped", lambda: (bomb / "pids.current").read_text() == "0\n")
    measured(f"cgroup.kill of {PIDS} processes -> all reaped", time.monotonic() - killed)
