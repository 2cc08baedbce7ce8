"""docs/failure-modes/hotplug.md: a cpu goes and comes back; the kernel ends the scheduler, which starts anew."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.waiting import until

ONLINE = Path("/sys/devices/system/cpu/cpu3/online")
CYCLES = 3  # six times: more losses than make the agent give up (MOST_LOSSES)
# Who loads for ten seconds goes first from then on, and has loaded nine later. At a nice level alone it was 16 to 23 s,
# and at times more than the minute that it may take.
BUSY_S = 30.0


@pytest.fixture
def switch_cpu():
    """Whatever the test did, cpu 3 is online afterwards."""
    yield ONLINE.write_text
    ONLINE.write_text("1")


def fence(said):
    """Critical's cpus."""
    return next(layer["cpus"] for layer in said["layers"] if layer["name"] == "critical")


def test_hotplug(run_agent, switch_cpu, measured, realtime):
    cgroups.make("test-c")
    cgroups.make("test-b")
    agent = run_agent(workloads.text(("critical", "test-c", 2), ("background", "test-b")))
    started = time.monotonic()
    agent.until_attached()
    measured("start -> attached, an idle machine", time.monotonic() - started)
    spinners = load.spinners(cgroups.ROOT / "test-c", 2) + load.spinners(cgroups.ROOT / "test-b", 2)

    attaches = 1
    for cycle in range(CYCLES):
        for word, cpus in (("0", [1, 2]), ("1", [2, 3])):
            attaches += 1
            started = time.monotonic()
            switch_cpu(word)
            said = agent.until_attached(times=attaches)
            name = f"cpu {'online' if word == '1' else 'offline'}, {'idle' if cycle else 'every cpu busy'}"
            took_s = time.monotonic() - started
            measured(f"{name} -> attached again", took_s)
            assert cycle or took_s < BUSY_S
            assert fence(said) == cpus
            if not cycle:
                until("Critical is on its cpus", lambda cpus=cpus: {one.cpu() for one in spinners[:2]} <= set(cpus))
        for one in spinners:
            one.kill()
    assert said["nr_ejections"] == 0
    assert "going offline, exiting scheduler" in agent.log()
    assert "latched=true" not in agent.log()
