"""Eight cpus behind four last-level caches: a queue at one cache is every cpu's to serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.trace import tracing
from tests.kernel.harness.waiting import until

from temper.node.topology import read_machine

WINDOW_S = 10.0
LONGEST_WAIT_S = 3.5  # as in kernel_timed/test_starvation.py
RULES = workloads.text(("normal", "test-a"), ("background", "test-b"))
FENCED = workloads.text(("critical", "test-a", 2), ("background", "test-b"))
NR_SPINNERS, NR_SLEEPERS = 32, 8
# A sleeper of two milliseconds; how late it was at most is what it says at its end.
SLEEPER = """
import json, os, sys, time
open(sys.argv[1] + "/cgroup.procs", "w").write("0")
until, late = time.monotonic() + float(sys.argv[2]), []
while (due := time.monotonic() + 0.002) < until:
    time.sleep(0.002)
    late.append(time.monotonic() - due)
late.sort()
print(json.dumps([len(late), late[len(late) // 2], late[len(late) * 99 // 100], late[-1]]))
"""

pytestmark = pytest.mark.skipif(os.cpu_count() != 8, reason="for a guest of eight cpus and four caches")


@pytest.fixture
def agent(run_agent, measured):
    """Attached, on the machine that these tests are about."""
    shared = {
        path.read_text().strip() for path in Path("/sys/devices/system/cpu").glob("cpu*/cache/index3/shared_cpu_list")
    }
    measured("cpus that share a last-level cache", " ".join(sorted(shared)))
    assert len({cpu.llc for cpu in read_machine().cpus}) == 4
    for name in ("test-a", "test-b"):
        cgroups.make(name)
    agent = run_agent(RULES)
    agent.until_attached()
    return agent


def test_idle_cpus_of_other_caches_serve_the_queue(agent, measured):
    spinners = load.spinners(cgroups.ROOT / "test-b", 8, cpu=0)
    released = time.monotonic()
    for one in spinners:
        os.sched_setaffinity(one.pid, range(8))
    until("each has a cpu of its own", lambda: len({one.cpu() for one in spinners}) == 8)
    measured("eight tasks queued at one cache, released -> on eight cpus", time.monotonic() - released)


def test_saturated(agent, measured):
    spinners = load.spinners(cgroups.ROOT / "test-b", NR_SPINNERS)
    with kernel.Watch() as watch, tracing("sched_switch") as trace:
        words = [sys.executable, "-c", SLEEPER]
        sleepers = [
            subprocess.Popen([*words, str(cgroups.ROOT / name), str(WINDOW_S - 2)], stdout=subprocess.PIPE, text=True)
            for name in ("test-a", "test-b")
            for _ in range(NR_SLEEPERS // 2)
        ]
        told = [json.loads(one.communicate(timeout=60)[0]) for one in sleepers]
    waits = trace.waits_s(one.pid for one in spinners)
    measured(f"longest wait of {NR_SPINNERS} spinners", max(waits))
    for what, of in (("above them", told[: NR_SLEEPERS // 2]), ("of their layer", told[NR_SLEEPERS // 2 :])):
        measured(f"sleepers {what}: late by, median", max(median for _, median, _, _ in of))
        measured("... p99", max(p99 for _, _, p99, _ in of))
        measured("... at most", max(longest for *_, longest in of))
        assert all(longest <= LONGEST_WAIT_S for *_, longest in of)
    assert watch.states == ["enabled"]
    assert max(waits) <= LONGEST_WAIT_S, waits


def test_a_layer_that_loses_a_cache_leaves_nobody_there(agent, folder, measured):
    spinners = load.spinners(cgroups.ROOT / "test-b", NR_SPINNERS)
    with kernel.Watch() as watch:
        workloads.replace(folder / "w.toml", FENCED)
        agent.until_says("generation 2", lambda said: said["generation"] == 2)
        with tracing("sched_switch") as trace:
            time.sleep(WINDOW_S - 2)
    waits = trace.waits_s(one.pid for one in spinners)
    measured("a cache fenced off: longest wait of those that queued there too", max(waits))
    assert watch.states == ["enabled"]
    assert max(waits) <= LONGEST_WAIT_S, waits
