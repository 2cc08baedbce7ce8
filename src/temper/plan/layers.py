"""The frozen result of planning: layers, who belongs to them, and what had to be changed to fit."""

from __future__ import annotations

import msgspec

from temper.errors import Finding
from temper.plan.tiers import LayerKind

# The two system layers exist in every plan. SYSTEM serves the scheduler's own processes and unbound
# kernel threads first; DEFAULT catches every task that no rule names (kubelet, daemons, shells).
SYSTEM = "system"
DEFAULT = "default"


class Layer(msgspec.Struct, frozen=True):
    """One layer of one generation.

    rank: 0 is served first; unique in a plan and equal to the layer's position.
    cpus: cpu ids owned (confined) or preferred (grouped), ascending; empty for open layers.
    slice_us: microseconds a task may run before it is re-queued.
    smooth_periods, ceiling_millicpu: its tier's `Bandwidth`; the two system layers have none.
    """

    name: str
    rank: int
    kind: LayerKind
    protected: bool
    preempts: bool
    exclusive: bool
    slice_us: int
    cpus: tuple[int, ...] = ()
    smooth_periods: int = 0
    ceiling_millicpu: int = 0


class Member(msgspec.Struct, frozen=True):
    """A cgroup (its v2 id: its directory's inode) and the layer that it and its descendants belong to."""

    cgroup_id: int
    layer: str


class Size(msgspec.Struct, frozen=True):
    """How a layer with cpus came by their number. All are counts of logical cpus.

    requested: by its pods, rounded up. owned: what it got. room: what it could have got: cpus that no tier above has.
    least, most: the bounds within which `owned` may follow measured demand; equal for a fence.
    """

    layer: str
    requested: int
    owned: int
    room: int
    least: int
    most: int

    @property
    def follows(self) -> bool:
        """Whether demand can change it."""
        return self.least < self.most


class Plan(msgspec.Struct, frozen=True):
    """What one generation looks like.

    layers: ordered by rank; layers[i].rank == i; each cpu is owned by at most one layer.
    members: ordered by cgroup id, unique; nearest ancestor wins in the kernel.
    findings: decisions a person should know of (a demotion, a size that was cut), never errors.
    sizes: of the tiers that may own cpus, most urgent first.
    """

    layers: tuple[Layer, ...]
    members: tuple[Member, ...]
    findings: tuple[Finding, ...] = ()
    sizes: tuple[Size, ...] = ()

    def layer(self, name: str) -> Layer:
        """The layer of that name; KeyError when the plan has none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)
