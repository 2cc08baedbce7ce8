"""-o and --json mean the same for every command that has them."""

import json

import click
import pytest
import yaml
from click.testing import CliRunner

from temper.cli import agent_http
from temper.cli.main import temper
from temper.cli.output import TEXT, form_options, print_object

VALUE = {"version": 1, "name": "ä: [b]", "none": None, "more": {"b": 2, "a": [1.5, True]}}
WORKLOADS = 'version = 1\n[[workload]]\nname = "a"\ntier = "high"\ncgroup = "demo.slice/*"\ncpus = 2\n'


@click.command()
@form_options
def command(form):
    """Print VALUE."""
    if form == TEXT:
        click.echo("in words")
    else:
        print_object(VALUE, form)


def run(*flags):
    result = CliRunner().invoke(command, flags)
    return result.exit_code, result.stdout


def test_words_are_the_default():
    assert run() == run("-o", "text") == (0, "in words\n")


def test_json_is_one_line():
    assert run("--json") == run("-o", "json") == (0, json.dumps(VALUE) + "\n")


def test_yaml_is_the_same_in_the_same_order():
    told = yaml.safe_load(run("-o", "yaml")[1])
    assert (told, list(told)) == (VALUE, list(VALUE))


def test_another_form_is_refused():
    assert run("-o", "xml")[0] == 2


@pytest.mark.parametrize(
    "arguments", [["status"], ["doctor"], ["plan"], ["top"], ["explain", "shop/web"], ["config", "check"]], ids=" ".join
)
def test_each_command_says_the_same_as_yaml_and_as_json(agent, monkeypatch, tmp_path, arguments):
    monkeypatch.setattr(agent_http, "own_url", lambda: agent.url)
    if arguments == ["plan"]:
        (tmp_path / "w.toml").write_text(WORKLOADS)
        (tmp_path / "cgroup/demo.slice/one").mkdir(parents=True)
        (tmp_path / "cgroup/cgroup.controllers").touch()
        arguments = ["plan", "--workloads", str(tmp_path / "w.toml"), "--cgroup-root", str(tmp_path / "cgroup")]
    told = [CliRunner().invoke(temper, [*arguments, "-o", form]).stdout for form in ("json", "yaml")]
    assert json.loads(told[0]) == yaml.safe_load(told[1])
