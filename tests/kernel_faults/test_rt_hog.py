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
LONGEST_RESCUE_S = 2.5
# Since 7.0 the kernel keeps 50 ms of each second for sched_ext, whatever the real-time classes want.
EXT_SERVER = Path("/sys/kernel/debug/sched/ext_server")
SHARE = 0.05


@pytest.mark.skipif(not EXT_SERVER.exists(), reason="before 7.0 nothing is kept for a task below a real-time spinner")
@pytest.mark.parametrize("tier", ["critical", "normal", "background"])
def test_who_can_run_nowhere_else_keeps_a_share(run_agent, measured, tier):
    cgroup = cgroups.make("test-v")
    agent = run_agent(workloads.text((tier, "test-v", 2)))
    agent.until_attached()
    victim = load.spinners(cgroup, 1, cpu=CPU)[0]

    load.hog(cgroups.make("test-hog"), CPU)
    before = victim.ran_s()
    time.sleep(WINDOW_S)
    share = (victim.ran_s() - before) / WINDOW_S
    measured(f"a pinned {tier} task's time in a second of a hogged cpu", share)
    assert SHARE / 2 < share < SHARE * 2
    agent.assert_never_left()


def test_the_only_cpu_of_a_fence(run_agent, measured):
    cgroup = cgroups.make("test-v")
    agent = run_agent(workloads.text(("critical", "test-v", 1)))
    agent.until_attached()
    victims = load.spinners(cgroup, 2)

    with tracing("sched_switch") as trace:
        load.hog(cgroups.make("test-hog"), CPU)
        time.sleep(WINDOW_S)
    elsewhere = {one.pid: [spell for spell in trace.spells[one.pid] if spell.cpu != CPU] for one in victims}
    for one in victims:
        ran_s = sum(spell.end_s - spell.start_s for spell in trace.spells[one.pid])
        measured("share of a cpu that a Critical spinner gets while its fence is hogged", ran_s / WINDOW_S)
        measured("... its longest wait", trace.away_s[one.pid])
    agent.assert_never_left()
    for one in victims:
        assert elsewhere[one.pid]
        assert max(trace.away_s[one.pid] for one in victims) <= LONGEST_RESCUE_S
