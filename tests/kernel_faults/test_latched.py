"""docs/failure-modes/engine-killed.md: losses are counted on by whichever agent comes next."""

from __future__ import annotations

import os
import signal
import time

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import THREE_BEATS_S, status

from temper.settings.defaults import MOST_LOSSES


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
