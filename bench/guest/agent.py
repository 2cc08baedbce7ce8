"""The real standalone agent on stage: `temper run`, in a cgroup of its own, which is said each time."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.guest import stage

STATUS = Path("/run/temper/status.json")
ATTACH_S = 60.0
# After an attach the agent imports what attaching did not need. It is at rest when it uses less than this.
REST_SHARE = 0.15  # of a cpu, over REST_S
REST_S = 1.0


def start(cgroup: Path, workloads: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start it; nothing is awaited."""
    return stage.start(cgroup, ["temper", "run", "--workloads", str(workloads)], log=log)


def wait_attached(pid: int) -> None:
    """Until the kernel and then the agent itself say that it enforces. TimeoutError when one does not."""
    stage.wait_for("Temper attaches", lambda: stage.sched_ext()[0] == "enabled", ATTACH_S)
    # The pid tells this agent's word from what a killed one left.
    said = {"state": "enforcing", "agent_pid": pid}
    stage.wait_for("the agent to say so", lambda: said.items() <= read_status().items(), ATTACH_S)


def wait_rest(cgroup: Path, timeout_s: float = ATTACH_S) -> None:
    """Until agent and engine use next to nothing. TimeoutError when they go on."""
    limit = time.monotonic() + timeout_s
    while True:
        before = stage.cpu_us(cgroup)
        time.sleep(REST_S)
        if stage.cpu_us(cgroup) - before < REST_SHARE * REST_S * 1e6:
            return
        if time.monotonic() > limit:
            raise TimeoutError(f"the agent at rest: not within {timeout_s:g} s")


def read_status() -> dict[str, Any]:
    """What the agent publishes; empty when it does not."""
    try:
        status: dict[str, Any] = json.loads(STATUS.read_text())
    except (OSError, ValueError):
        return {}
    return status
