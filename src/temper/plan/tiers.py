"""The five tiers and what each means to the scheduler."""

from __future__ import annotations

from enum import StrEnum

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
