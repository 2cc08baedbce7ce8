import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temper.errors import InvalidInput
from temper.plan.explain import explain
from temper.plan.layers import DEFAULT, SYSTEM
from temper.plan.machine import Cpu, Machine
from temper.plan.planner import ORDER, make_plan
from temper.plan.tiers import LayerKind, Tier
from temper.plan.workloads import Workload, find_clashes

FOUR = Machine(tuple(Cpu(id=cpu, core=cpu, llc=0, node=0) for cpu in range(4)))


def workload(tier, millicpu=None, *ids, name="w", place=""):
    return Workload(name, tier, ids or (list(Tier).index(tier) + 1,), millicpu, place)


@st.composite
def machines(draw):
    """1 to 512 cpus; uneven caches and cores; siblings numbered side by side or far apart."""
    smt = draw(st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3))
    caches = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=8))
    cores = [(node, llc) for llc, (node, count) in enumerate(sorted(caches)) for _ in range(count)]
    slots = [(core, *where, t) for core, where in enumerate(cores) for t in range(smt[core % len(smt)])]
    if draw(st.booleans()):
        slots.sort(key=lambda slot: (slot[3], slot[0]))
    return Machine(tuple(Cpu(i, core, llc, node) for i, (core, node, llc, _) in enumerate(slots[:512])))


@st.composite
def workload_lists(draw):
    asked = st.one_of(st.none(), st.integers(0, 4000), st.integers(0, 600_000))
    drawn = draw(st.lists(st.tuples(st.sampled_from(Tier), asked, st.integers(0, 3)), max_size=8))
    return [
        Workload(f"w{index}", tier, tuple(range(10 * index, 10 * index + count)), millicpu)
        for index, (tier, millicpu, count) in enumerate(drawn)
    ]


@settings(max_examples=300, deadline=None)
@given(machines(), workload_lists())
def test_invariants(machine, workloads):
    plan = make_plan(machine, workloads)
    ids = {cpu.id for cpu in machine.cpus}
    owned = [cpu for layer in plan.layers for cpu in layer.cpus]
    kept = {cpu for layer in plan.layers if layer.protected for cpu in layer.cpus}
    names = [layer.name for layer in plan.layers]

    assert len(owned) == len(set(owned)), "each cpu has one owner"
    assert set(owned) <= ids, "no layer exceeds the machine"
    for layer in plan.layers:
        assert layer.cpus == tuple(sorted(layer.cpus))
        assert not layer.cpus or layer.kind is not LayerKind.OPEN
        if layer.kind is LayerKind.CONFINED:
            assert layer.cpus
            assert all(set(c) <= set(layer.cpus) for c in machine.cores().values() if set(c) & set(layer.cpus))
    assert any(kept.isdisjoint(core) for core in machine.cores().values()), "the open reserve"
    assert [layer.rank for layer in plan.layers] == list(range(len(plan.layers)))
    assert names == [name for name in ORDER if name in names]
    assert {SYSTEM, DEFAULT} <= set(names)
    assert {member.layer for member in plan.members} == set(names) - {SYSTEM, DEFAULT}
    members = [member.cgroup_id for member in plan.members]
    assert members == sorted(i for w in workloads for i in w.cgroup_ids)
    assert list(explain(plan, machine, workloads)) == names


