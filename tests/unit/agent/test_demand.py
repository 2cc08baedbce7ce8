"""Counters of an engine, reading by reading, and what the next plan is asked for."""

from types import SimpleNamespace

import pytest

from temper.agent.demand import Follower
from temper.plan.demand import NO_DEMAND, Demand
from temper.plan.machine import Cpu, Machine
from temper.plan.planner import make_plan
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload
from temper.wire.messages import LayerStats

S = 1_000_000_000
EIGHT = Machine(tuple(Cpu(cpu, cpu, 0, 0) for cpu in range(8)))
ASKED = [
    Workload("db", Tier.CRITICAL, (1,), 1000),
    Workload("api", Tier.HIGH, (2,), 4000),
    Workload("web", Tier.NORMAL, (3,), 1000),
]


@pytest.fixture
def engine(events):
    """run(high=0.5, ...): so many cpus for five seconds, then a reading, heard: is a plan due? plan: in force."""
    made = SimpleNamespace(follower=Follower(), plan=make_plan(EIGHT, ASKED), now_ns=7 * S, counts={}, asked=ASKED)

    def run(seconds=5, **used):
        made.now_ns += seconds * S
        for name in ("critical", "high", "normal"):
            runs, ran_ns = made.counts.get(name, (0, 0))
            made.counts[name] = runs + 1000, ran_ns + round(used.get(name, 0) * seconds * S)
        stats = {name: LayerStats(nr_runs=runs, run_ns=ns) for name, (runs, ns) in made.counts.items()}
        return made.follower.hear(stats, made.now_ns, made.plan)

    def commit():
        made.plan = make_plan(EIGHT, made.asked, made.follower.demand)
        return {size.layer: size.owned for size in made.plan.sizes}

    made.run, made.commit = run, commit
    return made


def test_the_first_reading_says_nothing(engine):
    assert not engine.run(high=60, normal=60)
    assert (engine.follower.demand, engine.follower.used_millicpu) == (NO_DEMAND, {})


def test_a_use_that_fits_changes_nothing(engine):
    engine.run()
    assert not any(engine.run(critical=9, high=3, normal=0.8) for _ in range(100))
    assert engine.follower.used_millicpu == {"critical": 9000, "high": 3000, "normal": 800}
    assert engine.follower.nr_resizes == 0
    assert engine.commit() == {"critical": 1, "high": 4, "normal": 1}


def test_growth_is_asked_for_at_once(engine):
    engine.run()
    assert engine.run(high=3, normal=2)
    assert engine.follower.demand == {Tier.HIGH: Demand(4, 4, 3000), Tier.NORMAL: Demand(3, 1, 2000)}
    assert engine.commit() == {"critical": 1, "high": 4, "normal": 3}
    assert not engine.run(high=3, normal=2)


def test_an_idle_layer_gives_back_in_steps(engine):
    engine.run()
    sizes = []
    for _ in range(40):
        if engine.run(high=0.3, normal=0.8):
            sizes.append(engine.commit()["high"])
    assert sizes == [2, 1]
    assert engine.follower.nr_resizes == 2


def test_what_the_plan_in_force_lacks_is_asked_for_again(engine):
    """A commit may have been refused."""
    engine.run()
    assert engine.run(normal=2, high=3)
    assert engine.run(normal=2, high=3)
    engine.commit()
    assert not engine.run(normal=2, high=3)


def test_another_engine_begins_with_requests(engine):
    engine.run()
    while not engine.run(high=0.3, normal=0.8):
        pass
    assert engine.commit()["high"] == 2
    engine.counts.clear()  # it counts from 0
    assert engine.run(high=0.3, normal=0.8)
    assert engine.follower.demand == NO_DEMAND
    assert engine.commit()["high"] == 4
    assert not any(engine.run(high=0.3, normal=0.8) for _ in range(5))


def test_what_was_forgotten_is_measured_anew(engine):
    engine.run()
    assert engine.run(normal=2)
    engine.follower.forget()
    assert (engine.follower.demand, engine.follower.used_millicpu) == (NO_DEMAND, {})
    assert not engine.run(normal=2)
    assert engine.run(normal=2)


def test_a_layer_that_is_not_read_goes_back_to_its_requests(engine):
    engine.run()
    while not engine.run(high=0.3, normal=0.8):
        pass
    engine.commit()
    engine.now_ns += 5 * S
    stats = {"normal": LayerStats(nr_runs=10**9)}
    assert engine.follower.hear(stats, engine.now_ns, engine.plan)
    assert engine.commit() == {"critical": 1, "high": 4, "normal": 1}


def test_waits_count_for_the_layer_that_is_protected(engine):
    counts = {"nr_runs": 1000, "max_wait_ns": 9_000_000}
    late = {name: LayerStats(wait_hist=(900, *[0] * 11, 100, 0), **counts) for name in ("high", "normal")}
    engine.plan = make_plan(EIGHT, ASKED, {Tier.HIGH: Demand(1, 4, 0)})
    engine.follower.hear({name: LayerStats(nr_runs=1) for name in late}, 5 * S, engine.plan)
    assert engine.follower.hear(late, 10 * S, engine.plan)
    assert {tier: each.cpus for tier, each in engine.follower.demand.items()} == {Tier.HIGH: 2, Tier.NORMAL: 1}


def test_it_is_logged(engine, events):
    engine.run()
    engine.run(high=3, normal=2)
    assert events == [("resized", {"layer": "normal", "owned": 1, "cpus": 3, "used_millicpu": 2000})]
