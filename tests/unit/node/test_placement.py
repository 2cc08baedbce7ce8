from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.node import placement
from temper.node.placement import MAX_POD_THREADS, MAX_THREADS, Sampler, Watched, _parse_stat

SECOND = 1_000_000_000


def stat_text(tid, *, name="worker", cpu=0, ticks=0, started=5, policy=7, rt_priority=0):
    """proc_pid_stat(5): 52 fields."""
    fields = [
        "S",
        *["1"] * 10,
        str(ticks),
        "0",
        *["0"] * 6,
        str(started),
        *["0"] * 16,
        str(cpu),
        str(rt_priority),
        str(policy),
    ]
    return f"{tid} ({name}) {' '.join(fields)} {' '.join(['0'] * 11)}\n"


class Tree:
    """A machine of pods with threads, below a temporary directory."""

    def __init__(self, root):
        self.cgroups, self.proc = root / "cgroup", root / "proc"
        self.now = SECOND
        self.sampler = Sampler(str(self.cgroups), str(self.proc), clock_ns=lambda: self.now)

    def pod(self, name, used_usec, **containers):
        (self.cgroups / name).mkdir(parents=True, exist_ok=True)
        (self.cgroups / name / "cpu.stat").write_text(f"usage_usec {used_usec}\nuser_usec 1\n")
        for container, tids in containers.items():
            path = self.cgroups / name / container
            path.mkdir(parents=True, exist_ok=True)
            (path / "cgroup.threads").write_text("".join(f"{tid}\n" for tid in tids))

    def thread(self, tid, **fields):
        path = self.proc / f"{tid}/task/{tid}"
        path.mkdir(parents=True, exist_ok=True)
        (path / "stat").write_text(stat_text(tid, **fields))

    def look(self, *names, epoch=None):
        self.now += SECOND
        return self.sampler.look({name: Watched([name], epoch) for name in names})


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_a_thread_is_seen_where_it_ran_and_how_much(tree):
    tree.pod("a", 0, app=[7])
    tree.thread(7, cpu=3, ticks=100, name="x) y", policy=1, rt_priority=9)
    (first,) = tree.look("a").threads
    assert (first.pod, first.tid, first.name, first.cpu, first.share) == ("a", 7, "x) y", 3, 0)
    assert (first.policy, first.rt_priority) == (1, 9)
    tree.pod("a", 500_000)
    tree.thread(7, cpu=2, ticks=150)
    (second,) = tree.look("a").threads
    assert (second.cpu, second.cpu_before, second.share) == (2, 3, 0.5)


def test_containers_are_listed_at_any_depth(tree):
    tree.pod("a", 9, pause=[1], **{"app/nested": [2], "app/nested/deep": [3]})
    for tid in (1, 2, 3):
        tree.thread(tid)
    assert {thread.tid for thread in tree.look("a").threads} == {1, 2, 3}


def test_the_pods_use_is_of_the_time_between_two_looks(tree):
    tree.pod("a", 1_000_000)
    tree.pod("b", 0)
    assert tree.look("a", "b").used_millicpu == {}
    tree.pod("a", 2_500_000)
    look = tree.look("a", "b")
    assert look.used_millicpu == {"a": 1500, "b": 0}


def test_a_pod_of_several_cgroups_is_their_sum(tree):
    tree.pod("a", 100, app=[1])
    tree.pod("b", 50, app=[2])
    tree.thread(1)
    tree.thread(2)
    look = tree.sampler.look({"both": Watched(["a", "b"])})
    assert {(thread.pod, thread.tid) for thread in look.threads} == {("both", 1), ("both", 2)}


def test_idle_pods_cost_one_read(tree, monkeypatch):
    tree.pod("idle", 5, app=[1])
    tree.thread(1)
    assert len(tree.look("idle").threads) == 1
    monkeypatch.setattr(placement, "_children", lambda _: pytest.fail("an idle pod was listed"))
    assert tree.look("idle").threads == ()


def test_another_epoch_and_another_thread_of_that_number_are_not_compared_with(tree):
    tree.pod("a", 0, app=[1, 2])
    tree.thread(1, ticks=10)
    tree.thread(2, ticks=10)
    tree.look("a", epoch="first")
    tree.pod("a", 900_000)
    tree.thread(1, ticks=90)
    tree.thread(2, ticks=90)
    assert [thread.over_ns for thread in tree.look("a", epoch="second").threads] == [0, 0]
    tree.pod("a", 1_800_000)
    tree.thread(1, ticks=95)
    tree.thread(2, ticks=95, started=6)
    assert [thread.over_ns for thread in tree.look("a", epoch="second").threads] == [SECOND, 0]


