"""docs/failure-modes/commit-rejected.md: the kernel side refuses a bad generation whole and keeps the old one."""

from __future__ import annotations

import random
from copy import replace

import pytest
from tests.kernel.harness import cgroups, kernel, load

from temper.engine.generations import write_config
from temper.errors import CommitRejected
from temper.node.cgroups import Cgroups
from temper.node.topology import read_machine
from temper.plan.eligible import eligible_cpus
from temper.plan.layers import Member, Plan
from temper.plan.planner import make_plan
from temper.plan.tiers import LayerKind, Tier
from temper.plan.workloads import Workload

CPUS = (0, 1, 2, 3)


def good_plan():
    """Critical confined to cpus 2 and 3."""
    cgroups.make("test-c")
    ids = tuple(found.id for found in Cgroups().match("test-c"))
    return make_plan(read_machine(), [Workload("c", Tier.CRITICAL, ids, 2000)])


def with_layer(plan, name, **changes):
    """The plan with one layer changed."""
    layers = tuple(replace(layer, **changes) if layer.name == name else layer for layer in plan.layers)
    return Plan(layers, plan.members)


BAD = {
    "a cpu owned by an open layer": (lambda plan: with_layer(plan, "default", cpus=(1,)), "cpu 1 is owned by a layer"),
    "confined, but no cpus": (lambda plan: with_layer(plan, "critical", cpus=()), "layer id 2 has no cpu"),
    "no open cpu": (lambda plan: with_layer(plan, "critical", cpus=CPUS), "layer id 1 has no cpu"),
    "a layer without a slice": (
        lambda plan: with_layer(plan, "critical", slice_us=0),
        "layer id 2 has an unknown kind",
    ),
    "default is not open": (lambda plan: with_layer(plan, "default", kind=LayerKind.GROUPED), "layer id 1 has an"),
    "a cpu that is not there": (lambda plan: with_layer(plan, "critical", cpus=(9,)), "layer critical owns cpu 9"),
    "too many cgroups": (
        lambda plan: Plan(plan.layers, tuple(Member(10**6 + n, "critical") for n in range(8193))),
        "8193 cgroups are mapped; 8192 is the most",
    ),
    "too many layers": (
        lambda plan: Plan(tuple(replace(plan.layers[0], name=f"l{n}") for n in range(14)), ()),
        "17 layers were ever named; 16 is the most",
    ),
}


def test_bad_plans_are_refused_whole(attached_scheduler):
    plan = good_plan()
    spinner = load.Spinner(cgroups.ROOT / "test-c").until_in()
    assert attached_scheduler.commit(plan).generation == 2
    load.until_each_ran([spinner])
    assert spinner.cpu() in (2, 3)
    for name, (spoil, culprit) in BAD.items():
        with pytest.raises(CommitRejected) as rejected:
            attached_scheduler.commit(spoil(plan))
        assert culprit in str(rejected.value), name
        assert in_force(attached_scheduler) == (2, 2), name
        assert spinner.cpu() in (2, 3), name
    assert attached_scheduler.commit(plan).generation == 3
    assert kernel.state() == "enabled"


def in_force(scheduler):
    """The generation in force as Python counts, and as the kernel side holds it."""
    return scheduler.generation, int(scheduler._control.generation)


def eligible_in_force(scheduler):
    """Layer name -> the cpus that the kernel side lets it run on; the layers of the last plan."""
    config = scheduler._configs[scheduler._slot]
    planned = {name: layer for name, layer in scheduler._ids.items() if config.layers[layer].kind}
    return {
        name: frozenset(cpu for cpu in range(scheduler._nr_cpus) if config.eligible[cpu] & (1 << layer))
        for name, layer in planned.items()
    }


def spoil_rank(config):
    """A rank that is not the layer's place in the order."""
    config.layers[1].rank = 7


def spoil_order(config):
    """A layer twice."""
    config.order[1] = config.order[0]


def spoil_generation(config):
    """Not newer than what is in force."""
    config.generation = 2


@pytest.mark.parametrize(
    ("spoil", "culprit"),
    [
        (spoil_rank, "layer id 1 has an unknown kind, a rank out of order"),
        (spoil_order, "layer id 0 has an unknown kind, a rank out of order"),
        (spoil_generation, "generation in slot 2 is not newer"),
    ],
)
def test_what_no_plan_can_say_is_refused_too(attached_scheduler, spoil, culprit):
    """The kernel side trusts no userspace: these are written past the planner."""
    plan = good_plan()
    attached_scheduler.commit(plan)
    config = attached_scheduler._configs[2]
    write_config(config, plan, attached_scheduler._ids, nr_cpus=len(CPUS))
    config.generation = 3
    spoil(config)
    with pytest.raises(CommitRejected, match=culprit):
        attached_scheduler._run_commit(2)
    assert in_force(attached_scheduler) == (2, 2)
    with pytest.raises(CommitRejected, match="slot 1 is in force"):
        attached_scheduler._run_commit(1)
    assert in_force(attached_scheduler) == (2, 2)


def test_the_same_plan_twice(attached_scheduler):
    plan = good_plan()
    first, second = attached_scheduler.commit(plan), attached_scheduler.commit(plan)
    assert first.nr_kicked > 0
    assert second.nr_kicked == 0
    assert in_force(attached_scheduler) == (3, 3)


def test_two_hundred_random_plans(attached_scheduler, measured):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)  # noqa: S311 - dice, not keys
    machine, names = read_machine(), [f"test-{n}" for n in range(6)]
    crowd = [one for name in names for one in load.spinners(cgroups.make(name), 2)]
    ids = [found.id for name in names for found in Cgroups().match(name)]
    took = []
    with kernel.Watch() as watch:
        for number in range(200):
            used = chance.sample(ids, chance.randint(0, len(ids)))
            plan = make_plan(
                machine,
                [Workload(str(n), chance.choice(list(Tier)), (n,), chance.randint(1, 4000)) for n in used],
            )
            committed = attached_scheduler.commit(plan)
            assert committed.generation == 2 * number + 2
            took.append(committed.kernel_ns)
            table = eligible_in_force(attached_scheduler)
            assert table == eligible_cpus(plan, [cpu.id for cpu in machine.cpus])
            assert attached_scheduler.commit(plan).nr_kicked == 0  # once more changes nothing
            assert eligible_in_force(attached_scheduler) == table
    measured("a commit's kernel side, median of 200", sorted(took)[100] / 1e9)
    measured("a commit's kernel side, longest of 200", max(took) / 1e9)
    assert watch.states == ["enabled"]
    load.until_each_ran(crowd)
