"""Which nodes a command means, and what it prints of them. The cluster is a list of nodes."""

import calendar
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from temper.cli import fleet
from temper.cli.fleet import Selection, print_nodes, selection
from temper.cli.main import main, temper
from temper.errors import InvalidInput
from temper.kube import nodes as cluster
from temper.kube.nodes import NodeView
from temper.plan.pods import SWITCH_ANNOTATIONS

ENFORCING = NodeView("n1", "enforcing", "1.0", {}, {"critical": 2, "high": 0, "normal": 31})
ENGAGED = NodeView("n2", "safe-mode", "1.0", {SWITCH_ANNOTATIONS[1]: "true"}, {})
SILENT = NodeView("n3", "", "", {}, {})
REFUSED = NodeView("n4", "unsupported: no sched_ext: boot another kernel", "1.0", {}, {})

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


class TestSelection:
    @pytest.mark.parametrize(
        ("names", "selector", "everything", "chosen"),
        [
            (["b", "a"], "", False, (("b", "a"), "")),
            ([], "pool=x", False, ((), "pool=x")),
            ([], "", True, ((), "")),
        ],
    )
    def test_one_way_chooses(self, names, selector, everything, chosen):
        assert selection(names, selector, everything, "/k") == Selection(*chosen, "/k")

    def test_no_way_chooses_nothing(self):
        assert selection([], "", False, "/k") is None

    @pytest.mark.parametrize(
        ("given", "named"),
        [
            ((["a"], "x=y", False), "--node and --selector"),
            ((["a"], "", True), "--node and --all"),
            (([], "x=y", True), "--selector and --all"),
            ((["a"], "x=y", True), "--node and --selector and --all"),
        ],
    )
    def test_two_ways_contradict_each_other(self, given, named):
        with pytest.raises(InvalidInput) as caught:
            selection(*given, "")
        assert str(caught.value) == f"{named}: choose nodes in one way only"

    @pytest.mark.parametrize(
        ("given", "variable", "used"),
        [
            ("/given", "/var", "/given"),
            ("", "/var", "/var"),
            ("", "/first:/second", "/first"),
            ("", "", "{home}/.kube/config"),
            ("", None, "{home}/.kube/config"),
        ],
    )
    def test_the_kubeconfig_is_found_as_kubectl_does(self, monkeypatch, given, variable, used):
        monkeypatch.delenv("KUBECONFIG", raising=False)
        if variable is not None:
            monkeypatch.setenv("KUBECONFIG", variable)
        assert selection([], "", True, given).kubeconfig == used.format(home=Path.home())


def rows(printed):
    return [line.split() for line in printed.splitlines() if line.strip() and not set(line.strip()) <= set("─-")]


class TestTable:
    def test_one_line_for_each_node(self, capsys):
        print_nodes([ENFORCING, ENGAGED, SILENT])
        head, *lines = rows(capsys.readouterr().out)
        assert head == ["node", "agent", "said", "version", "asked", "for", "pods", "by", "tier"]
        assert lines == [
            ["n1", "enforcing", "-", "1.0", "-", "critical", "2", "normal", "31"],
            ["n2", "safe-mode", "-", "1.0", SWITCH_ANNOTATIONS[1].split("/")[0] + ":", "true", "-"],
            ["n3", "no", "agent", "has", "spoken", "-", "-", "-"],
        ]

    @pytest.mark.parametrize(
        ("said_at", "shown"),
        [
            ("2026-11-28T12:05:59Z", "0s ago"),
            ("2026-11-28T12:05:00Z", "59s ago"),
            ("2026-11-28T12:04:59Z", "1m ago"),
            ("2026-11-28T09:06:00Z", "2h ago"),
            ("2026-11-20T12:00:00Z", "8d ago"),
            ("2026-11-28T13:00:00Z", "0s ago"),  # a node whose clock is ahead
            ("yesterday", "-"),
            ("9" * 500, "-"),
            ("", "-"),
        ],
    )
    def test_a_word_has_its_age(self, capsys, monkeypatch, said_at, shown):
        now_s = calendar.timegm((2026, 11, 28, 12, 5, 59)) + 0.9
        monkeypatch.setattr(fleet.time, "time", lambda: now_s)
        print_nodes([ENFORCING._replace(said_at=said_at)])
        assert f"enforcing {shown} 1.0" in " ".join(capsys.readouterr().out.split())

    def test_a_long_reason_is_folded_not_cut(self, capsys):
        print_nodes([REFUSED._replace(status="unsupported: " + "0123456789" * 20)])
        assert capsys.readouterr().out.replace(" ", "").replace("\n", "").count("0") >= 20

    def test_what_nodes_say_drives_neither_markup_nor_a_terminal(self, capsys):
        print_nodes([ENGAGED._replace(status="a [bold]x[/bold] [/] :smile: \x1b[2J")])
        assert r"a [bold]x[/bold] [/] :smile: \x1b[2J" in capsys.readouterr().out

    def test_no_nodes_is_a_table_without_lines(self, capsys):
        print_nodes([])
        assert len(rows(capsys.readouterr().out)) == 1


