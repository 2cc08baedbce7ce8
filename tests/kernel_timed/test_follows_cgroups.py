"""A cgroup that comes to match a rule is in its layer within two seconds, without a restart."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.trace import tracing

CONFINED = {2, 3}
LONGEST_S = 2.0


def test_follows_cgroups(run_agent, measured):
    agent = run_agent(workloads.text(("critical", "test-pods/*/main", 2)))
    notes = agent.until_attached()["notes"]
    assert "has no cgroup now; left out until one appears" in "".join(notes)

    made = time.monotonic()
    one = load.Spinner(cgroups.make("test-pods/a/main")).until_in()
    agent.until_says("it", lambda said: said["nr_cgroups"] == 1)
    took = time.monotonic() - made
    measured("cgroup made -> its rule in force", took)
    assert took <= LONGEST_S
    with tracing() as trace:
        time.sleep(1)
    assert trace.cpus_of(one.pid) == trace.cpus_of(one.pid) & CONFINED != set()

    cgroups.make("test-pods/b/main")
    said = agent.until_says("the second", lambda said: said["nr_cgroups"] == 2)
    assert said["agent_pid"] == agent.pid
    assert kernel.look().seq == agent.seq_before + 1
