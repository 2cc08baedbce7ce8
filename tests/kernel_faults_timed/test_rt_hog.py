"""docs/failure-modes/rt-hog.md: whoever may run elsewhere does, at once, when a real-time task takes a cpu for good."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.trace import tracing

CPU = 3
WINDOW_S = 1.0
LONGEST_WAIT_S = 0.05


# As many as their cpus: one runs on each.
@pytest.mark.parametrize(("tier", "count"), [("critical", 2), ("normal", 4), ("background", 4)])
def test_rt_hog(run_agent, measured, tier, count):
    cgroup = cgroups.make("test-v")
    agent = run_agent(workloads.text((tier, "test-v", 2)))
    agent.until_attached()
    victims = load.spinners(cgroup, count)

    with tracing("sched_switch") as trace:
        time.sleep(0.1)
        hog = load.hog(cgroups.make("test-hog"), CPU)
        time.sleep(WINDOW_S)
    taken = [spell for spell in trace.spells[hog.pid] if spell.cpu == CPU]
    assert sum(spell.end_s - spell.start_s for spell in taken) > 0.9 * WINDOW_S
    mine = [spell for one in victims for spell in trace.spells[one.pid]]
    assert any(spell.cpu == CPU and spell.start_s < taken[0].start_s for spell in mine)
    waits = [trace.away_s[one.pid] for one in victims]
    measured(f"longest wait of {count} {tier} spinners, one of whose cpus a real-time task took", max(waits))
    assert max(waits) <= LONGEST_WAIT_S
    agent.assert_never_left()
