"""A process of a cgroup below a mapped one is in its layer from its first run; nothing is committed for it."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, load, workloads
from tests.kernel.harness.limits import cpus_used, limit
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing
from tests.kernel.harness.waiting import until

CONFINED = {2, 3}
DEEPER, SETTLING_S = 20, 1.0  # MAX_DEPTH is 16
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


def test_however_deep_it_hides(attached_scheduler):
    """More levels than are looked at, and more limits of its own than are counted: what holds above holds for it."""
    limit("test-b", 10_000)
    attached_scheduler.commit(plan(("background", "test-b")))
    below = "test-b"
    for _ in range(DEEPER):
        below += "/x"
        limit(below, 10_000_000)
    load.Spinner(cgroups.ROOT / below).until_in()
    time.sleep(SETTLING_S)
    assert 0.05 < cpus_used(cgroups.ROOT / "test-b", 2.0) < 0.15  # a tenth
