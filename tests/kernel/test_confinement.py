"""A fence holds: nobody else runs on Critical's cpus, except pinned tasks, in their stated share."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.trace import tracing

CONFINED = (2, 3)
RULES = workloads.text(("critical", "test-c", 2), ("background", "test-b"))


@pytest.fixture
def crowd(run_agent):
    """Temper is attached, cpus 2 and 3 are Critical's, and three Background spinners for each cpu want to run."""
    cgroups.make("test-c")
    cgroups.make("test-b")
    run_agent(RULES).until_attached()
    return load.spinners(cgroups.ROOT / "test-b", 12)


@pytest.mark.parametrize("busy", [True, False], ids=["critical busy", "critical idle"])
def test_nobody_else_runs_there(crowd, busy):
    critical = load.spinners(cgroups.ROOT / "test-c", len(CONFINED) if busy else 0)
    with tracing() as trace:
        time.sleep(2)
    ours = {one.pid for one in critical}
    foreign = {task: ran for task, ran in trace.users_on(CONFINED).items() if task.pid not in ours}
    assert foreign == {}
    for one in critical:
        assert trace.cpus_of(one.pid) <= set(CONFINED)
    # The trace sees such tasks where they may run: it was not blind.
    assert {task.pid for task in trace.users_on((0, 1))} >= {one.pid for one in crowd}
