"""Each rule by a sample that breaks it and samples that come close; 4 cores of 2 threads: cpus 0,4 1,5 2,6 3,7."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.plan.lint import ABOUT, Invariant, lint, strays
from temper.plan.machine import Cpu, Machine
from temper.plan.planner import make_plan
from temper.plan.samples import LayerSample, PodSample, Sample, ThreadSample
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload

MACHINE = Machine(tuple(Cpu(cpu, cpu % 4, 0, 0) for cpu in range(8)))
# critical keeps 2,6 and 3,7; high keeps 1; cpus 0, 4 and 5 are open.
PLAN = make_plan(
    MACHINE,
    [
        Workload("db", Tier.CRITICAL, (1,), 4000),
        Workload("web", Tier.HIGH, (2,), 1000),
        Workload("batch", Tier.LOW, (3,)),
        Workload("proxy", None, (4,)),
    ],
)
DEMOTED = make_plan(MACHINE, [Workload("db", Tier.CRITICAL, (1,), 64_000)])
PODS = tuple(
    PodSample(pod=name, layer=layer)
    for name, layer in (("db", "critical"), ("web", "high"), ("batch", "low"), ("proxy", "system"))
)
TIDS = itertools.count(1)


def thread(pod, cpu, share=1.0, **more):
    before = more.pop("cpu_before", cpu)
    over_ns = 1_000_000_000
    return ThreadSample(
        pod=pod,
        tid=next(TIDS),
        name="t",
        cpu=cpu,
        cpu_before=before,
        ran_ns=int(share * over_ns),
        over_ns=over_ns,
        **more,
    )


def layer(name, **counts):
    fields = ("ran_ns", "wait_ns", "nr_runs", "nr_guest_runs", "nr_rescued", "longest_wait_ns")
    return LayerSample(layer=name, **(dict.fromkeys(fields, 0) | counts))


def found(*threads, plan=PLAN, pods=PODS, **more):
    verdicts = lint(Sample(machine=MACHINE, plan=plan, threads=threads, pods=pods, **more))
    return [(str(verdict.invariant), verdict.subject) for verdict in verdicts]


def test_the_plan_is_as_the_tests_think():
    assert {each.name: each.cpus for each in PLAN.layers if each.protected} == {"critical": (2, 3, 6, 7), "high": (1,)}


# ---- where threads ran ----


@pytest.mark.parametrize(
    ("pod", "cpu", "expected"),
    [
        ("db", 2, []),
        ("db", 0, [("layer_mismatch", "db")]),
        ("db", 1, [("layer_mismatch", "db")]),
        ("web", 1, []),
        ("web", 5, []),
        ("web", 7, [("layer_mismatch", "web")]),
        ("batch", 4, []),
        ("batch", 1, [("layer_mismatch", "batch")]),
        ("batch", 3, [("layer_mismatch", "batch")]),
        ("proxy", 1, []),
        ("proxy", 3, [("layer_mismatch", "proxy")]),
        ("unknown", 3, []),
    ],
)
def test_a_thread_runs_where_its_layer_may(pod, cpu, expected):
    assert found(thread(pod, cpu, share=0.3)) == expected


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ({3}, "cpuset_conflict"),
        ({3, 7}, "cpuset_conflict"),
        ({0, 3}, "layer_mismatch"),
        (set(range(8)), "layer_mismatch"),
        (None, "layer_mismatch"),
    ],
)
def test_who_had_no_choice_was_pinned(allowed, expected):
    pinned = thread("batch", 3, share=0.3, allowed=None if allowed is None else frozenset(allowed))
    assert found(pinned) == [(expected, "batch")]


@pytest.mark.parametrize("share", [0.0, 0.009])
def test_a_moment_is_no_finding(share):
    assert found(thread("batch", 3, share=share)) == []


def test_realtime_threads_are_not_ours_to_place():
    assert found(thread("batch", 3, share=0.3, policy=1)) == []


def test_without_a_plan_in_force_no_place_is_wrong():
    assert found(thread("batch", 3), thread("db", 0), plan=None) == []


def test_strays_are_the_threads_to_ask_about_busiest_first():
    threads = (thread("batch", 3, 0.2), thread("batch", 0), thread("batch", 7, 0.9), thread("batch", 2, 0.5, policy=2))
    sample = Sample(machine=MACHINE, plan=PLAN, threads=threads, pods=PODS)
    assert [each.cpu for each in strays(sample)] == [7, 3]
    assert strays(msgspec.structs.replace(sample, plan=None)) == ()


# ---- shared cores ----


def test_two_busy_threads_on_one_core_while_another_is_free():
    assert found(thread("db", 2), thread("db", 6)) == [("smt_collision", "db")]


@pytest.mark.parametrize(
    "threads",
    [
        [thread("db", 2), thread("db", 3)],
        [thread("db", 2), thread("db", 6), thread("db", 3)],
        [thread("db", 2), thread("db", 6, share=0.4)],
        [thread("db", 2), thread("db", 6, cpu_before=3)],
        [thread("web", 1), thread("batch", 5)],
    ],
    ids=["apart", "no core free", "one not busy", "met by chance", "not exclusive"],
)
def test_no_collision(threads):
    assert found(*threads) == []


def test_a_stranger_on_the_core_of_a_busy_thread():
    assert found(thread("db", 2), thread("batch", 6, share=0.1)) == [
        ("layer_mismatch", "batch"),
        ("smt_collision", "db"),
    ]


# ---- protection ----


def test_a_demoted_tier_that_ran():
    assert found(plan=DEMOTED, layers=(layer("critical", ran_ns=10**9, nr_runs=9),)) == [
        ("protected_fallback", "critical")
    ]
    assert found(plan=DEMOTED, layers=(layer("critical"),)) == []


@pytest.mark.parametrize(("guests", "wrong"), [(0, False), (19, False), (20, True), (500, True)])
def test_guest_runs_of_a_protected_layer(guests, wrong):
    layers = (layer("critical", nr_runs=1000, nr_guest_runs=guests), layer("low", nr_runs=1000, nr_guest_runs=900))
    assert found(layers=layers) == [("protected_fallback", "critical")] * wrong


@pytest.mark.parametrize(("shares", "wrong"), [((1, 1), False), ((1, 1, 0.5), True)])
def test_the_open_cpus_are_not_for_protected_tiers_alone(shares, wrong):
    threads = [thread("web", cpu, share) for cpu, share in zip((0, 4, 5), shares, strict=False)]
    assert found(*threads) == [("open_reserve", "node")] * wrong
    assert found(*(msgspec.structs.replace(each, pod="batch") for each in threads)) == []


# ---- the node ----


@pytest.mark.parametrize(
    ("policy", "share", "wrong"), [(1, 0.5, 1), (2, 1, 1), (6, 1, 1), (1, 0.4, 0), (7, 1, 0), (0, 1, 0)]
)
@pytest.mark.parametrize("plan", [PLAN, None])
def test_realtime_threads_that_hog(policy, share, wrong, plan):
    assert found(thread("batch", 0, share, policy=policy), plan=plan) == [("rt_hog", "batch")] * wrong


def test_drivers_that_mismatch_are_one_finding():
    assert found(mismatched=("a/1", "a/2", "a/3", "a/4"), plan=None) == [("cgroup_driver_mismatch", "node")]


MS = 1_000_000


@pytest.mark.parametrize(
    ("counts", "wrong"),
    [
        (layer("system", nr_runs=100, wait_ns=100 * 9 * MS), False),
        (layer("system", nr_runs=100, wait_ns=100 * 11 * MS), True),
        (layer("system", nr_runs=100, longest_wait_ns=99 * MS), False),
        (layer("system", nr_runs=100, longest_wait_ns=101 * MS), True),
        (layer("default", nr_runs=100, wait_ns=100 * 90 * MS, longest_wait_ns=2000 * MS), False),
        (layer("default", nr_runs=100, longest_wait_ns=2600 * MS), True),
        (layer("low", nr_runs=100, longest_wait_ns=2600 * MS), False),
    ],
)
def test_system_and_default_are_served_in_time(counts, wrong):
    assert found(layers=(counts,)) == [("system_starved", counts.layer)] * wrong
    assert found(layers=(counts,), plan=None) == []


@pytest.mark.parametrize(("mapped", "running", "wrong"), [(True, True, 0), (False, False, 0), (False, True, 1)])
def test_a_running_pod_has_a_cgroup(mapped, running, wrong):
    pod = PodSample(pod="a", layer="high", mapped=mapped, running=running)
    assert found(pods=(pod,), plan=None) == [("pod_unmapped", "a")] * wrong


@pytest.mark.parametrize(
    ("used", "quota", "wrong"),
    [(1600, 1500, 0), (1700, 1500, 1), (140, 100, 0), (160, 100, 1), (9000, None, 0), (None, 1500, 0)],
)
def test_no_more_than_the_quota(used, quota, wrong):
    pod = PodSample(pod="a", layer="low", used_millicpu=used, quota_millicpu=quota)
    assert found(pods=(pod,)) == [("quota_exceeded", "a")] * wrong
    assert found(pods=(pod,), plan=None) == []


@pytest.mark.parametrize(
    ("layer", "over_s", "used", "wrong"),
    [("high", 10, 1200, 0), ("high", 10, 1220, 1), ("high", 1, 2100, 0), ("high", 0, 1200, 1), ("low", 10, 1200, 1)],
)
def test_what_a_smooth_tier_s_pod_saved_up_it_may_use(layer, over_s, used, wrong):
    pod = PodSample(pod="a", layer=layer, used_millicpu=used, quota_millicpu=1000)
    assert found(pods=(pod,), over_ns=over_s * 1_000_000_000) == [("quota_exceeded", "a")] * wrong


@pytest.mark.parametrize(("pod_layer", "held", "wrong"), [("high", {2}, 1), ("critical", {2}, 0), ("low", {0, 5}, 0)])
def test_cpus_given_away_twice(pod_layer, held, wrong):
    pod = PodSample(pod="a", layer=pod_layer, held=frozenset(held))
    assert found(pods=(pod,)) == [("cpuset_conflict", "a")] * wrong


# ---- all together ----

_THREADS = st.builds(
    ThreadSample,
    pod=st.sampled_from(["db", "web", "batch", "proxy", "gone"]),
    tid=st.integers(1, 99),
    name=st.just("t"),
    cpu=st.integers(0, 11),
    cpu_before=st.integers(-1, 11),
    ran_ns=st.integers(0, 10**10),
    over_ns=st.sampled_from([0, 10**9]),
    policy=st.integers(0, 8),
    allowed=st.none() | st.frozensets(st.integers(0, 11)),
)


@given(
    st.lists(_THREADS, max_size=12, unique_by=lambda each: each.tid),
    st.randoms(),
    st.sampled_from([PLAN, DEMOTED, None]),
)
def test_any_sample_in_any_order_has_the_same_verdicts(threads, random, plan):
    sample = Sample(machine=MACHINE, plan=plan, threads=tuple(threads), pods=PODS)
    shuffled = random.sample(threads, len(threads))
    verdicts = lint(sample)
    assert lint(msgspec.structs.replace(sample, threads=tuple(shuffled))) == verdicts
    assert len({(each.invariant, each.subject) for each in verdicts}) == len(verdicts)
    assert all(each.message and each.fix for each in verdicts)


def test_every_invariant_says_what_holds_and_what_to_do():
    assert set(ABOUT) == set(Invariant)
    assert all(about.holds.endswith(".") and about.fix.endswith(".") for about in ABOUT.values())
