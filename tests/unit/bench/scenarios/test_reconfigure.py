import itertools
import json

import pytest
from bench import commits
from bench.guest.house import House
from bench.scenario import Order
from bench.scenarios.reconfigure import (
    Looks,
    Reconfigure,
    agent_doubts,
    commit_figures,
    progress_doubts,
    replace_file,
)


def order(*points, **settings):
    return Order("reconfigure", 5, ("temper",), points, settings)


def test_a_window_without_changes_is_as_long_as_the_longest_with():
    scenario = Reconfigure(order("0", "40", "100"))
    assert [scenario.seconds(point) for point in ("0", "40", "100")] == [5.0, 2.0, 5.0]
    assert Reconfigure(order("0")).seconds("0") == 50.0
    assert scenario.load("40").period_s == 2.0


def test_the_agent_starts_with_the_first_file():
    scenario = Reconfigure(order("0"))
    assert scenario.rules() == next(scenario.texts())
    assert len(list(itertools.islice(scenario.texts(), 5))) == 5


def found(counted=100, seen=100, states=("enforcing",), pids=((1, 2),), refused=()):
    took = {part: list(range(1000, 1000 * (seen + 1), 1000)) for part in commits.PARTS}
    return commits.Commits(counted, took, refused, states, pids)


def test_what_reconfigurations_took():
    figures = {figure.metric: figure for figure in commit_figures(found(), 120)}
    assert (figures["reconfigurations"].value, figures["commits"].value) == (120, 100)
    assert [figures[f"commit_to_in_force_{name}"].value for name in ("p50", "p99", "max")] == [50, 99, 100]
    assert figures["change_to_in_force_p99"].unit == "us"
    assert not any(figure.doubts for figure in figures.values())


@pytest.mark.parametrize(
    ("counted", "seen", "reason"),
    [(0, 0, "no commit was made"), (100, 90, "90 of 100 commits were seen"), (100, 96, None)],
)
def test_commits_that_were_not_seen_are_said(counted, seen, reason):
    doubts = commit_figures(found(counted, seen), 120)[0].doubts
    assert doubts == ((reason,) if reason else ())


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ({}, None),
        ({"states": ("enforcing", "detached")}, "state was enforcing, detached"),
        ({"pids": ((1, 2), (1, 3))}, "started anew"),
        ({"refused": ("kept the last good plan: x", "commit refused: y")}, "kept the last good plan: x"),
    ],
)
def test_an_agent_that_did_something_else_is_said(rest, reason):
    doubts = agent_doubts(found(**rest))
    assert doubts == [] if reason is None else (len(doubts) == 1 and reason in doubts[0])


def test_threads_that_are_missing_are_said():
    assert progress_doubts({"1": 5, "2": 0}, 2) == []
    assert "1 threads wanted a cpu at the end, not 2" in progress_doubts({"1": 5}, 2)[0]


def test_the_status_is_copied_when_and_only_when_it_is_a_new_one(tmp_path):
    status = tmp_path / "status.json"
    looks = Looks(status)
    looks.look()
    for number in range(3):
        (tmp_path / "new").write_text(json.dumps({"nr_commits": number}) + "\n")
        (tmp_path / "new").replace(status)
        looks.look()
        looks.look()
    looks.write(tmp_path / "copies")
    lines = [json.loads(line) for line in (tmp_path / "copies").read_text().splitlines()]
    assert [line["status"]["nr_commits"] for line in lines] == [0, 1, 2]


def test_a_file_takes_the_others_place_from_outside_of_the_watched_folder(tmp_path):
    house = House(tmp_path / "share", tmp_path / "work", order("0"))
    house.workloads.parent.mkdir(parents=True)
    house.workloads.write_text("old")
    replace_file(house, "new")
    assert [path.read_text() for path in house.workloads.parent.iterdir()] == ["new"]
