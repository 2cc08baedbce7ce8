"""The product as a person meets it: its command line, and an agent that runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.kernel.harness import kernel
from tests.kernel.harness.waiting import PATIENCE_S, until, until_gone, until_stopped

RUN = Path("/run/temper")
STATUS = RUN / "status.json"
THREE_BEATS_S = 3.0  # of the agent's: what it does again and again it has done by then


def temper(*words, user=None):
    """Run one command to its end. Whatever it does, it shows no traceback."""
    done = subprocess.run(
        ["temper", *map(str, words)], capture_output=True, text=True, check=False, timeout=PATIENCE_S, user=user
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def status():
    """What `temper status --json` says."""
    done = temper("status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Agent:
    """A `temper run`, started. Nothing is awaited yet."""

    def __init__(self, workloads, log, *options):
        self._log = log
        self.seq_before = kernel.look().seq
        with log.open("ab") as sink:
            command = ["temper", "run", "--workloads", str(workloads), *map(str, options)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        self.pid = self._process.pid

    def published(self):
        """Its status file; empty while it has written none of its own."""
        with contextlib.suppress(OSError, ValueError):
            said = json.loads(STATUS.read_text())
            if said["agent_pid"] == self.pid:
                return said
        return {}

    def until_attached(self, times=1):
        """Wait until the kernel runs its scheduler for the n-th time and it says so itself; its status then."""
        wanted = kernel.Seen("enabled", "temper", self.seq_before + times)

        def attached():
            assert self._process.poll() is None, f"temper run ended with {self._process.returncode}: {self.log()}"
            said = self.published()
            return said if said.get("state") == "enforcing" and kernel.look() == wanted else None

        return until(f"attached, time {times}", attached)

    def until_says(self, what, test):
        """Wait for something in its status file."""
        return until(f"the agent says {what}", lambda: (said := self.published()) and test(said) and said)

    def until_state(self, word):
        """Wait for a state's word in its status file."""
        return self.until_says(word, lambda said: said["state"] == word)

    def assert_never_left(self):
        """Attached once and since: the kernel's count of attaches is what it was, and it still runs ours."""
        assert kernel.look() == kernel.Seen("enabled", "temper", self.seq_before + 1), self.log()
        assert self.published()["nr_losses"] == 0

    def until_ended(self):
        """Wait for its own end; the exit code."""
        return self._process.wait(PATIENCE_S)

    def send(self, number):
        """A signal; returns when it was sent, on the monotonic clock."""
        self._process.send_signal(number)
        return time.monotonic()

    def log(self):
        """What it wrote to stderr."""
        return self._log.read_text()

    def end(self):
        """Whatever state it is in, end it, and its engine with it."""
        engine = self.published().get("engine_pid", 0)
        self._process.kill()
        self._process.wait()
        if engine:
            until_gone(engine)


def stop_process(pid):
    """SIGSTOP, and wait until every thread has stopped. Returns when it was sent, on the monotonic clock."""
    os.kill(pid, signal.SIGSTOP)
    sent = time.monotonic()
    until_stopped(pid)
    return sent
