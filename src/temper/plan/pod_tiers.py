"""Which tier a pod belongs to, and why, in a sentence for people.

    priority >= 2000000000, or a system PriorityClass    no tier: the system layer
    priority 0 without a PriorityClass                   normal, but background when BestEffort
    any other                                            by the thresholds

The second rule makes an untouched cluster behave: nobody has asked for anything there, and a pod that doesn't even
state a request is the first to wait.

A pod's annotation `temper.codes/tier` (or `infera.io/tier`) may lower its tier. It may raise it only where the operator
allows that: whoever may create a pod may annotate it, while a PriorityClass can be kept from people by a quota.
System pods don't heed it at all. Raised, kube-proxy would be fenced off the packets of other cpus; lowered, the whole
node would wait for it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import msgspec

from temper.plan.pods import ANNOTATION_PREFIXES, Pod, QosClass
from temper.plan.tiers import Tier

# Kubernetes' own: system-cluster-critical is this, system-node-critical 1000 more; users' classes end at a billion.
SYSTEM_PRIORITY = 2_000_000_000
SYSTEM_PRIORITY_CLASSES = frozenset({"system-cluster-critical", "system-node-critical"})

TIER_ANNOTATIONS = tuple(f"{prefix}tier" for prefix in ANNOTATION_PREFIXES)

_TIERS = tuple(Tier)
_SHOWN = 40  # characters of a wrong annotation that the reason repeats


class Thresholds(msgspec.Struct, frozen=True):
    """The least priority of each tier but Background, which takes the rest. ValueError unless strictly descending.

    A threshold above a billion keeps every user's pod out of its tier.
    """

    critical: int = 1_000_000
    high: int = 100_000
    normal: int = 0
    low: int = -100

    def __post_init__(self) -> None:
        for (above, upper), (below, lower) in pairwise(self._minimums().items()):
            if upper <= lower:
                raise ValueError(
                    f"{below} ({lower}) is not below {above} ({upper}); "
                    "the thresholds descend: critical > high > normal > low"
                )

    def decide(self, priority: int) -> tuple[Tier, str]:
        """The tier of this priority, and why."""
        for tier, minimum in self._minimums().items():
            if priority >= minimum:
                return tier, f"priority {priority} >= {minimum}"
        return Tier.BACKGROUND, f"priority {priority} < {self.low}"

    def _minimums(self) -> dict[Tier, int]:
        return {Tier.CRITICAL: self.critical, Tier.HIGH: self.high, Tier.NORMAL: self.normal, Tier.LOW: self.low}


# koordinator: its four bands are prod 9000-9999, mid 7000-7999, batch 5000-5999 and free 3000-3999, and by the default
# thresholds all of them are Normal. Prod becomes High, not Critical: it is one band for the latency-sensitive pods that
# share cpus (LS) and the few that have them exclusively (LSR, LSE: koordlet pins those by cpuset already), and whole
# cores for each of them would leave none to batch. Mid becomes Normal, batch Low, free Background; the gaps between
# the bands belong to the tier below them. Critical stays free for classes of the operator's own, from 10000 on.
PRESETS = {
    "default": Thresholds(),
    "koordinator": Thresholds(critical=10_000, high=9_000, normal=7_000, low=5_000),
}


class Rules(msgspec.Struct, frozen=True):
    """What the operator decides. allow_raise: a pod's annotation may also raise its tier."""

    thresholds: Thresholds = Thresholds()
    allow_raise: bool = False


class Decision(NamedTuple):
    """What was decided for a pod.

    tier: None stands for the system layer.
    reason: one sentence for people; printable whatever the pod's annotations hold.
    asked: the value of the pod's tier annotation, printable and shortened; empty when it has none.
    """

    tier: Tier | None
    reason: str
    asked: str = ""


class _Wish(NamedTuple):
    """A pod's tier annotation. name: which one it is, and which one it overrules; tier: None for an unknown value."""

    name: str
    value: str
    tier: Tier | None


def decide(pod: Pod, rules: Rules) -> Decision:
    """The tier of a pod, or the system layer."""
    wish = _read_wish(pod)
    if why := _why_system(pod):
        return _decide_system(why, wish)
    tier, why = _by_priority(pod, rules.thresholds)
    if wish is None:
        return Decision(tier, f"{why}: {tier}")
    chosen, remark = _heed(wish, tier, rules)
    return Decision(chosen, f"{why}: {tier}; {wish.name} {remark}", wish.value)


def _why_system(pod: Pod) -> str:
    """Why it is a system pod; empty when it is none."""
    if pod.priority >= SYSTEM_PRIORITY:
        return f"priority {pod.priority} >= {SYSTEM_PRIORITY}"
    if pod.priority_class in SYSTEM_PRIORITY_CLASSES:
        return f"PriorityClass {pod.priority_class}"
    return ""


def _decide_system(why: str, wish: _Wish | None) -> Decision:
    if wish is None:
        return Decision(None, f"{why}: system layer")
    return Decision(None, f"{why}: system layer; {wish.name} is ignored on a system pod", wish.value)


def _by_priority(pod: Pod, thresholds: Thresholds) -> tuple[Tier, str]:
    if pod.priority or pod.priority_class:
        return thresholds.decide(pod.priority)
    tier = Tier.BACKGROUND if pod.qos_class is QosClass.BEST_EFFORT else Tier.NORMAL
    return tier, f"priority 0 without a PriorityClass, {pod.qos_class}"


def _read_wish(pod: Pod) -> _Wish | None:
    names = [name for name in TIER_ANNOTATIONS if name in pod.annotations]
    if not names:
        return None
    first, *rest = names
    value = pod.annotations[first]
    overruled = f" (which overrules {', '.join(rest)})" if rest else ""
    return _Wish(f"annotation {first}{overruled}", _shown(value), Tier(value) if value in _TIERS else None)


def _heed(wish: _Wish, tier: Tier, rules: Rules) -> tuple[Tier, str]:
    """The tier with the annotation taken into account, and what became of the annotation."""
    if wish.tier is None:
        return tier, f'is ignored: "{wish.value}" is not one of {", ".join(_TIERS)}'
    if wish.tier is tier:
        return tier, "asks for the same"
    if _TIERS.index(wish.tier) > _TIERS.index(tier):
        return wish.tier, f"lowers it to {wish.tier}"
    if rules.allow_raise:
        return wish.tier, f"raises it to {wish.tier}"
    return tier, f"asks for {wish.tier}, but may only lower the tier"


def _shown(value: str) -> str:
    """The value without anything that could drive a terminal, and shortened."""
    escaped = repr(value[:_SHOWN])[1:-1]
    return escaped if len(value) <= _SHOWN else f"{escaped}…"
