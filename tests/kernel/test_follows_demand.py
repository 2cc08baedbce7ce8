"""A High tier that doesn't use what it requests gives cpus back, and has them again soon after it wakes up."""

from __future__ import annotations

import time

from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.waiting import until

WORKLOADS = workloads.text(("high", "test-api", 3), ("background", "test-crowd"))
# Calm for 30 s at least, counted in readings of 5 s, after a first one that others are compared with.
SHRINKS_WITHIN_S = 60
# The first reading may have seen half of the waking only.
GROWS_WITHIN_S = 15


def owned(said):
    return next(layer["cpus"] for layer in said["layers"] if layer["name"] == "high")


def test_follows_demand(run_agent, measured):
    for name in ("test-api", "test-crowd"):
        cgroups.make(name)
    agent = run_agent(WORKLOADS)
    agent.until_attached()
    assert owned(agent.published()) == [1, 2, 3]
    crowd = load.spinners(cgroups.ROOT / "test-crowd", 8)

    with kernel.Watch() as watch:
        began = time.monotonic()
        until("a cpu is given back", lambda: owned(agent.published()) == [2, 3], SHRINKS_WITHIN_S)
        measured("idle -> one cpu given back", time.monotonic() - began)
        until("the crowd uses it", lambda: 1 in {one.cpu() for one in crowd})
        assert not {one.cpu() for one in crowd} & {2, 3}

        woke = time.monotonic()
        api = [load.Spinner(cgroups.ROOT / "test-api") for _ in range(3)]
        for one in api:
            one.until_in()
        before, at = [one.ran_s() for one in api], time.monotonic()
        time.sleep(2)
        shares = [(one.ran_s() - ran_s) / (time.monotonic() - at) for one, ran_s in zip(api, before, strict=True)]
        measured("cpu time in a second of the one that got least, of three that woke up", min(shares))
        assert min(shares) > 0.7, shares  # two on their own cpus, one on an open cpu that it took

        until("it has its cpus again", lambda: owned(agent.published()) == [1, 2, 3], GROWS_WITHIN_S)
        measured("awake -> all requested cpus are its own", time.monotonic() - woke)
        said = agent.published()
        assert (said["nr_resizes"], said["nr_losses"]) == (2, 0)
        time.sleep(11)  # two more readings
        assert agent.published()["nr_commits"] == said["nr_commits"] == 2

    assert watch.states == ["enabled"]
    assert kernel.look().seq == agent.seq_before + 1
