"""Which cpus each tier gets.

The core of the lowest cpu (cpu 0 usually serves interrupts) is the reserve: no layer may keep others off it.
Above it, Critical takes whole cores from the high end, High the cpus below it, Normal what follows (it keeps
nobody away, so it may reach into the reserve). Each choice is compact: one last-level cache if one can hold
it, else one NUMA node, else as few of both as can be. Example, 4 cores of 2 threads, requested 3, 1 and 3:

    cpus 0,4: reserve, Normal    cpu 1: High    cpu 5: Normal    cpus 2,6 and 3,7: Critical

A tier without a fence may own fewer than it requests, or more, as measured demand says. Its cpus are then the first of
those that its requests would get it, and the tiers below take what it gave back last: so cpus come and go at the end,
a tier that takes back its own finds nobody settled there, and a size that changes moves nobody else while there's room.

Limit: all cpus count as equally fast, so on a hybrid machine the high end may be the slow one.

Invariants: a cpu is in one share at most; a fenced share is whole cores; only Normal may touch the reserve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from temper.plan.demand import NO_DEMAND, Demand, Demands, Limits
from temper.plan.machine import Machine
from temper.plan.tiers import Tier

NO_CPUS = Limits(0, 0)


@dataclass(frozen=True, slots=True)
class Share:
    """What one tier gets.

    requested: logical cpus that its pods ask for.
    room: cpus that it could have had; cpus: the ids that it has, ascending. More than requested when whole cores
    round up, or as demand says; fewer when cut, or as demand says.
    limits: of what demand may say.
    fenced: these are whole cores that others can be kept off (Critical only).
    """

    requested: int
    room: int = 0
    cpus: tuple[int, ...] = ()
    limits: Limits = NO_CPUS
    fenced: bool = False

    @property
    def cut(self) -> bool:
        """Whether there was less room than its requests need."""
        return self.room < self.requested


@dataclass(frozen=True, slots=True)
class Sizes:
    """The division of a machine. reserve: the cpus that are never protected, a whole core."""

    reserve: tuple[int, ...]
    fenceable: int
    critical: Share
    high: Share
    normal: Share

    def share(self, tier: Tier) -> Share:
        """The tier's share; an empty one for the tiers that own no cpus."""
        shares = {Tier.CRITICAL: self.critical, Tier.HIGH: self.high, Tier.NORMAL: self.normal}
        return shares.get(tier, Share(0))


@dataclass(frozen=True, slots=True)
class _Core:
    """A core and those of its cpus that nobody has taken. first: its lowest cpu id, which orders cores."""

    first: int
    llc: int
    node: int
    free: tuple[int, ...]


class _Pool(NamedTuple):
    """Cores with what is free of them. fresh: nobody above requests it; returned: somebody does, and doesn't use it."""

    fresh: list[_Core]
    returned: list[_Core]

    @property
    def room(self) -> int:
        return _count(self.fresh) + _count(self.returned)

    def order(self, count: int) -> tuple[int, ...]:
        """So many cpu ids (or all there are), the ones to have first in front."""
        first = _in_order(self.fresh, count)
        return first + _in_order(self.returned, count - len(first))

    def without(self, requested: tuple[int, ...], owned: tuple[int, ...]) -> _Pool:
        """What is left to the next tier."""
        back = {cpu for cpu in requested if cpu not in owned}
        given = (replace(core, free=tuple(cpu for cpu in core.free if cpu in back)) for core in self.fresh)
        returned = [*_without(self.returned, owned), *(core for core in given if core.free)]
        return _Pool(_without(self.fresh, {*requested, *owned}), returned)


def size(machine: Machine, requested: Mapping[Tier, int], demand: Demands = NO_DEMAND) -> Sizes:
    """Divide the machine. `requested`: logical cpus by tier; a tier that is missing gets none, whatever its demand."""
    reserve, *fenceable = _cores(machine)
    pool = _Pool(fenceable, [])
    critical, pool = _critical(pool, requested.get(Tier.CRITICAL), demand.get(Tier.CRITICAL))
    high, pool = _loose(pool, requested.get(Tier.HIGH), demand.get(Tier.HIGH), kept=True)
    pool = _Pool([reserve, *pool.fresh], pool.returned)
    normal, _ = _loose(pool, requested.get(Tier.NORMAL), demand.get(Tier.NORMAL))
    return Sizes(reserve.free, _count(fenceable), critical, high, normal)


