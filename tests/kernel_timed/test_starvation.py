"""docs/failure-modes/starvation.md: whoever is outranked, outnumbered or niced still runs, and no watchdog trips."""

from __future__ import annotations

import os
import time

from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.temper import status
from tests.kernel.harness.trace import tracing

# Longer than the kernel's watchdog (timeout_ms) and half of that, at which it looks.
WINDOW_S = 20.0
LONGEST_WAIT_S = 3.5
# A niced task may wait longer, but not until the watchdog looks.
LONGEST_NICED_S = 5.0
CPUS = 4


def test_starvation(run_agent, measured):
    for name in ("test-b", "test-n", "test-unnamed"):
        cgroups.make(name)
    agent = run_agent(workloads.text(("normal", "test-n", 2), ("background", "test-b")))
    agent.until_attached()
    background = load.spinners(cgroups.ROOT / "test-b", 64)
    os.setpriority(os.PRIO_PROCESS, background[0].pid, 19)
    os.sched_setaffinity(background[1].pid, {0})
    # Normal and default stand above, with a spinner for every cpu each.
    for name in ("test-n", "test-unnamed"):
        load.spinners(cgroups.ROOT / name, CPUS)

    with kernel.Watch() as watch, tracing("sched_switch") as trace:
        time.sleep(WINDOW_S)
    waits = [trace.away_s.get(one.pid, WINDOW_S) for one in background]
    measured("longest wait of 64 Background spinners below busy tiers", max(waits[1:]))
    measured("... of the one at nice 19", waits[0])
    measured("... of the one that may use one cpu only", waits[1])
    assert watch.states == ["enabled"]
    assert max(waits[1:]) <= LONGEST_WAIT_S, waits
    assert waits[0] <= LONGEST_NICED_S
    counters = agent.until_says("counters", lambda said: said["stats"])["stats"]["background"]
    assert counters["nr_runs"] > len(background)
    assert "nr_rescued" in status()["stats"]["background"]
