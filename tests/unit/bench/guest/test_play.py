import json
import os
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from bench.guest import play
from bench.guest.stage import Look
from bench.scenario import Order
from bench.scenarios.ladder import Ladder

STOCK, OURS = Look("disabled", "", 0), Look("enabled", "temper", 1)


class Scripted(Ladder):
    """Each point does what the script says: a dict is what it saw, an exception is raised."""

    script = None

    @contextmanager
    def ready(self, house):
        yield

    def play(self, house, arm, point):
        what = self.script.get((arm, point), {})
        if isinstance(what, Exception):
            raise what
        return what


@pytest.fixture
def played(tmp_path, monkeypatch, capsys):
    """played(script, attach error): what the guest said, and its exit status."""

    def run(script, attach_error=None):
        share, work = tmp_path / "share", tmp_path / "work"
        (share / "log").mkdir(parents=True)
        (work / "workloads").mkdir(parents=True)
        Order("ladder", 3, ("stock", "temper"), ("0", "2"), {}).write(share / "order.json")
        attached = []

        def start(cgroup, workloads, log):
            log.write_text("")
            return SimpleNamespace(pid=1)

        def wait_attached(pid):
            if attach_error:
                raise attach_error
            attached.append(pid)

        Scripted.script = script
        monkeypatch.setattr(play, "WORK", work)
        monkeypatch.setattr(play.scenario, "find", lambda name: Scripted)
        monkeypatch.setattr(play.Play, "set_up", lambda self: None)
        monkeypatch.setattr(play.agent, "start", start)
        monkeypatch.setattr(play.agent, "wait_attached", wait_attached)
        monkeypatch.setattr(play.agent, "wait_rest", lambda cgroup: None)
        monkeypatch.setattr(play.stage, "end", lambda process: attached.clear())
        monkeypatch.setattr(play.stage, "look", lambda: OURS if attached else STOCK)
        monkeypatch.setattr(play.sys, "argv", ["play", str(share)])
        status = play.main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()], status

    return run


def test_stock_goes_first_then_the_agent_is_there(played):
    said, status = played({("temper", "2"): {"value": 1}})
    seen = [(one["arm"], one["point"], one["before"], one["after"]) for one in said if "seen" in one]
    stock, ours = list(STOCK), list(OURS)
    assert seen == [
        ("stock", "0", stock, stock), ("stock", "2", stock, stock),
        ("temper", "0", ours, ours), ("temper", "2", ours, ours),
    ]  # fmt: skip
    assert said[-1]["seen"] == {"value": 1}
    assert said[0] == {"kernel": os.uname().release}
    assert status == 0


def test_a_point_that_fails_is_told_and_the_others_go_on(played):
    said, status = played({("stock", "0"): TimeoutError("memcached's socket: not within 20 s")})
    assert [one for one in said if "failed" in one] == [
        {"failed": "memcached's socket: not within 20 s", "arm": "stock", "point": "0"}
    ]
    assert len([one for one in said if "seen" in one]) == 3
    assert status == 0


def test_an_agent_that_does_not_attach_ends_it_with_the_reason(played):
    said, status = played({}, TimeoutError("Temper attaches: not within 60 s"))
    assert [one["arm"] for one in said if "seen" in one] == ["stock", "stock"]
    assert said[-1]["error"] == "Temper attaches: not within 60 s"
    assert status == 1
