"""docs/failure-modes/rt-hog.md: whoever may run elsewhere does, at once, when a real-time task takes a cpu for good."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.limits import TICK_S
from tests.kernel.harness.trace import tracing

from temper.plan.tiers import RULES, Tier

CPU = 3
WINDOW_S = 1.0
# Of its tier: who is queued is next, but for those that are behind their queue's clock as their slice ends.
MOST_SLICES = 3
# Real-time for three fifths of the time on cpu 0: whoever looks at an instant may take it for a hog.
OFTEN = """
os.sched_setaffinity(0, {0})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
while True:
    until = time.monotonic() + 0.006
    while time.monotonic() < until:
        pass
    time.sleep(0.004)
"""


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
    assert max(waits) <= MOST_SLICES * RULES[Tier(tier)].slice_us / 1e6 + TICK_S
    agent.assert_never_left()


def test_who_comes_and_goes_is_no_hog(run_agent):
    paths = {tier: cgroups.make(f"test-{tier}") for tier in ("critical", "background")}
    agent = run_agent(workloads.text(("critical", "test-critical", 3), ("background", "test-background")))
    agent.until_attached()
    load.spinners(paths["critical"], 3)
    strangers = load.spinners(paths["background"], 2)
    load.start_python(OFTEN, cgroups.make("test-often"))

    with tracing() as trace:
        time.sleep(2 * WINDOW_S)
    agent.assert_never_left()
    assert {cpu for one in strangers for cpu in trace.cpus_of(one.pid)} == {0}
