"""docs/failure-modes/safe-mode.md: the local switch works whatever lives, sleeps or is dead."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import RUN, status, stop_process, temper
from tests.kernel.harness.waiting import until, until_gone


def switch(word, *options):
    """`temper safe-mode WORD --local --json`; what it says, once the kernel's state right after it was checked."""
    done = temper("safe-mode", word, "--local", "--json", *options)
    after = kernel.state()
    assert done.returncode == 0, done.stderr
    if word == "on":
        assert after == "disabled"
    return json.loads(done.stdout)


def test_safe_mode_with_a_living_agent(run_agent, measured):
    agent = run_agent(workloads.text())
    agent.until_attached()

    said = switch("on", "--reason", "p99 of checkout")
    measured("safe-mode on, agent alive: its own figure", said["took_ms"] / 1e3)
    assert (said["engaged"], said["reason"]) == (True, "p99 of checkout")
    # The agent has half a second; on a busy host the command is first.
    assert said["by"] in ("agent", "engine killed")
    said = agent.until_state("safe-mode")
    assert said["reason"] == "p99 of checkout"
    assert status()["state"] == "safe-mode"

    said = switch("on", "--reason", "again")
    assert (said["engaged"], said["reason"], said["by"]) == (True, "again", "nothing was attached")
    shown = temper("safe-mode", "status", "--local")
    assert shown.stdout == "safe mode is on: again; the kernel says disabled\n"

    assert switch("off")["engaged"] is False
    agent.until_attached(times=2)
    assert switch("off")["engaged"] is False
    assert temper("safe-mode", "status", "--local").stdout == "safe mode is off; the kernel says enabled\n"


def spares(agent):
    """Pids of the agent's children."""
    return [int(pid) for pid in Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()]


def programs_of(pid):
    """How many BPF programs a process holds."""
    held = 0
    for fd in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile: it still imports
            held += "prog_id:" in fd.read_text()
    return held


def test_a_spare_waits_in_safe_mode(run_agent, measured):
    agent = run_agent(workloads.text())
    engine = agent.until_attached()["engine_pid"]
    assert programs_of(engine)
    switch("on")
    agent.until_state("safe-mode")
    (spare,) = until("a spare waits", lambda: spares(agent))
    assert spare != engine
    until("it is ready", lambda: "libbpf.so" in Path(f"/proc/{spare}/maps").read_text())
    assert not programs_of(spare)
    began = time.monotonic()
    switch("off")
    assert agent.until_attached(times=2)["engine_pid"] == spare
    measured("safe-mode off -> attached, with a spare", time.monotonic() - began)

    switch("on")
    agent.until_state("safe-mode")
    (spare,) = until("a spare waits", lambda: spares(agent))
    os.kill(spare, signal.SIGKILL)
    until_gone(spare)
    switch("off")
    said = agent.until_attached(times=3)
    assert said["engine_pid"] != spare
    assert said["nr_losses"] == 0


def test_safe_mode_with_a_dead_agent(run_agent):
    agent = run_agent(workloads.text())
    agent.until_attached()
    agent.send(signal.SIGKILL)
    assert switch("on", "--reason", "upgrade")["engaged"]
    said = status()
    assert (said["state"], said["reason"], said["agent_alive"]) == ("safe-mode", "upgrade", False)

    heir = run_agent()
    said = heir.until_state("safe-mode")
    assert said["reason"] == "upgrade"
    assert kernel.look() == ("disabled", "", agent.seq_before + 1)
    assert switch("off")["engaged"] is False
    heir.until_attached()


def test_safe_mode_with_a_stopped_agent(run_agent, measured):
    agent = run_agent(workloads.text(), "--deadman-ms", 60_000)
    engine = agent.until_attached()["engine_pid"]
    stop_process(agent.pid)

    said = switch("on")
    measured("safe-mode on, agent stopped: its own figure", said["took_ms"] / 1e3)
    assert said["by"] == "engine killed"
    until_gone(engine)
    assert status()["state"] == "safe-mode"

    agent.send(signal.SIGCONT)
    agent.until_state("safe-mode")
    assert kernel.look().seq == agent.seq_before + 1
    switch("off")
    agent.until_attached(times=2)


def test_safe_mode_with_a_stopped_engine(run_agent, measured):
    agent = run_agent(workloads.text(), "--deadman-ms", 60_000)
    engine = agent.until_attached()["engine_pid"]
    stop_process(engine)

    said = switch("on")
    measured("safe-mode on, engine stopped: its own figure", said["took_ms"] / 1e3)
    until_gone(engine)
    agent.until_state("safe-mode")
    switch("off")
    agent.until_attached(times=2)


def test_safe_mode_without_room_for_the_switch(run_agent):
    RUN.mkdir()
    # The folder itself and the agent's lock: no file more.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=2", "tmpfs", RUN], check=True)
    try:
        agent = run_agent(workloads.text())
        kernel.until_enabled()
        done = temper("safe-mode", "on", "--local")
        assert kernel.state() == "disabled"
        assert agent.until_ended() == -signal.SIGKILL
        # It is on stock, but nothing keeps another agent from attaching: that is not success.
        assert done.returncode == 1
        assert "can't be written: No space left on device" in done.stderr
    finally:
        agent.end()
        subprocess.run(["umount", RUN], check=True)


def test_safe_mode_with_nothing_there():
    assert not os.path.lexists(RUN)
    assert switch("on")["by"] == "nothing was attached"
    assert status()["state"] == "safe-mode"
    assert switch("off")["by"] == "switch removed; no agent runs"
