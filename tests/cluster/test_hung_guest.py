"""docs/testbed.md: a guest that hangs tells where each of its cpus is."""

from __future__ import annotations

import signal
import subprocess

from tests.cluster.harness.guest import REPO

HANG_S = 60.0


def test_a_guest_that_hangs_tells_where_its_cpus_are():
    command = [REPO / "testbed/run", "--cpus", "2", "--", "sh", "-c", "echo up; while :; do :; done"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "up\n"
        run.send_signal(signal.SIGQUIT)
        _, said = run.communicate(timeout=HANG_S)
    assert run.returncode == 128 + signal.SIGQUIT
    for cpu in (0, 1):
        assert f"NMI backtrace for cpu {cpu}" in said
    assert "unknown_nmi_error" in said
