"""docs/failure-modes/cpu-weight.md: cgroups that share a layer share it by their cpu.weight while attached."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import cgroups, load
from tests.kernel.harness.plans import plan

CPUS = 4
SETTLING_S = 1.0
WINDOW_S = 5.0
CLOSE = 0.03
# What an idle cgroup's tasks get beside others: a millisecond each when they have waited for a second and a half.
IDLE_MOST = 0.02


@pytest.fixture
def layer(attached_scheduler):
    """Cgroups of one layer: layer(name, weight) makes one, and those above it."""

    def make(name, weight):
        path = cgroups.make_controlled(f"test-w/{name}")
        (path / "cpu.weight").write_text(str(weight))
        return path

    cgroups.make("test-w")
    attached_scheduler.commit(plan(("normal", "test-w", 1)))
    return make


def cpus_of(paths):
    """How many cpus each has over the window, once its neighbours are known."""
    time.sleep(SETTLING_S)
    return cgroups.cpus_each(paths, WINDOW_S)


@pytest.mark.parametrize(
    ("weights", "threads", "ideal"),
    [
        ((100, 200, 400), (4, 4, 4), (4 / 7, 8 / 7, 16 / 7)),
        ((100, 200, 400), (32, 4, 16), (4 / 7, 8 / 7, 16 / 7)),
        ((100, 100), (1, 32), (1, 3)),
        ((400, 100, 200), (1, 4, 4), (1, 1, 2)),
    ],
    ids=["flat", "many-threads", "one-against-32", "who-can-not-use-its-share"],
)
def test_shares_go_by_weight(layer, measured, weights, threads, ideal):
    paths = [layer(f"c{number}", weight) for number, weight in enumerate(weights)]
    for path, count in zip(paths, threads, strict=True):
        load.spinners(path, count)
    shares = [used / want for used, want in zip(cpus_of(paths), ideal, strict=True)]
    measured(
        f"weights {weights}, threads {threads}: each one's cpus of what is ideal", ", ".join(f"{s:.3f}" for s in shares)
    )
    assert shares == pytest.approx([1] * len(shares), abs=CLOSE)


def test_containers_share_their_pods_part(layer, measured):
    layer("pod", 100)
    paths = [layer("pod/a", 100), layer("pod/b", 300), layer("other", 300)]
    for path, count in zip(paths, (8, 2, 4), strict=True):
        load.spinners(path, count)
    shares = [used / want for used, want in zip(cpus_of(paths), (0.25, 0.75, 3), strict=True)]
    measured("nested 1 (1, 3) : 3: each one's cpus of what is ideal", ", ".join(f"{s:.3f}" for s in shares))
    assert shares == pytest.approx([1] * len(shares), abs=CLOSE)


def test_a_new_weight_holds_at_once(layer):
    paths = [layer("a", 100), layer("b", 100)]
    for path in paths:
        load.spinners(path, 4)
    assert cpus_of(paths) == pytest.approx([2, 2], rel=CLOSE)
    (paths[1] / "cpu.weight").write_text("300")
    assert cpus_of(paths) == pytest.approx([1, 3], rel=CLOSE)


def test_nice_holds_inside_a_cgroup(layer, measured):
    path = layer("a", 100)
    plain = load.spinners(path, 4)
    nice = [load.Spinner(path, None, ["nice", "-n", "5"]).until_in() for _ in range(4)]
    time.sleep(SETTLING_S)
    before = [sum(one.ran_s() for one in group) for group in (plain, nice)]
    time.sleep(WINDOW_S)
    plain_s, nice_s = (
        sum(one.ran_s() for one in group) - was for group, was in zip((plain, nice), before, strict=True)
    )
    measured("time at nice 5 for each second at nice 0", f"{nice_s / plain_s:.3f}")
    assert nice_s / plain_s == pytest.approx(335 / 1024, rel=0.05)  # sched_prio_to_weight


def test_an_idle_cgroup_runs_when_nothing_else_would(layer, measured):
    idle, busy = layer("idle", 100), layer("busy", 100)
    (idle / "cpu.idle").write_text("1")
    load.spinners(idle, 4)
    assert cpus_of([idle])[0] == pytest.approx(CPUS, rel=CLOSE)
    spinners = load.spinners(busy, 4)
    used = cpus_of([idle, busy])
    measured("an idle cgroup's part of the cpus, beside spinners on every one", f"{used[0] / CPUS:.4f}")
    assert used[0] <= IDLE_MOST * CPUS
    assert used[1] >= (1 - IDLE_MOST - CLOSE) * CPUS
    for one in spinners[1:]:
        one.kill()
    assert cpus_of([idle])[0] == pytest.approx(CPUS - 1, rel=CLOSE)


def test_the_controller_comes_to_those_who_run_already(layer, measured):
    """Cgroups with tasks become siblings by weight, and stop being it, without a commit."""
    paths = [cgroups.make(f"test-w/{name}") for name in ("a", "b")]
    for path in paths:
        load.spinners(path, 4)
    assert cpus_of(paths) == pytest.approx([2, 2], rel=0.1)
    paths = [layer(path.name, weight) for path, weight in zip(paths, (100, 300), strict=True)]
    cpus = cpus_of(paths)
    measured("enabled beneath their parent, weights 1 and 3: cpus", ", ".join(f"{one:.2f}" for one in cpus))
    assert cpus == pytest.approx([1, 3], rel=CLOSE)
    (paths[0].parent / "cgroup.subtree_control").write_text("-cpu")
    assert cpus_of(paths) == pytest.approx([2, 2], rel=0.1)
