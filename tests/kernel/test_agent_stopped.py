"""docs/failure-modes/agent-stopped.md: the dead-man's switch."""

from __future__ import annotations

import signal
import time

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import status, stop_process
from tests.kernel.harness.waiting import until_gone

DEADMAN_MS = 4000
MARGIN_S = 2.0


def test_agent_stopped(run_agent, measured):
    agent = run_agent(workloads.text(), "--deadman-ms", DEADMAN_MS)
    engine = agent.until_attached()["engine_pid"]

    stopped = stop_process(agent.pid)
    kernel.until_stock()
    took = time.monotonic() - stopped
    measured(f"SIGSTOP of the agent -> disabled (--deadman-ms {DEADMAN_MS})", took)
    assert took <= DEADMAN_MS / 1e3 + MARGIN_S
    until_gone(engine)
    said = status()
    assert (said["state"], said["reason"]) == ("detached", "the kernel says disabled")

    resumed = agent.send(signal.SIGCONT)
    said = agent.until_state("detached")
    assert "agent heartbeat lost" in said["reason"]
    assert "again in" in said["reason"]
    said = agent.until_attached(times=2)
    measured("SIGCONT of the agent -> attached again", time.monotonic() - resumed)
    assert said["nr_losses"] == 1
