"""docs/failure-modes/cpu-max.md: a tier's ceiling, which all its cgroups share."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, load, workloads

WINDOW_S = 10.0
CEILINGS = {"normal": 0.5, "background": 1.5}


def test_tiers_consume_their_ceilings(run_agent, measured):
    pods = {tier: [cgroups.make(f"test-{tier}/{name}") for name in ("a", "b")] for tier in CEILINGS}
    ceilings = "".join(f"ceiling.{tier} = {cpus}\n" for tier, cpus in CEILINGS.items())
    run_agent(workloads.text(*((tier, f"test-{tier}") for tier in CEILINGS)) + f"[tiers]\n{ceilings}").until_attached()
    for each in pods.values():
        for pod in each:
            load.spinners(pod, 2)
    time.sleep(0.5)
    used = dict(
        zip(CEILINGS, cgroups.cpus_each([cgroups.ROOT / f"test-{tier}" for tier in CEILINGS], WINDOW_S), strict=True)
    )
    measured(f"ceilings {CEILINGS}: cpus used", ", ".join(f"{tier} {cpus:.3f}" for tier, cpus in used.items()))
    for tier, cpus in CEILINGS.items():
        assert used[tier] == pytest.approx(cpus, rel=0.01)
