"""Processes and cgroups that come later are in the right layer, without a restart and from their first run."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.trace import tracing
from tests.kernel.harness.waiting import until

CONFINED = {2, 3}
# The parent joins the cgroup and then forks: the child's whole life is in it.
FORK = """
echo 0 >"$0/cgroup.procs"
sh -c "while :; do :; done" &
wait
"""


def test_a_child_of_a_new_child_cgroup(run_agent):
    cgroups.make("test-c")
    cgroups.make("test-b")
    agent = run_agent(workloads.text(("critical", "test-c", 2), ("background", "test-b")))
    agent.until_attached()
    crowd = load.spinners(cgroups.ROOT / "test-b", 8)

    with tracing() as trace:
        below = cgroups.make("test-c/pod/container")
        load.start(FORK, below)
        until("parent and child are there", lambda: len(cgroups.procs(below)) == 2)
        time.sleep(1)
        child = max(cgroups.procs(below))
    assert trace.cpus_of(child) == trace.cpus_of(child) & CONFINED != set()
    for one in crowd:
        assert not trace.cpus_of(one.pid) & CONFINED
    assert agent.published()["nr_commits"] == 0


def test_a_cgroup_that_comes_to_match(run_agent, measured):
    agent = run_agent(workloads.text(("critical", "test-pods/*/main", 2)))
    notes = agent.until_attached()["notes"]
    assert "has no cgroup now; left out until one appears" in "".join(notes)

    made = time.monotonic()
    one = load.Spinner(cgroups.make("test-pods/a/main")).until_in()
    said = agent.until_says("it", lambda said: said["nr_cgroups"] == 1)
    took = time.monotonic() - made
    measured("cgroup made -> its rule in force", took)
    assert took <= 5  # of the host's time: some tenths of a second of a machine that is not emulated
    with tracing() as trace:
        time.sleep(1)
    assert trace.cpus_of(one.pid) == trace.cpus_of(one.pid) & CONFINED != set()

    cgroups.make("test-pods/b/main")
    agent.until_says("the second", lambda said: said["nr_cgroups"] == 2)
    assert said["agent_pid"] == agent.pid
    assert kernel.look().seq == agent.seq_before + 1
