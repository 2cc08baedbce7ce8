"""A thousand pods and 4,096 mapped cgroups, on a machine of 252 possible cpus: what they cost, and where it ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.kernel.harness import cgroups, kernel, workloads

POSSIBLE = Path("/sys/devices/system/cpu/possible")
FEW, MANY = 10, 1000
CGROUPS = 4096
MOST = 8192  # TEMPER_MAX_CGROUPS
LIMITS = 1008  # TEMPER_MAX_QUOTAS - TEMPER_MAX_LAYERS
TIERS = ("high", "normal", "low", "background")
ROUNDS, BATCHES = 100, 40
# Two lowest batches of the same work differ by less.
NOISE = 1.05


def make_pods(count, containers):
    """Pods of so many containers together, spread evenly; cgroups are made without the harness's own look-ups."""
    top = cgroups.make("test-pods")
    for pod in range(count):
        for container in range(containers // count + (pod < containers % count)):
            os.makedirs(top / f"p{pod}" / f"c{container}", exist_ok=True)  # noqa: PTH103 - thousands of them


def rules(count):
    """A rule for each pod, which maps its containers."""
    return workloads.text(*((TIERS[pod % len(TIERS)], f"test-pods/p{pod}/*") for pod in range(count)))


def bounce(cgroup):
    """One byte there and back between two processes of a cgroup: nanoseconds a round, in the lowest batch."""
    (cgroup / "cgroup.procs").write_text("0")
    there, back = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(there[1])
        while byte := os.read(there[0], 1):
            os.write(back[1], byte)
        os._exit(0)
    took = []
    for _ in range(BATCHES):
        started = time.monotonic_ns()
        for _ in range(ROUNDS):
            os.write(there[1], b".")
            os.read(back[0], 1)
        took.append((time.monotonic_ns() - started) / ROUNDS)
    for end in (there[1], there[0], *back):
        os.close(end)
    os.waitpid(child, 0)
    (cgroups.ROOT / "cgroup.procs").write_text("0")
    return min(took)


def test_wake_ups_cost_the_same(run_agent, folder, measured):
    make_pods(MANY, CGROUPS)
    measured("cpus that the kernel could have", POSSIBLE.read_text().strip())
    agent = run_agent(rules(FEW))
    said = agent.until_attached()
    few = bounce(cgroups.ROOT / "test-pods/p1/c0")
    measured(f"ns a round trip through two pipes, {said['nr_cgroups']} cgroups mapped", round(few))

    workloads.replace(folder / "w.toml", rules(MANY))
    said = agent.until_says("the many", lambda said: said["nr_cgroups"] == CGROUPS)
    for part, nanoseconds in said["last_commit_ns"].items():
        measured(f"last_commit_ns.{part}, {CGROUPS} cgroups", nanoseconds / 1e9)
    many = bounce(cgroups.ROOT / "test-pods/p1/c0")
    measured(f"ns a round trip, {CGROUPS} cgroups mapped", round(many))
    assert many <= few * NOISE
    assert kernel.look().seq == agent.seq_before + 1


def test_one_cgroup_too_many_is_refused_and_the_plan_before_it_stays(run_agent, folder):
    make_pods(FEW, FEW)
    agent = run_agent(rules(FEW))
    agent.until_attached()
    with kernel.Watch() as watch:
        make_pods(FEW, MOST + 1)
        said = agent.until_says("so", lambda said: f"{MOST + 1} cgroups are mapped; {MOST} is the most" in str(said))
        assert said["state"] == "enforcing"
        assert said["nr_cgroups"] <= MOST
        # One less, and it goes on.
        (cgroups.ROOT / "test-pods/p0/c0").rmdir()
        agent.until_says("all the others", lambda said: said["nr_cgroups"] == MOST)
    assert watch.states == ["enabled"]
    assert kernel.look().seq == agent.seq_before + 1


def test_a_cpu_max_that_finds_no_room_is_counted(run_agent):
    cgroups.make("test-limits")
    (cgroups.ROOT / "cgroup.subtree_control").write_text("+cpu")
    (cgroups.ROOT / "test-limits/cgroup.subtree_control").write_text("+cpu")
    for number in range(LIMITS + 2):
        limited = cgroups.ROOT / f"test-limits/{number}"
        limited.mkdir()
        (limited / "cpu.max").write_text("50000 100000")
    agent = run_agent(workloads.text(("normal", "test-limits")))
    agent.until_attached()
    said = agent.until_says("two too many", lambda said: said["no_room"] == {"quotas": 2, "shares": 0})
    assert said["cpu_max"]["nr_cgroups"] == LIMITS
    (cgroups.ROOT / "test-limits/0").rmdir()
    (cgroups.ROOT / "test-limits/late").mkdir()
    (cgroups.ROOT / "test-limits/late/cpu.max").write_text("50000 100000")
    agent.until_says(
        "room again", lambda said: said["cpu_max"]["nr_cgroups"] == LIMITS and said["no_room"]["quotas"] == 2
    )
