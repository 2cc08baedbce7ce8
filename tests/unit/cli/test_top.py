import json

import msgspec
import pytest
from click.testing import CliRunner

from temper.cli import top as module
from temper.cli.output import console
from temper.cli.top import screen, top
from temper.errors import TemperError


def words(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def printed(document, **more):
    out = console()
    with out.capture() as captured:
        out.print(screen(document, **more))
    return words(captured.get())


def test_once_prints_layers_pods_and_verdicts(agent):
    result = CliRunner().invoke(top, ["--once", "--url", agent.url])
    assert (result.exit_code, result.stderr) == (0, "")
    lines = words(result.stdout)
    assert lines[0] == "node n1 enforcing generation 3 agent 0.0"
    assert lines[1] == "4 cpus, 4 cores, open 0-1; waiting: cpu 12.5 %"
    assert lines[2] == "cpu.max: 3 cgroups, throttled in 40 of 1800 periods, 2.0 s"
    assert "critical confined 2-3 1 1.25 300 64 7.0 3 4 0" in lines
    assert "background open - 1 - - - - - - -" in lines
    assert "smt_collision shop/web: shared a core" in lines


def test_the_busiest_pods_come_first(agent):
    lines = words(CliRunner().invoke(top, ["--once", "--url", agent.url]).stdout)
    pods = [line for line in lines if line.startswith(("shop/", "other/"))]
    assert pods == [
        "shop/web critical 1.5 2 - 5.0 s 1.5 yes",
        "shop/batch background 0.1 - - - -",
        "other/web background - - - - -",
    ]


def test_json_is_the_whole_document(agent):
    told = json.loads(CliRunner().invoke(top, ["--json", "--url", agent.url]).stdout)
    assert (told["version"], len(told["pods"])) == (1, 3)


def test_without_a_cpu_max_nothing_is_said_of_it(document):
    assert not any(line.startswith("cpu.max") for line in printed(document(quotas=[])))


def test_a_name_is_no_markup(document):
    evil = msgspec.structs.replace(document().pods[0], pod="a/[red]b[/red]")
    assert any("a/[red]b[/red]" in line for line in printed(document(pods=[evil])))


def test_the_live_view_has_a_bound(document):
    many = [document().pods[0]] * 30
    assert "and 10 more" in printed(document(pods=many), rows=20)


@pytest.mark.parametrize(
    ("lint", "said"),
    [
        ({"enabled": False, "looked_s": 0.0}, "the linter is off"),
        ({"enabled": True, "looked_s": 0.0}, "the linter has not looked yet"),
        ({"enabled": True, "looked_s": 1.0}, "nothing is known to be wrong"),
    ],
)
def test_no_verdicts(document, lint, said):
    report = msgspec.structs.replace(document().lint, verdicts=[], **lint)
    assert printed(document(lint=report))[-1] == said


def test_an_agent_that_goes_away_is_waited_for(document, monkeypatch):
    steps = iter([document(), TemperError("no agent answers"), document(generation=4), KeyboardInterrupt()])
    shown = []

    def fetch(*_):
        step = next(steps)
        if isinstance(step, BaseException):
            raise step
        return step

    def note(document, rows=None, trouble=""):
        shown.append((document.generation, trouble))
        return screen(document, rows=rows, trouble=trouble)

    monkeypatch.setattr(module, "fetch", fetch)
    monkeypatch.setattr(module, "screen", note)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    result = CliRunner().invoke(top, ["--interval", "0.5"])
    assert result.exit_code == 0
    assert shown == [(3, ""), (3, "no agent answers"), (4, "")]


def test_help_has_examples():
    assert "temper top --once" in CliRunner().invoke(top, ["--help"]).stdout
