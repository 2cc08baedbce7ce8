"""docs/failure-modes/saturation.md: hundreds of spinners in every tier, and some pinned to fenced cpus."""

from __future__ import annotations

import itertools
import os
import time

from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.trace import tracing

# Longer than the kernel's watchdog (timeout_ms) and half of that, at which it looks.
WINDOW_S = float(os.environ.get("TEMPER_SATURATION_S", "8"))
COUNT = int(os.environ.get("TEMPER_SATURATION_TASKS", "200"))
TIERS = ("critical", "high", "normal", "low", "background")
FENCED = (2, 3)
LONGEST_S = 4.0


def test_saturation(run_agent, realtime, measured):
    paths = {tier: cgroups.make(f"test-{tier}") for tier in TIERS}
    agent = run_agent(workloads.text(*((tier, f"test-{tier}", *[1] * (tier in TIERS[:2])) for tier in TIERS)))
    agent.until_attached()
    crowds = {tier: load.crowd(path, COUNT) for tier, path in paths.items()}
    guests = [one.pid for cpu in FENCED for one in load.spinners(paths["background"], 2, cpu=cpu)]

    with tracing("sched_switch") as trace:
        for pids in crowds.values():
            load.go(pids)
        time.sleep(WINDOW_S)
    for name, pids in (*crowds.items(), ("pinned to a fenced cpu", guests)):
        waits = sorted(trace.waits_s(pids))
        measured(f"longest wait of {len(pids)} spinners, {COUNT} in each tier: {name}", waits[-1])
        measured("... the median of each one's longest", waits[len(waits) // 2])
    agent.assert_never_left()
    assert max(trace.waits_s(itertools.chain(*crowds.values(), guests))) <= LONGEST_S
