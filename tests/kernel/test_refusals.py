"""Who may not, or must not: one clear line, the right exit code, and the machine as it was."""

from __future__ import annotations

import pytest
from tests.kernel.harness import kernel, workloads
from tests.kernel.harness.temper import temper

NOBODY = 65534


def test_a_second_agent(run_agent):
    first = run_agent(workloads.text())
    first.until_attached()
    before = kernel.look()
    second = run_agent()
    assert second.until_ended() == 3
    assert second.log() == "temper: another Temper agent runs on this machine (`temper status` shows it)\n"
    assert kernel.look() == before


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["run", "--workloads", "FILE"], 4, "temper: attaching a scheduler needs root"),
        (["safe-mode", "on", "--local"], 4, "temper: the switch is root's"),
        (["status"], 0, ""),
        (["safe-mode", "status", "--local"], 0, ""),
        (["plan", "--workloads", "FILE"], 0, ""),
        (["doctor"], 3, ""),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_not_root(folder, words, code, line):
    file = folder / "w.toml"
    file.write_text(workloads.text())
    done = temper(*[str(file) if word == "FILE" else word for word in words], user=NOBODY)
    assert done.returncode == code
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == (1 if line else 0)
    if words == ["doctor"]:
        assert "FAIL  root: euid 65534" in done.stdout


def test_a_wait_that_is_in_vain():
    done = temper("status", "--wait", "enforcing", "--timeout", "0.1")
    assert done.returncode == 5
    assert done.stderr == "temper: not enforcing after 0.1 s; it is detached: no agent has run here\n"


def test_no_such_file(run_agent):
    agent = run_agent()
    assert agent.until_ended() == 2
    assert agent.log().endswith("w.toml: there is no such file\n")
