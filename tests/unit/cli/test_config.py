import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from temper.cli.config import config
from temper.cli.main import main
from temper.errors import InvalidInput
from temper.settings.agent import load
from temper.settings.reference import markdown
from temper.settings.sources import Sources


@pytest.fixture
def run(monkeypatch):
    """`temper config ...` without this machine's own variables."""
    for name in ("NODE_NAME", "TEMPER_CONFIG", "TEMPER_MODE"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments, **env: CliRunner(env=env).invoke(config, arguments)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "agent.yaml"
    path.write_text("mode: observe\ncommit:\n  quiet_ms: 7\n")
    return path


def test_check_says_ok(run, file):
    result = run("check", "--config", str(file), "--node-name", "a", "--set", "lint.enabled=false")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "ok: 4 of 40 settings are set, the others have their defaults\n"


def test_check_notes_that_the_node_is_not_named(run):
    assert "note: node_name is not set" in run("check").stdout
    assert "note" not in run("check", NODE_NAME="a").stdout


def test_check_tells_every_finding(run, file, capsys):
    file.write_text("a: 1\nb: 2\n")
    arguments = ["check", "--config", str(file), "--mode", "x"]
    assert isinstance(run(*arguments).exception, InvalidInput)
    assert main(["config", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].removeprefix(f"{file}:") for line in lines] == ["1", "2", "--mode"]


def test_check_as_json(run, file):
    result = run("check", "--config", str(file), "--set", "mode", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["ok"]) == (2, False)
    assert told["findings"] == [{"place": "--set mode", "message": "has no value; write --set section.key=value"}]
    assert json.loads(run("check", "--json").stdout) == {"version": 1, "ok": True, "findings": []}


def test_show_says_where_each_value_comes_from(run, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    result = run("show", "--config", file.name, "--set", "http.listen=", TEMPER_LOG_LEVEL="debug")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["commit.quiet_ms", "7", "agent.yaml:3:", "commit.quiet_ms"] in rows
    assert ["http.listen", "''", "--set", "http.listen"] in rows
    assert ["log.level", "debug", "env", "TEMPER_LOG_LEVEL"] in rows
    assert ["lint.enabled", "true", "default"] in rows


@pytest.mark.parametrize("flags", [["--json"], ["-o", "json"]])
def test_show_as_json(run, file, flags):
    told = json.loads(run("show", *flags, TEMPER_CONFIG=str(file)).stdout)
    by_key = {row["key"]: row for row in told["settings"]}
    assert by_key["mode"]["value"] == "observe"
    assert (by_key["mode"]["origin"], by_key["mode"]["place"]) == ("file", f"{file}:1: mode")
    assert by_key["lint.interval_s"] == {"key": "lint.interval_s", "value": 10, "origin": "default", "place": ""}


def test_show_as_yaml_is_a_file_that_loads(run, file, tmp_path):
    shown = tmp_path / "shown.yaml"
    shown.write_text(run("show", "--config", str(file), "-o", "yaml").stdout)
    assert load(Sources(shown)).settings == load(Sources(file)).settings


def test_docs(run):
    assert run("docs").stdout == markdown()


@pytest.mark.parametrize("command", ["check", "show"])
def test_help_has_examples(run, command):
    assert f"temper config {command} --config agent.yaml" in run(command, "--help").stdout


def test_yaml_and_rich_are_imported_only_when_needed():
    code = "import sys; from temper.cli.main import main; main(['config', 'check']); "
    code += "sys.exit(bool({'yaml', 'rich', 'tomllib'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
