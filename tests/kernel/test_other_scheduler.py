"""docs/failure-modes/other-scheduler.md: Temper leaves a scheduler alone that somebody else attached."""

from __future__ import annotations

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import temper


def test_other_scheduler(foreign_scheduler, run_agent):
    before = kernel.look()
    agent = run_agent(workloads.text())
    assert agent.until_ended() == 3
    assert 'scheduler "lavender" is enabled' in agent.log().splitlines()[-1]
    assert kernel.look() == before

    done = temper("doctor")
    assert done.returncode == 3
    assert 'FAIL  unattached: scheduler "lavender" is enabled' in done.stdout
