"""docs/failure-modes/sysrq-s.md: ejected by the kernel, once and twice."""

from __future__ import annotations

import time

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import THREE_BEATS_S, status, temper

KERNELS_REASON = "disabled by sysrq-S"


def test_sysrq_s(run_agent, measured):
    agent = run_agent(workloads.text())
    agent.until_attached()

    pressed = time.monotonic()
    kernel.eject()
    measured("SysRq-S -> disabled", kernel.until_stock())
    said = agent.until_state("ejected")
    assert KERNELS_REASON in said["reason"]
    assert said["reason"].endswith("again in 0.2 s")
    agent.until_attached(times=2)
    measured("SysRq-S -> attached again", time.monotonic() - pressed)

    kernel.eject()
    said = agent.until_says("latched", lambda said: "latched" in said["reason"])
    assert said["state"] == "ejected"
    assert KERNELS_REASON in said["reason"]
    said = status()
    assert said["state"] == "ejected"
    assert "latched" in said["reason"]
    assert said["kernel"]["state"] == "disabled"
    # Not only now.
    with kernel.Watch() as watch:
        time.sleep(THREE_BEATS_S)
    assert watch.states == ["disabled"]

    assert temper("safe-mode", "on", "--local").returncode == 0
    agent.until_state("safe-mode")
    assert temper("safe-mode", "off", "--local").returncode == 0
    agent.until_attached(times=3)
