"""Attach and detach, the way it is meant to go."""

from __future__ import annotations

import signal

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import status, temper


def test_attach_and_detach(run_agent, measured):
    before = kernel.look()
    agent = run_agent(workloads.text())

    waited = temper("status", "--wait", "enforcing", "--timeout", 60)

    assert waited.returncode == 0
    assert kernel.look() == ("enabled", "temper", before.seq + 1)
    assert waited.stdout.splitlines()[:2] == ["enforcing", "kernel: sched_ext enabled temper"]
    said = status()
    assert said["state"] == "enforcing"
    assert said["agent_pid"] == agent.pid
    assert said["kernel"] == {"state": "enabled", "ops": "temper", "enable_seq": before.seq + 1}

    agent.send(signal.SIGTERM)
    measured("SIGTERM of the agent -> disabled", kernel.until_stock())
    assert agent.until_ended() == 0
    assert kernel.look() == ("disabled", "", before.seq + 1)
    assert status()["state"] == "detached"
