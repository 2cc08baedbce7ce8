import pytest
from bench.companions import EXCUSED, FOREIGN, Node, layers_of, share
from bench.switches import Span

# Two cores of two threads: 0 and 1, open; 2 and 3, the Critical layer's; 4 and 5 another core of that layer.
SIBLINGS = {0: (1,), 1: (0,), 2: (3,), 3: (2,), 4: (5,), 5: (4,)}
LAYERS = [
    {"name": "critical", "kind": "confined", "cpus": [2, 3, 4, 5], "exclusive": True},
    {"name": "normal", "kind": "grouped", "cpus": [1], "exclusive": False},
]
NODE = Node.of(LAYERS, SIBLINGS)
CRITICAL, ALSO, NORMAL, KTHREAD = 10, 11, 20, 30
WHO = {CRITICAL: "critical", ALSO: "critical", NORMAL: "normal", KTHREAD: EXCUSED}
OTHER = 99  # whom nobody knows


def found(running, length=100):
    return share([Span(length, running)], WHO, NODE)


def test_a_node_is_read_from_a_plan():
    assert NODE.owner == dict.fromkeys((2, 3, 4, 5), "critical")
    assert NODE.exclusive == {"critical"}
    assert set(NODE.whole_cores("critical")) == {frozenset({2, 3}), frozenset({4, 5})}


@pytest.mark.parametrize(
    ("running", "on_confined", "exclusive", "beside", "paired"),
    [
        ({2: CRITICAL, 3: 0, 4: 0, 5: 0}, 0, 100, 0, 0),
        ({2: CRITICAL, 3: NORMAL}, 100, 100, 100, 0),
        ({2: CRITICAL, 3: KTHREAD}, 0, 100, 0, 0),
        ({2: CRITICAL, 3: OTHER}, 100, 100, 100, 0),
        ({4: NORMAL, 5: OTHER}, 200, 0, 0, 0),
        # Two of the layer on one core: needless while the other core is idle.
        ({2: CRITICAL, 3: ALSO}, 0, 200, 0, 200),
        ({2: CRITICAL, 3: ALSO, 4: KTHREAD}, 0, 200, 0, 0),
        # On stock exclusive threads run anywhere.
        ({0: CRITICAL, 1: NORMAL}, 0, 100, 100, 0),
        ({0: NORMAL, 1: OTHER}, 0, 0, 0, 0),
    ],
)
def test_who_meets_whom(running, on_confined, exclusive, beside, paired):
    seen = found(running)
    assert (seen.foreign_on_confined, seen.exclusive, seen.foreign_beside, seen.paired) == (
        on_confined, exclusive, beside, paired,
    )  # fmt: skip


def test_culprits_are_named_once_for_a_time():
    assert found({2: CRITICAL, 3: NORMAL}).culprits == {NORMAL: 100}
    assert found({0: CRITICAL, 1: NORMAL}).culprits == {NORMAL: 100}


def test_spans_add_up():
    seen = share([Span(5, {3: NORMAL}), Span(7, {3: 0}), Span(2, {3: NORMAL})], WHO, NODE)
    assert seen.foreign_on_confined == 7


def task(cgroup="/", kernel=False, policy=0, allowed=(0, 1, 2, 3, 4, 5)):
    return {"cgroup": cgroup, "kernel": kernel, "policy": policy, "allowed": list(allowed)}


@pytest.mark.parametrize(
    ("one", "layer"),
    [
        (task("/pods/c"), "critical"),
        (task("/pods/c/deeper"), "critical"),
        (task("/pods/c", allowed=[2]), "critical"),
        (task("/pods/cc"), FOREIGN),
        (task("/pods/n"), "normal"),
        (task("/pods/n", allowed=[2]), EXCUSED),
        (task("/pods/n", allowed=[2, 3]), EXCUSED),
        (task("/pods/n", allowed=[1, 2]), "normal"),
        (task(kernel=True), EXCUSED),
        (task(policy=1), EXCUSED),
        (task("/pods/c", policy=2), EXCUSED),
        (task(policy=3), FOREIGN),
    ],
)
def test_who_is_foreign(one, layer):
    assert layers_of({7: one}, {}, {"pods/c": "critical", "pods/n": "normal"}, NODE) == {7: layer}


def test_who_came_and_went_is_foreign_unless_a_kernel_worker():
    assert layers_of({}, {7: "sh", 8: "kworker/u8:1"}, {}, NODE) == {7: FOREIGN, 8: EXCUSED}
