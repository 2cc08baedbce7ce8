"""Fixtures. Whatever a test does, the next one finds the stock scheduler, no agent, no switch and no cgroups."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.kernel.harness import cgroups, direct, kernel, load
from tests.kernel.harness.temper import RUN, Agent
from tests.measured import measured, pytest_configure, pytest_terminal_summary  # noqa: F401 - pytest finds them here

LEAVING_S = 20.0


@pytest.fixture
def folder():
    """A folder that everybody may read, for workloads files."""
    path = Path(tempfile.mkdtemp(prefix="temper-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def clean_machine():
    """Start from stock, and go back to it by force; a test that left something of Temper's attached has failed."""
    assert kernel.state() == "disabled"
    shutil.rmtree(RUN, ignore_errors=True)
    yield
    load.end_all()
    cgroups.remove_all()
    try:
        kernel.until_stock(LEAVING_S)
    except AssertionError:
        kernel.eject()
        kernel.until_stock()
        raise


@pytest.fixture
def realtime():
    """The test itself is above those that it looks at, or it would wait among them."""
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture
def run_agent(folder, clean_machine):
    """run_agent(workloads text, *options): a `temper run` that is ended with the test. Its file: folder/w.toml."""
    agents = []

    def start(text=None, *options):
        file = folder / "w.toml"
        if text is not None:
            file.write_text(text)
        agents.append(Agent(file, folder / f"agent-{len(agents)}.log", *options))
        return agents[-1]

    yield start
    for agent in agents:
        agent.end()
        print(agent.log())  # noqa: T201 - pytest shows it when the test fails


@pytest.fixture
def attached_scheduler(clean_machine):
    """A scheduler that this process attached itself, past agent and engine, with an empty first plan."""
    with direct.attached() as scheduler:
        yield scheduler


@pytest.fixture
def foreign_scheduler(clean_machine):
    """A scheduler that has nothing to do with Temper, as far as anybody can tell."""
    with direct.attached("lavender"):
        yield
