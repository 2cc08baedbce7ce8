"""docs/failure-modes/rt-hog.md: a real-time task takes a cpu that some can't leave, and the only cpu of a fence."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.trace import tracing

CPU = 3
# Longer than the kernel's watchdog (timeout_ms) and half of that, at which it looks.
WINDOW_S = 8.0
RESCUED_S = 5.0
LONGEST_RESCUE_S = 2.5
LEAST_SHARE = 0.25
# Since 7.0 the kernel keeps 50 ms of each second for sched_ext, whatever the real-time classes want.
EXT_SERVER = Path("/sys/kernel/debug/sched/ext_server")
SHARE = 0.05


@pytest.mark.skipif(not EXT_SERVER.exists(), reason="before 7.0 nothing is kept for a task below a real-time spinner")
def test_who_can_run_nowhere_else_keeps_a_share(run_agent, measured):
    paths = {tier: cgroups.make(f"test-{tier}") for tier in ("critical", "background")}
    agent = run_agent(workloads.text(("critical", "test-critical", 1), ("background", "test-background")))
    agent.until_attached()
    victims = {tier: load.spinners(path, 1, cpu=CPU)[0] for tier, path in paths.items()}

    load.hog(cgroups.make("test-hog"), CPU)
    before = {tier: one.ran_s() for tier, one in victims.items()}
    time.sleep(WINDOW_S)
    shares = {tier: (one.ran_s() - before[tier]) / WINDOW_S for tier, one in victims.items()}
    for tier, share in shares.items():
        measured(f"a pinned {tier} task's time in a second of a hogged cpu", share)
    assert SHARE / 2 < sum(shares.values()) < SHARE * 2
    assert min(shares.values()) > 0
    agent.assert_never_left()


def test_the_only_cpu_of_a_fence(run_agent, measured):
    cgroup = cgroups.make("test-v")
    agent = run_agent(workloads.text(("critical", "test-v", 1)))
    agent.until_attached()
    victims = load.spinners(cgroup, 2)

    with tracing("sched_switch") as trace:
        load.hog(cgroups.make("test-hog"), CPU)
        time.sleep(RESCUED_S)
    agent.assert_never_left()
    for one in victims:
        elsewhere_s = sum(spell.end_s - spell.start_s for spell in trace.spells[one.pid] if spell.cpu != CPU)
        measured(
            "what a Critical spinner gets elsewhere in a second while its fence is hogged", elsewhere_s / RESCUED_S
        )
        measured("... its longest wait", trace.away_s[one.pid])
        assert elsewhere_s > LEAST_SHARE * RESCUED_S
        assert trace.away_s[one.pid] <= LONGEST_RESCUE_S
