"""docs/failure-modes/refused-kernel.md. For a kernel whose types are malformed: testbed/run --kernel 7.2."""

from __future__ import annotations

from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import temper

WHAT = "btf: malformed BTF: "
REMEDY = "this kernel was built with pahole < 1.31; boot another."


def test_doctor_names_it():
    done = temper("doctor")
    assert done.returncode == 3
    assert f"FAIL  {WHAT}" in done.stdout
    assert REMEDY in done.stdout


def test_run_leaves_the_machine_alone(tmp_path):
    file = tmp_path / "w.toml"
    file.write_text(workloads.text())
    before = kernel.look()
    done = temper("run", "--workloads", file)
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert WHAT in last
    assert REMEDY in last
    assert kernel.look() == before == ("disabled", "", 0)
