"""The five tiers and what each means to the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec


class Tier(StrEnum):
    """A workload's class of service, most urgent first."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    BACKGROUND = "background"


class LayerKind(StrEnum):
    """How a layer holds cpus.

    confined: whole cores of its own, and only those.
    grouped: preferred cpus, and it may spill onto open ones.
    open: whatever nobody else owns.
    """

    CONFINED = "confined"
    GROUPED = "grouped"
    OPEN = "open"


class Quota(StrEnum):
    """How cpu.max holds for a tier's cgroups.

    strict: the kernel's own rule, each period for itself.
    smooth: what a cgroup leaves of its periods it may use in later ones; over any longer time it gets no more.
    """

    STRICT = "strict"
    SMOOTH = "smooth"


class Bandwidth(msgspec.Struct, frozen=True):
    """How much cpu time a tier may take.

    smooth_periods: periods' worth of cpu.max that each of its cgroups may save up; 0 is strict.
    ceiling_millicpu: of all the tier's cpu time; 0 for none.
    """

    smooth_periods: int = 0
    ceiling_millicpu: int = 0


class TierRules(msgspec.Struct, frozen=True):
    """What a tier asks of its layer. `slice_us` is in microseconds."""

    kind: LayerKind
    protected: bool
    preempts: bool
    exclusive: bool
    slice_us: int


RULES: dict[Tier, TierRules] = {
    Tier.CRITICAL: TierRules(LayerKind.CONFINED, protected=True, preempts=True, exclusive=True, slice_us=5_000),
    Tier.HIGH: TierRules(LayerKind.GROUPED, protected=True, preempts=True, exclusive=False, slice_us=10_000),
    Tier.NORMAL: TierRules(LayerKind.GROUPED, protected=False, preempts=False, exclusive=False, slice_us=20_000),
    Tier.LOW: TierRules(LayerKind.OPEN, protected=False, preempts=False, exclusive=False, slice_us=30_000),
    # Background's slice is short to bound how long a higher tier waits for a cpu it may not preempt.
    Tier.BACKGROUND: TierRules(LayerKind.OPEN, protected=False, preempts=False, exclusive=False, slice_us=5_000),
}

# Who serves requests comes in bursts that a period's quota would cut; batch work only needs its average.
QUOTAS: dict[Tier, Quota] = {
    Tier.CRITICAL: Quota.SMOOTH,
    Tier.HIGH: Quota.SMOOTH,
    Tier.NORMAL: Quota.STRICT,
    Tier.LOW: Quota.STRICT,
    Tier.BACKGROUND: Quota.STRICT,
}

# At cpu.max's usual period of 100 ms, ten periods are a second's worth.
SMOOTH_PERIODS = 10
LEAST_SMOOTH_PERIODS, MOST_SMOOTH_PERIODS = 2, 100
LEAST_CEILING_MILLICPU = 10


def bandwidths(
    quotas: Mapping[Tier, Quota] = MappingProxyType({}),
    smooth_periods: int = SMOOTH_PERIODS,
    ceilings_millicpu: Mapping[Tier, int] = MappingProxyType({}),
) -> dict[Tier, Bandwidth]:
    """What holds for each tier where these are set, and the defaults where they aren't."""
    return {
        tier: Bandwidth(
            smooth_periods if quotas.get(tier, default) is Quota.SMOOTH else 0, ceilings_millicpu.get(tier, 0)
        )
        for tier, default in QUOTAS.items()
    }


DEFAULT_BANDWIDTHS: Mapping[Tier, Bandwidth] = MappingProxyType(bandwidths())
