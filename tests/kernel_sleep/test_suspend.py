"""docs/failure-modes/suspend.md: the machine sleeps and wakes up."""

from __future__ import annotations

import time
from pathlib import Path

from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.waiting import until

POWER = Path("/sys/power")
ALARM = Path("/sys/class/rtc/rtc0/wakealarm")
ALARM_S = 6  # of which going to sleep takes most, on emulated cpus
LEAST_ASLEEP_S = 0.05


def sleep():
    """To memory, until the clock's alarm. The write returns once every process is thawed again."""
    ALARM.write_text("0")
    ALARM.write_text(f"+{ALARM_S}")
    (POWER / "mem_sleep").write_text("deep")
    (POWER / "state").write_text("mem")


def asleep_s():
    """Seconds since boot in which the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def test_suspend_to_memory(run_agent, measured):
    """Every cpu but the first goes offline on the way: a start anew, as for hotplug, and no loss."""
    critical, background = cgroups.make("test-c"), cgroups.make("test-b")
    agent = run_agent(workloads.text(("critical", "test-c", 2), ("background", "test-b")))
    agent.until_attached()
    spinners = load.spinners(critical, 2)
    load.spinners(background, 4)
    awake_s = asleep_s()
    sleep()
    woken = time.monotonic()
    assert asleep_s() - awake_s > LEAST_ASLEEP_S
    said = agent.until_attached(times=2)
    measured("awake again, from memory -> attached", time.monotonic() - woken)
    ran_s = [one.ran_s() for one in spinners]
    until("Critical runs on", lambda: all(one.ran_s() > was + 0.2 for one, was in zip(spinners, ran_s, strict=True)))
    assert said["nr_ejections"] == 0
    assert "latched=true" not in agent.log()
