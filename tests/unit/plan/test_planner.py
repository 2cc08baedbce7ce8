import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temper.errors import InvalidInput
from temper.plan.demand import Demand
from temper.plan.explain import explain
from temper.plan.layers import DEFAULT, SYSTEM, Size
from temper.plan.machine import Cpu, Machine
from temper.plan.planner import ORDER, make_plan
from temper.plan.tiers import LayerKind, Quota, Tier, bandwidths
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


def demands():
    counts = st.one_of(st.integers(0, 8), st.integers(0, 600))
    return st.dictionaries(st.sampled_from(Tier), st.builds(Demand, counts, counts, st.integers(0, 600_000)))


@settings(max_examples=300, deadline=None)
@given(machines(), workload_lists(), demands())
def test_invariants(machine, workloads, demand):
    plan = make_plan(machine, workloads, demand)
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
    assert list(explain(plan, machine, workloads, demand)) == names
    assert [size.layer for size in plan.sizes] == [n for n in ("critical", "high", "normal") if n in names]
    for size in plan.sizes:
        layer = plan.layer(size.layer)
        assert (size.owned, size.owned <= size.room) == (len(layer.cpus), True)
        if layer.kind is LayerKind.CONFINED:
            assert not size.follows
        elif size.layer in demand:
            assert size.least <= size.owned <= size.most


@settings(max_examples=200, deadline=None)
@given(machines(), workload_lists(), demands())
def test_a_fence_does_not_follow_demand(machine, workloads, demand):
    plan, by_request = make_plan(machine, workloads, demand), make_plan(machine, workloads)
    for layer in by_request.layers:
        if layer.kind is LayerKind.CONFINED:
            assert plan.layer(layer.name) == layer


@settings(max_examples=200, deadline=None)
@given(machines(), workload_lists(), demands())
def test_what_is_owned_is_a_demand_that_changes_nothing(machine, workloads, demand):
    """So a follower that judges the plan in force, and finds it right, causes no commit."""
    plan = make_plan(machine, workloads, demand)
    same = {Tier(size.layer): Demand(size.owned, size.requested, 0) for size in plan.sizes if size.follows}
    assert make_plan(machine, workloads, demand | same) == plan


@settings(max_examples=200, deadline=None)
@given(machines(), workload_lists(), st.integers(0, 600), st.integers(0, 600))
def test_high_gives_back_the_last_of_its_cpus_first(machine, workloads, one, other):
    few, many = (make_plan(machine, workloads, {Tier.HIGH: Demand(cpus, 600, 0)}) for cpus in sorted((one, other)))
    if any(size.layer == "high" for size in few.sizes):
        assert set(few.layer("high").cpus) <= set(many.layer("high").cpus)


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


def test_each_tier_has_its_bandwidth_and_the_system_layers_have_none():
    given = bandwidths({Tier.LOW: Quota.SMOOTH}, 3, {Tier.HIGH: 2500})
    plan = make_plan(FOUR, [workload(tier, 500) for tier in Tier], bandwidths=given)
    found = {layer.name: (layer.smooth_periods, layer.ceiling_millicpu) for layer in plan.layers}
    assert found == {
        **{"system": (0, 0), "critical": (3, 0), "high": (3, 2500), "default": (0, 0)},
        **{"normal": (0, 0), "low": (3, 0), "background": (0, 0)},
    }
    assert plan != make_plan(FOUR, [workload(tier, 500) for tier in Tier])


@pytest.mark.parametrize(
    ("ceiling_millicpu", "said"),
    [
        (2499, ["tier high: 2.5 cpus requested, and its ceiling is 2.499: it gets no more than that"]),
        (2500, []),
        (0, []),
    ],
)
def test_a_ceiling_below_what_is_requested_is_noted(ceiling_millicpu, said):
    asked = [
        workload(Tier.HIGH, 1500, name="a"),
        workload(Tier.HIGH, 1000, 12, name="b"),
        workload(Tier.HIGH, None, 13, name="states nothing"),
        Workload("has no cgroup", Tier.HIGH, (), 5000),
        workload(Tier.NORMAL, 3000),
    ]
    plan = make_plan(FOUR, asked, bandwidths=bandwidths(ceilings_millicpu={Tier.HIGH: ceiling_millicpu}))
    assert [str(finding) for finding in plan.findings if "ceiling" in finding.message] == said


class TestDemand:
    def test_high_keeps_off_no_more_than_it_uses(self):
        plan = make_plan(FOUR, [workload(Tier.HIGH, 3000)], {Tier.HIGH: Demand(1, 3, 500)})
        assert (plan.layer("high").cpus, plan.layer("high").protected) == ((3,), True)
        assert plan.sizes == (Size("high", requested=3, owned=1, room=3, least=1, most=3),)

    def test_high_never_gets_more_than_it_requests(self):
        plan = make_plan(FOUR, [workload(Tier.HIGH, 1000)], {Tier.HIGH: Demand(3, 1, 3000)})
        assert plan.layer("high").cpus == (3,)

    def test_normal_may_get_all_that_is_free(self):
        plan = make_plan(FOUR, [workload(Tier.NORMAL, 1000)], {Tier.NORMAL: Demand(9, 1, 3900)})
        assert plan.layer("normal").cpus == (0, 1, 2, 3)

    def test_pods_that_came_since_are_sized_by_their_requests(self):
        demand = {Tier.HIGH: Demand(1, 1, 200)}
        plan = make_plan(FOUR, [workload(Tier.HIGH, 1000), workload(Tier.HIGH, 1500, 9, name="new")], demand)
        assert len(plan.layer("high").cpus) == 3

    def test_pods_that_left_take_their_protection_along(self):
        plan = make_plan(FOUR, [workload(Tier.HIGH, 1000)], {Tier.HIGH: Demand(3, 3, 2900)})
        assert plan.layer("high").cpus == (3,)

    def test_without_pods_a_demand_is_nothing(self):
        assert make_plan(FOUR, [], {Tier.HIGH: Demand(2, 2, 2000)}) == make_plan(FOUR, [])

    def test_a_demoted_critical_makes_room(self):
        """Whether there is a fence is for the requests to say."""
        asked = [workload(Tier.CRITICAL, 4000), workload(Tier.HIGH, 1000)]
        plan = make_plan(FOUR, asked, {Tier.CRITICAL: Demand(1, 4, 300)})
        critical, high = plan.layer("critical"), plan.layer("high")
        assert (critical.kind, critical.protected, critical.cpus) == (LayerKind.GROUPED, False, (3,))
        assert (high.cpus, high.protected) == ((2,), True)
        assert "4 cpus wanted, 3 can be fenced" in str(plan.findings[0])

    def test_what_was_cut_by_the_machine_is_said_whatever_the_use(self):
        plan = make_plan(FOUR, [workload(Tier.HIGH, 3500)], {Tier.HIGH: Demand(1, 4, 300)})
        assert "4 cpus wanted, 3 were left" in str(plan.findings[0])


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