@settings(max_examples=100, deadline=None)
@given(machines(), workload_lists(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_is_of_no_matter(machine, workloads, rng: random.Random):
    shuffled, cpus = list(workloads), list(machine.cpus)
    rng.shuffle(shuffled)
    rng.shuffle(cpus)
    assert make_plan(Machine(tuple(cpus)), shuffled) == make_plan(machine, workloads)


def test_an_idle_machine_has_the_two_system_layers():
    plan = make_plan(FOUR, [])
    assert [(layer.name, layer.kind, layer.preempts, layer.slice_us) for layer in plan.layers] == [
        ("system", LayerKind.OPEN, True, 5_000),
        ("default", LayerKind.OPEN, False, 20_000),
    ]
    assert (plan.members, plan.findings) == ((), ())


def test_every_tier_in_its_rank():
    plan = make_plan(FOUR, [workload(tier, 1000) for tier in Tier])
    assert [layer.name for layer in plan.layers] == [
        *("system", "critical", "high", "default", "normal", "low", "background")
    ]
    assert [layer.cpus for layer in plan.layers] == [(), (3,), (2,), (), (1,), (), ()]
    assert [layer.protected for layer in plan.layers] == [False, True, True, False, False, False, False]
    assert plan.findings == ()


def test_critical_that_does_not_fit_is_demoted_and_says_so():
    plan = make_plan(FOUR, [workload(Tier.CRITICAL, 2500), workload(Tier.CRITICAL, 1000, 99, name="x")])
    layer = plan.layer("critical")
    assert (layer.kind, layer.cpus) == (LayerKind.GROUPED, (1, 2, 3))
    assert (layer.protected, layer.exclusive, layer.preempts) == (False, False, True)
    assert [str(finding) for finding in plan.findings] == [
        (
            "tier critical: demoted from confined to grouped: 4 cpus wanted, 3 can be fenced as whole cores "
            "(cpu 0 stays open); it shares its cpus and still preempts"
        )
    ]


@pytest.mark.parametrize(
    ("workloads", "finding"),
    [
        (
            [workload(Tier.CRITICAL, place="f: workload[0]")],
            'f: workload[0]: "w" states no cpus; counted as 1',
        ),
        ([workload(Tier.HIGH)], 'w: "w" states no cpus; counted as 1'),
        (
            [workload(Tier.HIGH, 3500)],
            "tier high: 4 cpus wanted, 3 were left above the open reserve (cpu 0); it shares the rest",
        ),
        (
            [workload(Tier.CRITICAL, 2000), workload(Tier.NORMAL, 3000)],
            "tier normal: 3 cpus wanted, 2 were left by the tiers above; it shares the rest",
        ),
        (
            [Workload("w", Tier.CRITICAL, (), 64_000, "f")],
            'f: "w" has no cgroup now; left out until one appears',
        ),
    ],
)
def test_findings(workloads, finding):
    assert [str(found) for found in make_plan(FOUR, workloads).findings] == [finding]


def test_high_without_a_cpu_of_its_own_protects_nothing():
    plan = make_plan(FOUR, [workload(Tier.CRITICAL, 3000), workload(Tier.HIGH, 1000)])
    assert (plan.layer("high").cpus, plan.layer("high").protected) == ((), False)


def test_normal_without_requests_prefers_no_cpus():
    plan = make_plan(FOUR, [workload(Tier.NORMAL)])
    assert (plan.layer("normal").cpus, plan.findings) == ((), ())


def test_a_request_of_zero_still_gets_a_core():
    assert make_plan(FOUR, [workload(Tier.CRITICAL, 0)]).layer("critical").cpus == (3,)


def test_one_cgroup_in_two_workloads_is_refused():
    first, second = workload(Tier.LOW, None, 7, 8, name="a"), workload(Tier.HIGH, None, 8, 7, name="b")
    with pytest.raises(InvalidInput, match=r'a: "a" claims cgroup 7 \(and 1 more\), which .* "b" \(b\)'):
        make_plan(FOUR, [first, second])
    assert make_plan(FOUR, [workload(Tier.LOW, None, 7, 7)]).members[0].cgroup_id == 7


def test_clashes_are_named_by_path_where_one_is_known():
    pair = [
        workload(Tier.LOW, None, 7, name="a", place="f: workload[0]"),
        workload(Tier.LOW, None, 7, name="b"),
    ]
    (finding,) = find_clashes(pair, {7: '"x.slice"'})
    assert finding.message == '"b" claims cgroup "x.slice", which already belongs to "a" (f: workload[0])'
