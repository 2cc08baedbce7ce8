import json

import pytest
import yaml
from click.testing import CliRunner

from temper.cli.explain import explain
from temper.errors import InvalidInput


@pytest.fixture
def run(agent):
    return lambda *arguments: CliRunner().invoke(explain, [*arguments, "--url", agent.url])


def test_a_pod_in_words(run):
    result = run("shop/web")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "pod:      shop/web",
        "tier:     critical: priority 1000000 >= 1000000: critical",
        "layer:    critical, confined, cpus 2-3, may use 2-3, protected, exclusive",
        "size:     cpus of the layer: 2 requested, 1.2 used: owns 2",
        "quota:    cpu.max is smooth (10 periods may be saved up), the tier's ceiling 2.5 cpus",
        "asks:     2 cpus, limit -",
        "uses:     1.5 cpus, cpu.max 2.5, throttled 2 times, 3.0 s, waited for a cpu 1.5 % of the last 10 s",
        "cpu.max:  container app: 0.5 cpus, throttled in 30 of 600 periods, 1.5 s, since our scheduler enforces it",
        "cpu.max:  kubepods/podu: 0.5 cpus, throttled in 10 of 600 periods, 0.5 s, since our scheduler enforces it",
        "cgroups:  kubepods/podu",
        "thread:   77 (memcached) 90.0 % of cpu 3",
        "WRONG:    smt_collision: shared a core",
        "          Ask for more.",
    ]


def test_a_name_alone_if_it_is_the_only_one(run):
    assert "pod:      shop/batch" in run("batch").stdout
    error = run("web").exception
    assert isinstance(error, InvalidInput)
    assert str(error) == "web: more than one pod has this name: other/web, shop/web"


def test_no_such_pod_names_those_that_there_are(run):
    assert str(run("shop/nobody").exception) == (
        "shop/nobody: no such pod on node n1, as the agent knows it: other/web, shop/batch, shop/web"
    )


@pytest.mark.parametrize(
    ("flags", "read"), [(["--json"], json.loads), (["-o", "json"], json.loads), (["-o", "yaml"], yaml.safe_load)]
)
def test_for_scripts(run, flags, read):
    told = read(run("shop/web", *flags).stdout)
    assert (told["version"], told["node"], told["state"]) == (1, "n1", "enforcing")
    assert told["pod"]["reason"].startswith("priority 1000000")
    assert told["layer"]["may_use"] == "2-3"
    assert [quota["container"] for quota in told["quotas"]] == ["app", ""]
    assert [thread["tid"] for thread in told["threads"]] == [77]
    assert [verdict["invariant"] for verdict in told["verdicts"]] == ["smt_collision"]


def test_without_layers_the_state_is_told(run, agent, document):
    agent.answer = document(state="safe-mode", reason="03:12", layers=[])
    assert "layer:    critical; nothing is in force: the node is safe-mode 03:12" in run("shop/web").stdout


def test_what_only_would_be_is_told(run, agent, document):
    agent.answer = document(state="observing")
    assert "exclusive (would be: the node is observing)" in run("shop/web").stdout


def test_help_has_examples():
    assert "temper explain shop/checkout-7d9f" in CliRunner().invoke(explain, ["--help"]).stdout
