import json

import pytest
from click.testing import CliRunner

from temper.cli import agent_http
from temper.cli.doctor import doctor


@pytest.fixture
def run(agent, monkeypatch):
    monkeypatch.setattr(agent_http, "own_url", lambda: agent.url)
    return lambda *flags: CliRunner().invoke(doctor, flags)


def test_verdicts_of_a_running_agent_are_told(run):
    lines = run().stdout.splitlines()
    assert lines[-2:] == ["LINT  smt_collision shop/web: shared a core", "      Ask for more."]


def test_notes_of_its_plan_are_told(run, agent, document):
    agent.answer = document(notes=["tier high: 3 cpus requested, and its ceiling is 2"])
    assert "NOTE  tier high: 3 cpus requested, and its ceiling is 2" in run().stdout.splitlines()
    assert json.loads(run("--json").stdout)["notes"] == agent.answer.notes


def test_they_have_no_part_in_the_exit_status(run, agent):
    told = json.loads(run("--json").stdout)
    assert [verdict["subject"] for verdict in told["lint"]] == ["shop/web"]
    agent.answer = (500, b"")
    without = run("--json")
    assert json.loads(without.stdout)["lint"] is None
    assert without.exit_code == run().exit_code == (0 if told["ok"] else 3)


def test_no_agent_is_no_finding(run, agent):
    agent.answer = (404, b"")
    assert "LINT" not in run().stdout
    assert json.loads(run("--json").stdout)["notes"] is None
