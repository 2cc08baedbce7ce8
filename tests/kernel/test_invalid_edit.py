"""docs/failure-modes/invalid-edit.md: a wrong file keeps the last good plan in force and says why."""

from __future__ import annotations

import os
import signal

from tests.kernel.harness import cgroups, kernel, workloads
from tests.kernel.harness.temper import temper

GOOD = workloads.text(("critical", "test-c", 2))
WRONG = workloads.text(("crtical", "test-c", 2))
TOO_MANY = workloads.text(("critical", "test-c", 64))


def confined(said):
    """Cpus of the critical layer."""
    return [layer["cpus"] for layer in said["layers"] if layer["name"] == "critical"]


def test_invalid_edit(run_agent, folder):
    cgroups.make("test-c")
    agent = run_agent(GOOD)
    agent.until_attached()

    for text, finding in ((WRONG, '"crtical" is not one of'), (TOO_MANY, "64 cpus asked, this machine has 4")):
        workloads.replace(folder / "w.toml", text)
        said = agent.until_says("why", lambda said, finding=finding: finding in "".join(said["notes"]))
        assert said["notes"][0].startswith(f"kept the last good plan: {folder}/w.toml: workload[0]")
        assert (said["state"], said["generation"], confined(said)) == ("enforcing", 1, [[2, 3]])
    assert "note: kept the last good plan:" in temper("status").stdout

    # Even when the engine is lost meanwhile, what comes back is the last good plan, and the note stays.
    os.kill(said["engine_pid"], signal.SIGKILL)
    kernel.until_stock()
    said = agent.until_attached(times=2)
    assert confined(said) == [[2, 3]]
    assert "64 cpus asked" in "".join(said["notes"])

    workloads.replace(folder / "w.toml", workloads.text(("critical", "test-c", 1)))
    said = agent.until_says("the mended file is in force", lambda said: confined(said) == [[3]])
    assert said["notes"] == []
