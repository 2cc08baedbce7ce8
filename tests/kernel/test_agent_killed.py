"""docs/failure-modes/agent-killed.md"""

from __future__ import annotations

import signal

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import status
from tests.kernel.harness.waiting import until_gone


def test_agent_killed(run_agent, measured):
    first = run_agent(workloads.text())
    engine = first.until_attached()["engine_pid"]

    first.send(signal.SIGKILL)
    measured("SIGKILL of the agent -> disabled", kernel.until_stock())
    until_gone(engine)
    said = status()
    assert (said["state"], said["reason"]) == ("detached", "the agent is not running")

    second = run_agent()
    assert second.until_attached()["engine_pid"] != engine
