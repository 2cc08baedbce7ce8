"""docs/failure-modes/cpu-max.md: a cgroup's cpu.max holds while attached."""

from __future__ import annotations

import os
import signal
import time

import pytest
from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.waiting import until, until_gone

CPUS = 4
WINDOW_S = 10.0
# Of what was asked. One more tick on each cpu than was asked for may fall into a window, and is owed to the next.
CLOSE = 0.01
TICK_S = 0.004


def limit(name, quota_us, period_us=100_000):
    """A cgroup with a cpu.max; None means no limit."""
    cgroup = cgroups.make(name)
    while cgroup.parent != cgroups.ROOT:
        cgroup = cgroup.parent
        (cgroup / "cgroup.subtree_control").write_text("+cpu")
    quota = "max" if quota_us is None else quota_us
    (cgroups.ROOT / name / "cpu.max").write_text(f"{quota} {period_us}")
    return cgroups.ROOT / name


def cpus_used(cgroup, window_s):
    """How many cpus its tasks had, over a window."""
    began, before = time.monotonic(), cgroups.used_s(cgroup)
    time.sleep(window_s)
    return (cgroups.used_s(cgroup) - before) / (time.monotonic() - began)


@pytest.fixture
def attached(run_agent):
    """An agent with every test cgroup in Normal."""
    for name in ("test-q",):
        cgroups.make(name)
    agent = run_agent(workloads.text(("normal", "test-q", 2)))
    agent.until_attached()
    return agent


@pytest.mark.parametrize(
    ("quota_us", "period_us", "threads"),
    [(5_000, 100_000, 1), (25_000, 100_000, 8), (2_500, 10_000, 4)],
)
def test_what_is_asked_for_is_what_is_used(attached, measured, quota_us, period_us, threads):
    cgroup = limit("test-q/one", quota_us, period_us)
    load.spinners(cgroup, threads)
    time.sleep(2 * period_us / 1e6)  # what it had saved up before the first period is gone
    with kernel.Watch() as watch:
        used = cpus_used(cgroup, WINDOW_S)
    wanted = min(quota_us / period_us, threads, CPUS)
    measured(f"{quota_us} us in {period_us}, {threads} threads: used of what was asked for", f"{used / wanted:.3f}")
    assert watch.states == ["enabled"]
    assert abs(used - wanted) <= CLOSE * wanted + 2 * CPUS * TICK_S / WINDOW_S


def test_the_tightest_ancestor_counts(attached):
    parent = limit("test-q/pod", 25_000)
    children = [limit(f"test-q/pod/{name}", quota) for name, quota in (("a", 20_000), ("b", 20_000), ("c", None))]
    for child in children:
        load.spinners(child, 2)
    time.sleep(0.2)
    before = [cgroups.used_s(child) for child in children]
    assert cpus_used(parent, 4.0) == pytest.approx(0.25, abs=0.02)
    for child, had, most in zip(children, before, (0.2, 0.2, 0.25), strict=True):
        assert 0 < cgroups.used_s(child) - had <= 4.3 * most


def test_an_edit_counts_at_once(attached):
    cgroup = limit("test-q/edited", 10_000)
    load.spinners(cgroup, 4)
    time.sleep(0.3)
    assert cpus_used(cgroup, 1.0) == pytest.approx(0.1, abs=0.04)
    limit("test-q/edited", 50_000)
    assert cpus_used(cgroup, 1.0) == pytest.approx(0.5, abs=0.06)
    limit("test-q/edited", None)
    assert cpus_used(cgroup, 1.0) > 2
    limit("test-q/edited", 20_000)
    time.sleep(0.1)
    assert cpus_used(cgroup, 1.0) == pytest.approx(0.2, abs=0.06)


def test_ten_edits_a_second_latch_nothing(attached):
    cgroup = limit("test-q/edited", None)
    load.spinners(cgroup, 4)
    with kernel.Watch() as watch:
        for number in range(30):
            limit("test-q/edited", None if number % 2 else 1_000 + 1_000 * number)
            time.sleep(0.1)
    limit("test-q/edited", 20_000)
    time.sleep(1.0)
    assert cpus_used(cgroup, 2.0) == pytest.approx(0.2, abs=0.04)
    limit("test-q/edited", None)
    assert cpus_used(cgroup, 1.0) > 2
    assert watch.states == ["enabled"]


def test_parked_tasks_die_at_once(attached, measured):
    cgroup = limit("test-q/killed", None)
    crowd = load.spinners(cgroup, 16)
    limit("test-q/killed", 1_000)
    time.sleep(0.5)
    began = time.monotonic()
    for one in crowd:
        os.kill(one.pid, signal.SIGKILL)
    for one in crowd:
        until_gone(one.pid)
    measured("SIGKILL of 16 throttled tasks -> all are gone", time.monotonic() - began)
    assert time.monotonic() - began < 0.5


def test_parked_tasks_leave_with_their_cgroup(attached):
    tight, wide = limit("test-q/tight", 1_000), limit("test-q/wide", None)
    one = load.spinners(tight, 8)[0]
    time.sleep(0.5)
    before = one.ran_s()
    (wide / "cgroup.procs").write_text(str(one.pid))
    until("it runs in its new cgroup", lambda: one.ran_s() > before + 0.1, 1.0)
