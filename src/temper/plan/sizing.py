"""Which cpus each tier gets.

The core of the lowest cpu (cpu 0 usually serves interrupts) is the reserve: no layer may keep others off it.
Above it, Critical takes whole cores from the high end, High the cpus below it, Normal what follows (it keeps
nobody away, so it may reach into the reserve). Each choice is compact: one last-level cache if one can hold
it, else one NUMA node, else as few of both as can be. Example, 4 cores of 2 threads, wanted 3, 1 and 3:

    cpus 0,4: reserve, Normal    cpu 1: High    cpu 5: Normal    cpus 2,6 and 3,7: Critical

Limit: all cpus count as equally fast, so on a hybrid machine the high end may be the slow one.

Invariants: a cpu is in one share at most; a fenced share is whole cores; only Normal may touch the reserve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from temper.plan.machine import Machine
from temper.plan.tiers import Tier


@dataclass(frozen=True, slots=True)
class Share:
    """What one tier gets.

    wanted: logical cpus asked for.
    cpus: cpu ids, ascending; fewer than wanted when cut, more when whole cores round up.
    fenced: these are whole cores that others can be kept off (Critical only).
    """

    wanted: int
    cpus: tuple[int, ...] = ()
    fenced: bool = False

    @property
    def cut(self) -> bool:
        """Whether there were fewer cpus than wanted."""
        return len(self.cpus) < self.wanted


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


def size(machine: Machine, wanted: Mapping[Tier, int]) -> Sizes:
    """Divide the machine. `wanted`: logical cpus by tier; a tier that is missing or 0 gets none."""
    reserve, *fenceable = _cores(machine)
    room = _count(fenceable)
    critical = _critical(fenceable, wanted.get(Tier.CRITICAL, 0))
    left = _without(fenceable, critical.cpus)
    high = _loose(left, wanted.get(Tier.HIGH, 0))
    left = _without([reserve, *left], high.cpus)
    normal = _loose(left, wanted.get(Tier.NORMAL, 0))
    return Sizes(reserve.free, room, critical, high, normal)


def _cores(machine: Machine) -> list[_Core]:
    """All cores, ascending by their lowest cpu."""
    by_id = {cpu.id: cpu for cpu in machine.cpus}
    groups = (tuple(sorted(ids)) for ids in machine.cores().values())
    cores = (_Core(ids[0], by_id[ids[0]].llc, by_id[ids[0]].node, ids) for ids in groups)
    return sorted(cores, key=lambda core: core.first)


def _critical(cores: Sequence[_Core], wanted: int) -> Share:
    """Whole cores; if there are too few the share is all of them, and it can't be fenced."""
    if not wanted:
        return Share(0)
    picked = _pick(cores, wanted)
    return Share(wanted, _ids(picked), fenced=_count(picked) >= wanted)


def _loose(cores: Sequence[_Core], wanted: int) -> Share:
    """Single cpus: the last core picked may be taken in part."""
    picked = _pick(cores, wanted)
    excess = _count(picked) - wanted
    if excess > 0:
        last = picked.pop()
        picked.append(replace(last, free=last.free[:-excess]))
    return Share(wanted, _ids(picked))


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


def _without(cores: Sequence[_Core], taken: Sequence[int]) -> list[_Core]:
    """The cores that still have free cpus once `taken` are gone."""
    gone = set(taken)
    rest = (replace(core, free=tuple(cpu for cpu in core.free if cpu not in gone)) for core in cores)
    return [core for core in rest if core.free]


def _count(cores: Sequence[_Core]) -> int:
    return sum(len(core.free) for core in cores)


def _ids(cores: Sequence[_Core]) -> tuple[int, ...]:
    return tuple(sorted(cpu for core in cores for cpu in core.free))
