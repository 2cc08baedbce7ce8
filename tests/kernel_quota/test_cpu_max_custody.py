"""docs/failure-modes/cpu-max.md: throttled tasks that are to end, freeze, stop or move don't wait for it."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import time

import pytest
from tests.kernel.harness import cgroups, kernel, load
from tests.kernel.harness.limits import limit, says, thaw
from tests.kernel.harness.temper import stop_process
from tests.kernel.harness.trace import tracing
from tests.kernel.harness.waiting import until, until_gone

AT_ONCE_S = 0.1
PATIENCE_S = 5.0
GAME_S = 8.0
LONGEST_PARKED_S = 2.5  # 1.5, and a turn beside busy tiers, which there are none of here
PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 16, 17, 0x4206, 0x4207
WALL = 0x40000000  # __WALL: any child, however it was made
LIBC = ctypes.CDLL(None, use_errno=True)


def ptrace(request, pid):
    """One without data."""
    none = ctypes.c_void_p(0)
    assert LIBC.ptrace(ctypes.c_long(request), ctypes.c_int(pid), none, none) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture(params=[8, 200])
def throttled(request, normal):
    """A cgroup whose tasks have used up a quota of 1 ms, and more than a second's worth beyond; their pids."""
    cgroup = limit("test-q/tight", None)
    crowd = load.crowd(cgroup, request.param)
    before = cgroups.used_s(cgroup)
    load.go(crowd)
    until("all of them run", lambda: cgroups.used_s(cgroup) > before + 0.5)
    limit("test-q/tight", 1_000)
    time.sleep(0.3)
    return cgroup, crowd


def at_once(measured, what, began, count):
    """It took a moment only."""
    took = time.monotonic() - began
    measured(f"{count} throttled tasks: {what}", took)
    assert took <= AT_ONCE_S


def test_kill_and_rmdir(throttled, measured):
    cgroup, crowd = throttled
    began = time.monotonic()
    for pid in crowd:
        os.kill(pid, signal.SIGKILL)
    for pid in crowd:
        until_gone(pid, PATIENCE_S)
    at_once(measured, "SIGKILL to each -> the last is gone", began, len(crowd))
    load.end_all()  # the shell is this process's to reap
    until("the cgroup is empty", lambda: says(cgroup, "populated 0"), AT_ONCE_S)
    cgroup.rmdir()


def test_one_of_them_exits(throttled, measured):
    _, crowd = throttled
    began = time.monotonic()
    os.kill(crowd[-1], signal.SIGTERM)
    until_gone(crowd[-1], PATIENCE_S)
    at_once(measured, "SIGTERM to one -> it is gone", began, len(crowd))


def test_freeze(throttled, measured):
    cgroup, crowd = throttled
    began = time.monotonic()
    (cgroup / "cgroup.freeze").write_text("1")
    until("it is frozen", lambda: says(cgroup, "frozen 1"), PATIENCE_S)
    at_once(measured, "cgroup.freeze -> frozen 1", began, len(crowd))
    thaw(cgroup)
    until("it is thawed", lambda: says(cgroup, "frozen 0"))


@pytest.mark.parametrize("throttled", [8], indirect=True)
@pytest.mark.parametrize("how", ["attach", "seize"])
def test_ptrace(throttled, measured, how):
    _, crowd = throttled
    pid = crowd[-1]
    began = time.monotonic()
    if how == "attach":
        ptrace(PTRACE_ATTACH, pid)
    else:
        ptrace(PTRACE_SEIZE, pid)
        ptrace(PTRACE_INTERRUPT, pid)
    until("it has stopped", lambda: os.waitpid(pid, WALL | os.WNOHANG)[0] == pid, PATIENCE_S)
    at_once(measured, f"ptrace {how} of one -> it has stopped", began, len(crowd))
    ptrace(PTRACE_DETACH, pid)


def test_stop_and_continue(throttled, measured):
    _, crowd = throttled
    began = time.monotonic()
    stop_process(crowd[-1])
    at_once(measured, "SIGSTOP to one -> it has stopped", began, len(crowd))
    os.kill(crowd[-1], signal.SIGCONT)


@pytest.mark.parametrize("throttled", [8], indirect=True)
def test_move_and_rmdir(throttled, measured):
    cgroup, crowd = throttled
    wide = limit("test-q/wide", None)
    before = cgroups.used_s(wide)
    began = time.monotonic()
    (wide / "cgroup.procs").write_text(str(crowd[-1]))
    measured(f"{len(crowd)} throttled tasks: the write that moves one of them", time.monotonic() - began)
    began = time.monotonic()
    until("it runs in its new cgroup", lambda: cgroups.used_s(wide) > before + 0.02, PATIENCE_S)
    at_once(measured, "one has moved to a cgroup without a limit -> it has run for 20 ms", began, len(crowd))
    had_s = {pid: load.ran_s(pid) for pid in crowd}
    for pid in cgroups.procs(cgroup):
        (wide / "cgroup.procs").write_text(str(pid))
    cgroup.rmdir()
    began = time.monotonic()
    until("all of them run", lambda: all(load.ran_s(pid) > had_s[pid] for pid in crowd), PATIENCE_S)
    measured(
        f"{len(crowd)} throttled tasks: all of them moved and the cgroup removed -> each has run",
        took := time.monotonic() - began,
    )
    assert took <= 1.5  # every queue is turned over in a second, and 200 spinners share four cpus


@pytest.mark.parametrize("throttled", [8], indirect=True)
@pytest.mark.parametrize("every_s", [0.05, 0.13])  # each of them every 0.4 s, or when it has been parked for 1.05
def test_a_new_affinity_again_and_again_hides_nobody(throttled, measured, every_s):
    """It puts a task at another place in the queue; the look for those that have been there too long finds it there."""
    _, crowd = throttled
    with kernel.Watch() as watch, tracing("sched_switch") as trace:
        end_s = time.monotonic() + GAME_S
        turns = ((cpus, pid) for cpus in itertools.cycle([range(3), range(1, 4)]) for pid in crowd)
        for cpus, pid in itertools.takewhile(lambda _: time.monotonic() < end_s, turns):
            os.sched_setaffinity(pid, cpus)
            time.sleep(every_s)
    longest = max(trace.waits_s(crowd))
    measured(f"8 throttled tasks, an affinity changed every {every_s:g} s: the longest off the cpus", longest)
    assert longest <= LONGEST_PARKED_S
    assert watch.states == ["enabled"]