def _cores(machine: Machine) -> list[_Core]:
    """All cores, ascending by their lowest cpu."""
    by_id = {cpu.id: cpu for cpu in machine.cpus}
    groups = (tuple(sorted(ids)) for ids in machine.cores().values())
    cores = (_Core(ids[0], by_id[ids[0]].llc, by_id[ids[0]].node, ids) for ids in groups)
    return sorted(cores, key=lambda core: core.first)


def _critical(pool: _Pool, requested: int | None, demand: Demand | None) -> tuple[Share, _Pool]:
    """Whole cores, by requests alone: a fence is a promise. If they are too few there is no fence, only preference."""
    room = pool.room
    if not requested or requested > room:
        return _loose(pool, requested, demand)
    cpus = _ids(_pick(pool.fresh, requested))
    return Share(requested, room, cpus, Limits(len(cpus), len(cpus)), fenced=True), pool.without(cpus, cpus)


def _loose(pool: _Pool, requested: int | None, demand: Demand | None, *, kept: bool = False) -> tuple[Share, _Pool]:
    """Single cpus. kept: others are kept off them, which is paid for by requests, so demand can't get more."""
    if requested is None:
        return Share(0), pool
    room = pool.room
    limits = Limits(min(1, requested, room), min(requested, room) if kept else room)
    wanted = requested if demand is None else limits.clamp(demand.cpus + max(0, requested - demand.requested))
    order = pool.order(max(requested, wanted))
    cpus = order[:wanted]
    return Share(requested, room, tuple(sorted(cpus)), limits), pool.without(order[:requested], cpus)


def _in_order(cores: Sequence[_Core], count: int) -> tuple[int, ...]:
    """The cpus of what `_pick` picks, in its order; the last core may be taken in part."""
    return tuple(cpu for core in _pick(cores, count) for cpu in core.free)[: max(0, count)]


def _pick(cores: Sequence[_Core], wanted: int) -> list[_Core]:
    """Cores that hold `wanted` free cpus (or all there are), in one cache if one can hold them."""
    caches = _grouped(cores, lambda core: (core.node, core.llc))
    if any(_count(cache) >= wanted for cache in caches):
        return _from_top(_best(caches, wanted), wanted)
    picked: list[_Core] = []
    for node in _fewest(_grouped(cores, lambda core: core.node), wanted):
        inside = _grouped(node, lambda core: core.llc)
        for cache in _fewest(inside, wanted - _count(picked)):
            picked += _from_top(cache, wanted - _count(picked))
    return picked


def _fewest(groups: list[list[_Core]], wanted: int) -> list[list[_Core]]:
    """As few groups as hold `wanted`: the largest ones whole, then the one that fits the rest."""
    chosen: list[list[_Core]] = []
    rest = list(groups)
    while rest and wanted > 0:
        best = _best(rest, wanted)
        rest.remove(best)
        chosen.append(best)
        wanted -= _count(best)
    return chosen


def _best(groups: Sequence[list[_Core]], wanted: int) -> list[_Core]:
    """The highest group that can hold `wanted`; when none can, the largest."""

    def rank(group: list[_Core]) -> tuple[int, int]:
        return min(_count(group), wanted), max(core.first for core in group)

    return max(groups, key=rank)


def _from_top(cores: Sequence[_Core], wanted: int) -> list[_Core]:
    """Cores from the high end until they hold `wanted`."""
    picked: list[_Core] = []
    for core in sorted(cores, key=lambda core: core.first, reverse=True):
        if wanted <= 0:
            break
        picked.append(core)
        wanted -= len(core.free)
    return picked


def _grouped(cores: Sequence[_Core], key: Callable[[_Core], object]) -> list[list[_Core]]:
    groups: dict[object, list[_Core]] = {}
    for core in cores:
        groups.setdefault(key(core), []).append(core)
    return list(groups.values())


def _without(cores: Sequence[_Core], taken: Iterable[int]) -> list[_Core]:
    """The cores that still have free cpus once `taken` are gone."""
    gone = set(taken)
    rest = (replace(core, free=tuple(cpu for cpu in core.free if cpu not in gone)) for core in cores)
    return [core for core in rest if core.free]


def _count(cores: Sequence[_Core]) -> int:
    return sum(len(core.free) for core in cores)


def _ids(cores: Sequence[_Core]) -> tuple[int, ...]:
    return tuple(sorted(cpu for core in cores for cpu in core.free))
