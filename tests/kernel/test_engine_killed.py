"""docs/failure-modes/engine-killed.md"""

from __future__ import annotations

import os
import signal
import time

from tests.kernel.harness import kernel, workloads


def test_engine_killed(run_agent, measured):
    agent = run_agent(workloads.text())
    engine = agent.until_attached()["engine_pid"]

    for losses, back_off in ((1, "again in 0.2 s"), (2, "again in 0.4 s")):
        killed = time.monotonic()
        os.kill(engine, signal.SIGKILL)
        measured("SIGKILL of the engine -> disabled", kernel.until_stock())
        said = agent.until_state("detached")
        assert said["reason"].endswith(back_off)

        said = agent.until_attached(times=1 + losses)
        measured("SIGKILL of the engine -> attached again", time.monotonic() - killed)
        assert said["nr_losses"] == losses
        assert said["engine_pid"] != engine
        engine = said["engine_pid"]
    assert "ejected=true" not in agent.log()
