"""Random workloads files that are all valid and never change what the service has: for reconfiguring under load."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.workloads import Rule

# Critical is left out: another Critical pod would share the service's cpus, and take its fence where cores are short.
TIERS = ("high", "normal", "low", "background")
SIZES = (0.25, 0.5, 1.0, 1.5, 2.0)  # cpus, or none stated; each is less than any node has


def variations(fixed: Sequence[Rule], pods: Sequence[str], seed: int) -> Iterator[tuple[Rule, ...]]:
    """For ever: the fixed rules, then one for each pod, of which some get another tier or size each time.

    At least one changes its tier, so no plan is the same as the one before it. pods: cgroups below pods/.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    rules = [Rule(pod, chance.choice(TIERS), f"pods/{pod}", _size(chance)) for pod in pods]
    while True:
        yield (*fixed, *rules)
        moved = chance.randrange(len(rules))
        others = [tier for tier in TIERS if tier != rules[moved].tier]
        rules[moved] = replace(rules[moved], tier=chance.choice(others), cpus=_size(chance))
        for index, rule in enumerate(rules):
            if index != moved and chance.random() < 0.5:
                rules[index] = replace(rule, cpus=_size(chance))


def _size(chance: random.Random) -> float | None:
    return chance.choice((None, *SIZES))
