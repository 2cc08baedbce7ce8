"""A machine with one cpu: nothing can be fenced, everybody still runs, and the figures are the kernel's own."""

from __future__ import annotations

import os

import pytest
from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.waiting import until

TIERS = ("critical", "high", "normal", "low", "background")


@pytest.mark.skipif(os.cpu_count() != 1, reason="for a guest of one cpu")
def test_every_tier_runs(run_agent, measured):
    rules = [(tier, f"test-{tier}", 1) if tier in ("critical", "high") else (tier, f"test-{tier}") for tier in TIERS]
    for tier in TIERS:
        cgroups.make(f"test-{tier}")
    agent = run_agent(workloads.text(*rules))
    said = agent.until_attached()
    spinners = {tier: load.Spinner(cgroups.ROOT / f"test-{tier}").until_in() for tier in TIERS}
    before = {tier: one.ran_s() for tier, one in spinners.items()}
    with kernel.Watch() as watch:
        until("every tier ran", lambda: all(one.ran_s() > before[tier] for tier, one in spinners.items()))
    assert watch.states == ["enabled"]
    measured("layers in force on one cpu", len(said["layers"]))
