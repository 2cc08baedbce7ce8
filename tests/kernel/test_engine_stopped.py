"""docs/failure-modes/engine-stopped.md: a beat without an answer."""

from __future__ import annotations

import time

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import stop_process
from tests.kernel.harness.waiting import until_gone


def test_engine_stopped(run_agent, measured):
    agent = run_agent(workloads.text(), "--deadman-ms", 60_000)
    engine = agent.until_attached()["engine_pid"]

    stopped = stop_process(engine)
    kernel.until_stock()
    measured("SIGSTOP of the engine -> disabled", time.monotonic() - stopped)
    until_gone(engine)
    said = agent.until_state("detached")
    assert "did not answer within 2 s" in said["reason"]

    said = agent.until_attached(times=2)
    measured("SIGSTOP of the engine -> attached again", time.monotonic() - stopped)
    assert said["nr_losses"] == 1
