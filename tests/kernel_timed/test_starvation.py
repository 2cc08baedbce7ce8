"""docs/failure-modes/starvation.md: the lowest tier below busy higher ones still runs; the watchdog has no cause."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.temper import status
from tests.kernel.harness.trace import tracing

WINDOW_S = 20.0
LONGEST_WAIT_S = 2.0
CPUS = range(4)


def test_starvation(run_agent, measured):
    for name in ("test-b", "test-n", "test-nobody-names-me"):
        cgroups.make(name)
    agent = run_agent(workloads.text(("normal", "test-n", 2), ("background", "test-b")))
    agent.until_attached()
    background = load.spinners(cgroups.ROOT / "test-b", 64)
    # Normal and default stand above, with a spinner for every cpu each.
    for name in ("test-n", "test-nobody-names-me"):
        load.spinners(cgroups.ROOT / name, len(CPUS))

    with kernel.Watch() as watch, tracing("sched_switch") as trace:
        time.sleep(WINDOW_S)
    waits = {one.pid: trace.away_s.get(one.pid, WINDOW_S) for one in background}
    measured(f"longest wait of {len(background)} Background spinners in {WINDOW_S:g} s", max(waits.values()))
    assert watch.states == ["enabled"]
    assert max(waits.values()) <= LONGEST_WAIT_S, sorted(waits.values())
    counters = status()["stats"]["background"]
    assert counters["nr_runs"] > len(background)
    assert counters["nr_rescued"] >= 0
    assert counters["max_wait_ns"] <= LONGEST_WAIT_S * 1e9
