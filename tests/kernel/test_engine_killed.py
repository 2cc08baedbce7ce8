"""docs/failure-modes/engine-killed.md"""

from __future__ import annotations

import os
import signal
import time

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import status

from temper.settings.defaults import MOST_LOSSES

THREE_BEATS_S = 3.0


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


def test_latched_whichever_agent(run_agent):
    """An agent that is killed as well changes nothing: the next counts on, and the one after that stays on stock."""
    for losses in (MOST_LOSSES - 1, 1):
        agent = run_agent(workloads.text())
        for lost in range(1, losses + 1):
            os.kill(agent.until_attached(times=lost)["engine_pid"], signal.SIGKILL)
            kernel.until_stock()
            said = agent.until_says(f"loss {lost}", lambda said, lost=lost: said["nr_losses"] == lost)
        agent.send(signal.SIGKILL)
        agent.until_ended()
        kernel.until_stock()
    assert "latched" in said["reason"]

    with kernel.Watch() as watch:
        last = run_agent(workloads.text())
        assert last.until_state("detached")["reason"] == said["reason"]
        time.sleep(THREE_BEATS_S)
    assert watch.states == ["disabled"]
    assert status()["reason"] == said["reason"]
