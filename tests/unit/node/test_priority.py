from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from temper.node import priority

FIRST = os.SCHED_RR | os.SCHED_RESET_ON_FORK


@pytest.fixture
def step():
    """step(function): called in a thread of its own, which takes its priority with it; the policy before and after."""

    def run(function):
        seen = []

        def body():
            seen.append(os.sched_getscheduler(0))
            seen.append(function())
            seen.append(os.sched_getscheduler(0))

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        assert len(seen) == 3
        return seen

    return run


@pytest.fixture
def forbidden(monkeypatch):
    allowed = os.sched_setscheduler

    def refuse(pid, policy, param):
        if policy != os.SCHED_OTHER:
            raise PermissionError
        allowed(pid, policy, param)

    monkeypatch.setattr(os, "sched_setscheduler", refuse)


def child_policy():
    """What a process has that is started now."""
    program = "import os; print(os.sched_getscheduler(0))"
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)


def test_first_and_back(step):
    assert step(priority.go_first)[2] == FIRST
    assert step(lambda: (priority.go_first(), priority.step_back()))[2] == os.SCHED_OTHER
    assert step(priority.step_back)[2] == os.SCHED_OTHER


def test_who_goes_first_keeps_it_to_itself(step):
    assert step(lambda: (priority.go_first(), child_policy())[1])[1] == os.SCHED_OTHER


@pytest.mark.parametrize("first", [False, True])
def test_children_go_first_only_if_started_inside(step, first):
    def start_two():
        if first:
            priority.go_first()
        with priority.children_first():
            inside = child_policy()
        return inside, child_policy()

    _, (inside, outside), after = step(start_two)
    assert inside == os.SCHED_RR
    assert outside == os.SCHED_OTHER
    assert after == (FIRST if first else os.SCHED_OTHER)


def test_where_it_is_not_permitted_the_nice_level_has_to_do(forbidden, step):
    def start():
        priority.go_first()
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        with priority.children_first():
            return nice, child_policy()

    before, (nice, inside), after = step(start)
    assert nice == priority.NICE
    assert before == inside == after == os.SCHED_OTHER


def test_where_nothing_is_permitted_it_takes_its_turn(forbidden, step, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    before, _, after = step(priority.go_first)
    assert before == after == os.SCHED_OTHER
