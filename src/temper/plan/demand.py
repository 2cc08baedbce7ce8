"""How many cpus a layer should own, by what it used: a state machine from readings to sizes, and its limits.

A reading is the cpu time that a layer ran in some seconds. It grows at once to the least number of cpus that its use
fills to no more than FULL. It shrinks after CALM_NS in which no reading filled one cpu less than it owns to ROOMY, and
then by half of what the highest of these readings leaves over. Example, a layer that requests 8 cpus and uses 0.5:

    8, after 30 s 4, after 60 s 2, after 90 s 1; it uses 3.7: 5 at the next reading (3.7 fills 4 to more than 90 %)

The distance of FULL and ROOMY keeps a steady load from changing anything: from a size that was grown to, the use must
fall by a third before it shrinks, and from one that was shrunk to, rise by half before it grows. Only waits that
growing ended could come and go: a size at which tasks waited is remembered, and not gone back to until the use halved.

Limit: cpu time that tasks of the layer used anywhere counts, also as guests and on cpus that the kubelet pinned them
to. So the size may be too large, never beyond its limits, and never too small for what is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

from temper.plan.layers import Size
from temper.plan.tiers import Tier

# Millicpu used of each cpu owned. Above FULL there is no headroom for the next reading's five seconds.
FULL_MILLICPU = 900
ROOMY_MILLICPU = 600
# A service that works in bursts should find its cpus still there: six readings without one.
CALM_NS = 30_000_000_000
# What one reading may count as calm. The mean over a minute (an agent that was stopped) would hide a burst.
MOST_CALM_NS = 10_000_000_000


class Demand(NamedTuple):
    """What was made of the last readings of a tier.

    cpus: logical cpus that it should own; requested: what its pods requested then. What they request more by now
    comes on top: pods that have just come are measured by nobody yet.
    """

    cpus: int
    requested: int
    used_millicpu: int


Demands = Mapping[Tier, Demand]
NO_DEMAND: Demands = MappingProxyType({})


class Limits(NamedTuple):
    """Logical cpus that a layer may own, both included."""

    least: int
    most: int

    def clamp(self, cpus: int) -> int:
        """The nearest number that is allowed."""
        return max(self.least, min(cpus, self.most))


class Reading(NamedTuple):
    """What a layer did over a few seconds. waited: its tasks had to wait, and more cpus of its own could help."""

    used_millicpu: int
    over_ns: int
    waited: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """Of one layer.

    cpus: the size that is right. calm_ns: for how long no reading has spoken against a smaller one; peak_millicpu: the
    highest of these readings. small_cpus: a size at which tasks waited though it wasn't full; small_millicpu: the use
    then.
    """

    cpus: int
    calm_ns: int = 0
    peak_millicpu: int = 0
    small_cpus: int = 0
    small_millicpu: int = 0

    def owning(self, cpus: int) -> State:
        """The same with another size: what the plan in force gives it."""
        return self if cpus == self.cpus else replace(self, cpus=cpus)


def follow(state: State, reading: Reading, limits: Limits) -> State:
    """The next state. Its size is within the limits; one that differs is for a commit to put in force."""
    state = replace(state, cpus=limits.clamp(state.cpus))
    enough = -(-reading.used_millicpu // FULL_MILLICPU)
    if reading.waited or enough > state.cpus:
        return _grown(state, reading, enough, limits)
    if state.cpus == limits.least or reading.used_millicpu >= ROOMY_MILLICPU * (state.cpus - 1):
        return replace(state, calm_ns=0, peak_millicpu=0)
    calm = replace(
        state,
        calm_ns=state.calm_ns + min(reading.over_ns, MOST_CALM_NS),
        peak_millicpu=max(state.peak_millicpu, reading.used_millicpu),
    )
    return calm if calm.calm_ns < CALM_NS else _shrunk(calm, limits)


def _grown(state: State, reading: Reading, enough: int, limits: Limits) -> State:
    """To what is enough; one more where it should have been, and yet tasks waited."""
    was = state.cpus
    if enough > was:
        return replace(state, cpus=limits.clamp(enough), calm_ns=0, peak_millicpu=0)
    return State(limits.clamp(was + 1), small_cpus=was, small_millicpu=reading.used_millicpu)


def _shrunk(state: State, limits: Limits) -> State:
    """By half the gap to the least size that the calm's highest reading leaves roomy. The calm begins anew."""
    floor = limits.clamp(state.peak_millicpu // ROOMY_MILLICPU + 1)
    if 2 * state.peak_millicpu >= state.small_millicpu:
        floor = max(floor, state.small_cpus + 1)
    gap = max(0, state.cpus - floor)
    return replace(state, cpus=state.cpus - (gap + 1) // 2, calm_ns=0, peak_millicpu=0)


def judge(states: Mapping[str, State], sizes: Iterable[Size], readings: Mapping[str, Reading]) -> dict[str, State]:
    """Layer -> its next state, for each that was read and whose size may follow demand.

    What it owns by the plan in force is what is judged, so a size that a commit failed to put in force is asked again.
    """
    return {
        size.layer: follow(
            states.get(size.layer, State(size.owned)).owning(size.owned),
            readings[size.layer],
            Limits(size.least, size.most),
        )
        for size in sizes
        if size.follows and size.layer in readings
    }


def demands(states: Mapping[str, State], sizes: Iterable[Size], readings: Mapping[str, Reading]) -> dict[Tier, Demand]:
    """What a plan needs of these states, judged by these sizes and readings."""
    return {
        Tier(size.layer): Demand(states[size.layer].cpus, size.requested, readings[size.layer].used_millicpu)
        for size in sizes
        if size.layer in states
    }
