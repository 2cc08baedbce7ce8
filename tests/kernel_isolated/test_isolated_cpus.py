"""docs/failure-modes/refused-kernel.md. For a machine booted with isolcpus=: testbed/run --append isolcpus=1."""

from __future__ import annotations

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import temper

WHAT = "isolation: cpu 1 isolated at boot (isolcpus=)"


def test_doctor_names_it():
    done = temper("doctor")
    assert done.returncode == 3
    assert f"FAIL  {WHAT}" in done.stdout
    assert "boot without isolcpus=" in done.stdout


def test_run_leaves_the_machine_alone(tmp_path):
    file = tmp_path / "w.toml"
    file.write_text(workloads.text())
    done = temper("run", "--workloads", file)
    assert done.returncode == 3
    assert WHAT in done.stderr.splitlines()[-1]
    assert kernel.look().state == "disabled"
