"""docs/failure-modes/suspend.md: the machine sleeps and wakes up."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.waiting import until

POWER = Path("/sys/power")
ALARM = Path("/sys/class/rtc/rtc0/wakealarm")
ASLEEP_S = 3


def sleep(how):
    """Sleep until the clock's alarm. The write returns once every process is thawed again."""
    ALARM.write_text("0")
    ALARM.write_text(f"+{ASLEEP_S}")
    (POWER / "state").write_text(how)


def asleep_s():
    """Seconds since boot in which the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


@pytest.fixture
def busy_agent(run_agent):
    """An attached agent with every cpu busy; the spinners of Critical."""
    cgroups.make("test-c")
    cgroups.make("test-b")
    agent = run_agent(workloads.text(("critical", "test-c", 2), ("background", "test-b")))
    agent.until_attached()
    spinners = load.spinners(cgroups.ROOT / "test-c", 2)
    load.spinners(cgroups.ROOT / "test-b", 4)
    return agent, spinners


def test_suspend_to_idle(busy_agent, measured):
    """Cpus stay: the scheduler stays, and no wait of anybody counts the sleep."""
    agent, spinners = busy_agent
    before, ran_s, slept_s = kernel.look(), [one.ran_s() for one in spinners], asleep_s()
    sleep("freeze")
    measured("asleep, to idle", asleep_s() - slept_s)
    assert asleep_s() - slept_s > ASLEEP_S / 2
    until("Critical runs on", lambda: all(one.ran_s() > was + 0.2 for one, was in zip(spinners, ran_s, strict=True)))
    assert kernel.look() == before
    assert (agent.until_attached()["nr_ejections"], agent.until_attached()["nr_losses"]) == (0, 0)


def test_suspend_to_memory(busy_agent, measured):
    """Every cpu but the first goes offline on the way: a start anew, as for hotplug, and no loss."""
    agent, spinners = busy_agent
    (POWER / "mem_sleep").write_text("deep")
    slept_s = asleep_s()
    sleep("mem")
    woken = time.monotonic()
    assert asleep_s() - slept_s > ASLEEP_S / 2
    said = agent.until_attached(times=2)
    measured("awake again, from memory -> attached", time.monotonic() - woken)
    ran_s = [one.ran_s() for one in spinners]
    until("Critical runs on", lambda: all(one.ran_s() > was + 0.2 for one, was in zip(spinners, ran_s, strict=True)))
    assert said["nr_ejections"] == 0
    assert "latched=true" not in agent.log()