def test_what_vanishes_is_left_out(tree):
    tree.pod("a", 7, app=[1, 2, 0])
    tree.thread(1)
    look = tree.look("a", "gone")
    assert [thread.tid for thread in look.threads] == [1]
    assert tree.look("a", "gone").used_millicpu == {"a": 0, "gone": 0}
    assert tree.sampler.look({}).threads == ()
    assert tree.sampler.look({"none": Watched([])}).used_millicpu == {}


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [({"a": "150000 100000", "b": "50000 100000"}, 2000), ({"a": "max 100000"}, None), ({}, None)],
)
def test_the_quota_of_a_busy_pod(tree, quotas, expected):
    for used in (0, 900_000):
        for name in ("a", "b"):
            tree.pod(name, used)
            (tree.cgroups / name / "cpu.max").write_text(quotas.get(name, "max 100000"))
        tree.now += SECOND
        look = tree.sampler.look({"both": Watched(["a", "b"])})
    assert look.used_millicpu == {"both": 1800}
    assert look.quota_millicpu == ({} if expected is None else {"both": expected})


@pytest.mark.parametrize("text", ["", "user_usec 5", "usage_usec x", "usage_usec"])
def test_what_is_no_cpu_stat_is_nothing_used(tree, text):
    tree.pod("a", 5)
    (tree.cgroups / "a/cpu.stat").write_text(text)
    tree.look("a")
    assert tree.look("a").used_millicpu == {"a": 0}


def test_a_pod_has_a_bound_and_its_busiest_keep_their_places(tree):
    tids = range(1, 4 * MAX_POD_THREADS)
    reads = Counter()
    for turn in range(20):
        tree.pod("a", turn * 900_000, app=tids)
        for tid in tids:
            tree.thread(tid, ticks=turn * 50 if tid == 77 else 0)
        look = tree.look("a")
        assert len(look.threads) + look.nr_unread == len(tids)
        assert len(look.threads) <= MAX_POD_THREADS
        assert 77 in (thread.tid for thread in look.threads) or reads[77] < 2
        reads.update(thread.tid for thread in look.threads)
    assert reads.keys() == set(tids)
    assert reads[77] > 8


def test_a_look_has_a_bound_and_the_busiest_pods_come_first(tree):
    names = [f"p{number:02}" for number in range(2 * MAX_THREADS // MAX_POD_THREADS)]
    tids = {name: range(1000 * number, 1000 * number + MAX_POD_THREADS) for number, name in enumerate(names, start=1)}
    for name in names:
        tree.pod(name, 0, app=tids[name])
        for tid in tids[name]:
            tree.thread(tid)
    tree.look(*names)
    for number, name in enumerate(names):
        tree.pod(name, (number + 1) * 10_000)
    look = tree.look(*names)
    assert len(look.threads) == MAX_THREADS
    assert {thread.pod for thread in look.threads} == set(names[-MAX_THREADS // MAX_POD_THREADS :])


def test_what_is_no_longer_read_is_forgotten(tree):
    tree.pod("a", 0, app=[1])
    tree.thread(1)
    tree.look("a")
    for _ in range(2 * placement.KEEP_LOOKS):
        tree.look()
    assert tree.sampler._seen == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [("Cpus_allowed_list:\t0-2,5", {0, 1, 2, 5}), ("Cpus_allowed_list:\trubbish", None), ("Name:\tx", None)],
)
def test_affinity(tree, line, expected):
    tree.thread(7)
    (tree.proc / "7/task/7/status").write_text(f"Name:\ta\n{line}\n")
    assert tree.sampler.allowed(7) == expected
    assert tree.sampler.allowed(8) is None


@given(st.text())
def test_a_name_may_hold_anything(name):
    stat = _parse_stat(stat_text(1, name=name, cpu=6, ticks=3).encode(errors="surrogateescape"))
    assert (stat.cpu, stat.ticks) == (6, 3)
    assert stat.name.isprintable()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_stat_or_none(data):
    _parse_stat(data)
