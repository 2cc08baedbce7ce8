"""A machine beyond what the scheduler's tables hold is refused before anything is loaded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from temper.engine import scheduler
from temper.errors import Refused


def test_a_machine_of_too_many_cpus_is_refused(monkeypatch):
    monkeypatch.setattr(scheduler, "highest_possible_cpu", lambda: scheduler.MAX_CPUS)
    # It has no other function: whatever is asked of the library afterwards fails.
    library = SimpleNamespace(libbpf_num_possible_cpus=lambda: scheduler.MAX_CPUS + 1)
    with pytest.raises(Refused, match="this machine has cpu ids up to 512; 511 is the most this build knows"):
        scheduler.Scheduler(library, hotplug_seq=0, agent_pid=1, engine_pid=2)
