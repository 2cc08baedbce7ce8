from __future__ import annotations

import os
import subprocess
import sys

import pytest

from temper.node import priority

PROGRAM = """
import os
from temper.node import priority
print(os.sched_getscheduler(0))
os.setpriority(os.PRIO_PROCESS, 0, 5)
priority.go_first(os.getpid())
print(os.sched_getscheduler(0))
priority.step_back()
print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
"""


def test_first_and_back_to_its_nice_level():
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True).stdout
    assert said.split() == [str(word) for word in (os.SCHED_OTHER, os.SCHED_RR, os.SCHED_OTHER, 5)]


def test_who_did_not_go_first_has_nothing_to_step_back_from(monkeypatch):
    monkeypatch.delattr(os, "sched_setscheduler")
    priority.step_back()


@pytest.mark.parametrize("error", [PermissionError, ProcessLookupError])
def test_where_it_can_not_be_nothing_changes(monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not priority.go_first(os.getpid())
