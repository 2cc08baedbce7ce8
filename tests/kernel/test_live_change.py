"""A change of the workloads file is in force without a detach, under load."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.trace import tracing
from tests.kernel.harness.waiting import until

CONFINED = {2, 3}
BEFORE = workloads.text(("background", "test-crowd"), ("background", "test-moved"))
AFTER = workloads.text(("background", "test-crowd"), ("critical", "test-moved", 2))


def test_live_change(run_agent, folder, measured):
    names = ("test-crowd", "test-moved")
    for name in names:
        cgroups.make(name)
    agent = run_agent(BEFORE)
    agent.until_attached()
    crowd, moved = (load.spinners(cgroups.ROOT / name, count) for name, count in zip(names, (8, 2), strict=True))

    with kernel.Watch() as watch:
        changed = time.monotonic()
        workloads.replace(folder / "w.toml", AFTER)
        said = agent.until_says("generation 2", lambda said: said["generation"] == 2)
        measured("file renamed -> the agent says that it is in force", time.monotonic() - changed)
        load.until_each_ran([*crowd, *moved])
        with tracing() as trace:
            time.sleep(1)
        for one in moved:
            assert trace.cpus_of(one.pid) == trace.cpus_of(one.pid) & CONFINED != set()
        for one in crowd:
            assert not trace.cpus_of(one.pid) & CONFINED

        for part, nanoseconds in said["last_commit_ns"].items():
            assert nanoseconds > 0
            measured(f"last_commit_ns.{part}", nanoseconds / 1e9)
        assert said["last_commit_ns"].keys() == {"kernel", "commit", "from_change_seen"}
        assert said["nr_commits"] == 1

        (folder / "w.toml").write_text(BEFORE)  # in place
        said = agent.until_says("generation 3", lambda said: said["generation"] == 3)
        until("the crowd is let in again", lambda: {one.cpu() for one in crowd} & CONFINED)

    assert watch.states == ["enabled"]
    assert watch.looks > 100
    assert kernel.look().seq == agent.seq_before + 1


def test_the_same_file_again_commits_nothing(run_agent, folder):
    cgroups.make("test-moved")
    agent = run_agent(AFTER)
    agent.until_attached()
    workloads.replace(folder / "w.toml", AFTER)
    # What comes after it is committed, so the one before it has been looked at.
    workloads.replace(folder / "w.toml", workloads.text(("high", "test-moved", 1)))
    said = agent.until_says("the last change", lambda said: any(layer["name"] == "high" for layer in said["layers"]))
    assert (said["nr_commits"], said["generation"]) == (1, 2)
