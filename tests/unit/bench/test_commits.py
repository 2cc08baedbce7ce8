import json
import math

from bench import commits


def status(number, *, commit=0, seen=None, state="enforcing", notes=(), pids=(1, 2)):
    last = {"kernel": 5, "commit": commit} | ({"from_change_seen": seen} if seen is not None else {})
    return {
        "nr_commits": number, "last_commit_ns": last, "state": state, "notes": list(notes),
        "agent_pid": pids[0], "engine_pid": pids[1],
    }  # fmt: skip


def test_each_commit_counts_once_and_the_one_from_before_not():
    said = [status(3, commit=99), status(4, commit=3000, seen=9000), status(4, commit=3000, seen=9000),
            status(7, commit=1000, seen=2000)]  # fmt: skip
    found = commits.commits(said)
    assert found.counted == 4
    assert found.took_ns == {"commit": [1000, 3000], "from_change_seen": [2000, 9000], "kernel": [5, 5]}
    assert (found.percentile_us("commit", 0.5), found.percentile_us("commit", 1.0)) == (1.0, 3.0)


def test_what_was_not_put_in_force_is_named_once():
    refused = "kept the last good plan: w.toml: workload[0].cpus: 9 cpus asked, this machine has 5"
    said = [status(0), status(0, notes=['"a" states no cpus; counted as 1', refused]), status(1, notes=[refused])]
    assert commits.commits(said).refused == (refused,)


def test_states_and_restarts_are_seen():
    found = commits.commits([status(0), status(0, state="detached", pids=(1, 0)), status(0, pids=(1, 3))])
    assert found.states == ("enforcing", "detached")
    assert len(found.pids) == 3


def test_nothing_seen_has_no_percentile():
    found = commits.commits([])
    assert (found.counted, found.states) == (0, ())
    assert math.isnan(found.percentile_us("commit", 0.5))


def test_a_file_of_copies_is_read(tmp_path):
    path = tmp_path / "statuses.jsonl"
    path.write_text("".join(json.dumps({"t_ns": n, "status": status(n)}) + "\n" for n in range(3)))
    assert commits.read(path).counted == 2