@pytest.fixture
def nodes(monkeypatch):
    """A cluster that keeps what it was asked: asked, and the nodes that it has."""

    class Cluster:
        def __init__(self):
            self.has, self.asked = [ENFORCING, ENGAGED], []

    made = Cluster()

    async def select(_, *, names=(), selector=""):
        made.asked.append(("select", tuple(names), selector))
        return [node for node in made.has if not names or node.name in names]

    async def switch(_, found, *, on):
        made.asked.append(("switch", tuple(node.name for node in found), on))

    async def wait_for(_, names, state, timeout_s):
        made.asked.append(("wait", tuple(names), state, timeout_s))
        return made.has

    for name, stand_in in (("select", select), ("switch", switch), ("wait_for", wait_for)):
        monkeypatch.setattr(cluster, name, stand_in)
    return made


@pytest.fixture
def run(tmp_path):
    """`temper ... --kubeconfig` of a cluster that nobody connects to."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    return lambda *arguments: CliRunner().invoke(
        temper, [*arguments, "--kubeconfig", str(tmp_path / "kubeconfig")], catch_exceptions=False
    )


class TestCommands:
    def test_status_of_chosen_nodes(self, run, nodes):
        shown = run("status", "--node", "n2", "--node", "n1")
        assert nodes.asked == [("select", ("n2", "n1"), "")]
        assert "enforcing" in shown.stdout

    def test_status_as_json(self, run, nodes):
        document = json.loads(run("status", "-l", "pool=x", "--json").stdout)
        assert nodes.asked == [("select", (), "pool=x")]
        assert document["version"] == 1
        assert document["nodes"][1] == {
            "name": "n2",
            "status": "safe-mode",
            "version": "1.0",
            "switch": {SWITCH_ANNOTATIONS[1]: "true"},
            "pods": {},
            "said_at": "",
        }

    def test_status_waits_for_all_that_were_chosen(self, run, nodes):
        run("status", "--all", "--wait", "enforcing", "--timeout", "7")
        assert nodes.asked[1:] == [("wait", ("n1", "n2"), "enforcing", 7.0)]

    def test_status_of_no_nodes_waits_for_nothing(self, run, nodes):
        nodes.has = []
        assert run("status", "-l", "pool=x", "--wait", "enforcing").exit_code == 0
        assert len(nodes.asked) == 1

    @pytest.mark.parametrize(("wanted", "state"), [("on", "safe-mode"), ("off", "enforcing")])
    def test_the_switch_is_moved_and_waited_for(self, run, nodes, wanted, state):
        run("safe-mode", wanted, "--all", "--wait", "--timeout", "7")
        assert nodes.asked == [
            ("select", (), ""),
            ("switch", ("n1", "n2"), wanted == "on"),
            ("wait", ("n1", "n2"), state, 7.0),
        ]

    def test_without_wait_it_shows_how_things_are_now(self, run, nodes):
        run("safe-mode", "on", "--node", "n1")
        assert nodes.asked[1:] == [("switch", ("n1",), True), ("select", ("n1",), "")]

    def test_a_selector_that_chooses_none_moves_none(self, run, nodes):
        nodes.has = []
        run("safe-mode", "on", "-l", "pool=x", "--wait")
        assert nodes.asked == [("select", (), "pool=x"), ("switch", (), True)]

    def test_asking_moves_nothing(self, run, nodes):
        run("safe-mode", "status", "--all")
        assert nodes.asked == [("select", (), "")]

    @pytest.mark.parametrize("arguments", [[], ["--local", "--all"], ["--local", "--node", "n1"]])
    def test_where_must_be_said_in_one_way(self, nodes, arguments, capsys):
        assert main(["safe-mode", "on", *arguments]) == 2
        assert "say where: --local, or one of --node, --selector and --all" in capsys.readouterr().err
        assert nodes.asked == []


class TestErrors:
    def test_a_server_that_is_away_is_one_line(self, tmp_path, capsys):
        (tmp_path / "kubeconfig").write_text(KUBECONFIG)
        assert main(["status", "--all", "--kubeconfig", str(tmp_path / "kubeconfig")]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("temper: the API server: ConnectError: ")

    @pytest.mark.parametrize("text", [None, "{", "[]"])
    def test_a_kubeconfig_that_cannot_be_used_is_one_line(self, tmp_path, capsys, text):
        path = tmp_path / "kubeconfig"
        if text is not None:
            path.write_text(text)
        assert main(["status", "--all", "--kubeconfig", str(path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"temper: kubernetes.kubeconfig: {path}: can't be used: ")

    @pytest.mark.parametrize(("said", "status"), [("401 Unauthorized", 4), ("403 forbidden", 4), ("500 no", 1)])
    def test_a_refusal_is_told_from_trouble(self, said, status):
        assert cluster._translated(said).exit_code == status
