"""docs/failure-modes/starvation.md: the lowest tier below busy higher ones still runs; the watchdog has no cause."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.temper import status

WINDOW_S = 20.0
LONGEST_WAIT_S = 2.0
CPUS = range(4)


def longest_gaps(spinners, window_s):
    """Watch each spinner's cpu time: the longest time during which it had none, in seconds."""
    started = time.monotonic()
    last = {one: (started, one.ran_s()) for one in spinners}
    gaps = dict.fromkeys(spinners, 0.0)
    while (now := time.monotonic()) < started + window_s:
        for one, (since, before) in last.items():
            ran = one.ran_s()
            gaps[one] = max(gaps[one], now - since)
            if ran > before:
                last[one] = (now, ran)
        time.sleep(0.05)
    return gaps


def test_starvation(run_agent, measured):
    for name in ("test-b", "test-n", "test-nobody-names-me"):
        cgroups.make(name)
    agent = run_agent(workloads.text(("normal", "test-n", 2), ("background", "test-b")))
    agent.until_attached()
    background = load.spinners(cgroups.ROOT / "test-b", 64)
    # Normal and default stand above, with a spinner for every cpu each.
    for name in ("test-n", "test-nobody-names-me"):
        load.spinners(cgroups.ROOT / name, len(CPUS))

    with kernel.Watch() as watch:
        gaps = longest_gaps(background, WINDOW_S)
    measured(f"longest wait of {len(background)} Background spinners in {WINDOW_S:g} s", max(gaps.values()))
    assert watch.states == ["enabled"]
    assert max(gaps.values()) <= LONGEST_WAIT_S
    counters = status()["stats"]["background"]
    assert counters["nr_runs"] > len(background)
    assert counters["nr_rescued"] >= 0
    assert counters["max_wait_ns"] <= LONGEST_WAIT_S * 1e9
