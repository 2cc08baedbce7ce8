import json

import pytest
from bench.guest.stage import Look
from bench.scenario import Order, Seen
from bench.scenarios.smt import CPUS, Smt, read_siblings

MS = 10**6
LAYERS = [
    {"name": "critical", "kind": "confined", "cpus": [4, 5, 6, 7], "exclusive": True},
    {"name": "normal", "kind": "grouped", "cpus": [], "exclusive": False},
    {"name": "background", "kind": "open", "cpus": [], "exclusive": False},
]
USED = {"critical": 1e3, "exclusive": 1e3, "normal": 3e4, "background": 4e4, "other": 0}


def line(ms, cpu, before, after):
    return (
        f"  x-1 [{cpu:03}] d..2. {ms / 1000:.6f}: sched_switch: prev_comm=x prev_pid={before} prev_prio=120 "
        f"prev_state=R ==> next_comm=y next_pid={after} next_prio=120\n"
    )


def judged(tmp_path, *, arm="temper", lost=0, status=LAYERS, silent=None, used=USED):
    """20 ms: an exclusive thread on cpu 4 from 2 to 12 ms, a normal one on its sibling from 7 to 9, all else idle."""
    switches = [line(2, 4, 0, 10), line(12, 4, 10, 0), line(7, 5, 0, 20), line(9, 5, 20, 0)]
    switches += [line(1, cpu, 0, 0) for cpu in range(CPUS) if cpu not in (4, 5, silent)]
    (tmp_path / "trace").write_text("".join(switches))
    tasks = {
        tid: {"cgroup": cgroup, "kernel": False, "policy": 0, "allowed": list(range(CPUS))}
        for tid, cgroup in ((10, "/pods/exclusive"), (20, "/pods/normal"))
    }
    (tmp_path / "tasks").write_text(json.dumps(tasks))
    data = {
        "window": {"start_ns": 0, "end_ns": 20 * MS, "cpu_us": used}, "lost": lost, "trace": "trace", "tasks": "tasks",
        "siblings": {str(cpu): [cpu ^ 1] for cpu in range(CPUS)}, "plan": {"layers": LAYERS},
        "status": {"state": "enforcing", "layers": status} if arm == "temper" else {},
    }  # fmt: skip
    look = Look("enabled", "temper", 1)
    scenario = Smt(Order("smt", 0, ("stock", "temper"), ("mixed",)))
    return scenario.judge(Seen(arm, "mixed", look, look, data, tmp_path))


def test_foreign_time_is_counted_from_the_trace(tmp_path):
    found = {figure.metric: figure.value for figure in judged(tmp_path)}
    assert found == {
        "foreign_ns_on_confined": 2 * MS,
        "foreign_share_on_confined": 2 / 20 / 4,
        "foreign_ns_beside_exclusive": 2 * MS,
        "foreign_share_beside_exclusive": 2 / 10,
        "paired_share_in_exclusive": 0,
    }


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ({}, None),
        ({"arm": "stock"}, None),
        ({"lost": 3}, "3 events of the trace were lost"),
        ({"silent": 6}, "no switch was seen on cpu 6"),
        ({"status": [LAYERS[0] | {"cpus": [6, 7]}, *LAYERS[1:]]}, "others than planned"),
        ({"status": LAYERS[:2]}, "no layer background"),
        ({"used": USED | {"normal": 0, "background": 1e4}}, "foreign work used 0.50 cpus"),
    ],
)
def test_a_trace_that_proves_nothing_says_why(tmp_path, rest, reason):
    doubts = judged(tmp_path, **rest)[0].doubts
    assert (doubts == ()) if reason is None else (len(doubts) == 1 and reason in doubts[0])


def test_siblings_are_the_kernels(tmp_path):
    for cpu, cores in ((0, "0-1\n"), (1, "0-1\n"), (8, "8\n")):
        (tmp_path / f"cpu{cpu}/topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}/topology/core_cpus_list").write_text(cores)
    assert read_siblings(tmp_path) == {0: [1], 1: [0], 8: []}
