from pathlib import Path

import pytest
from bench.guest.stage import Look
from bench.layers import fence_doubts, tier_doubts
from bench.scenario import Order, Seen
from bench.scenarios.ladder import Ladder

OURS = Look("enabled", "temper", 1)


def ladder(**settings):
    return Ladder(Order("ladder", 3, ("stock", "temper"), ("0", "8"), settings))


def seen(arm, **status):
    return Seen(arm, "2", OURS, OURS, {"status": status}, Path())


def test_the_rungs_are_multiples_of_the_nodes_cpus():
    assert [ladder().spinners(point) for point in ("0", "1", "8")] == [0, 3, 24]


def test_memcached_has_all_cpus_but_one_unless_it_is_said():
    assert (ladder().own, ladder().load.threads, ladder().load.rate) == (2, 2, 2320.0)
    assert (ladder(service_cpus=1).own, ladder(service_cpus=1).load.rate) == (1, 1160.0)
    assert ladder(rate=99.0, seconds=2.0).load.rate == 99.0
    assert ladder(seconds=2.0).load.period_s == 2.0


def enforcing(layers):
    return seen("temper", state="enforcing", layers=layers)


LAYERS = [{"name": "critical", "kind": "confined"}, {"name": "normal", "kind": "grouped"}]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (fence_doubts(seen("stock"), "critical"), None),
        (fence_doubts(enforcing(LAYERS), "critical"), None),
        (
            fence_doubts(enforcing(LAYERS), "normal"),
            "normal was grouped, not confined",
        ),
        (fence_doubts(enforcing([]), "critical"), "no layer critical"),
        (tier_doubts(enforcing(LAYERS), ["critical", "normal"]), None),
        (tier_doubts(seen("temper", state="detached", layers=[]), ["critical"]), "state was detached"),
        (tier_doubts(seen("temper"), ["critical"]), "not published"),
    ],
)
def test_the_agents_layers_are_what_the_scenario_means(found, reason):
    assert found == [] if reason is None else (len(found) == 1 and reason in found[0])
