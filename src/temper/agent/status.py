"""What the agent publishes of itself: /run/temper/status.json, whole on every change.

`temper status` reads it and holds it against the kernel's own state, which always wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from temper import __version__
from temper.agent.states import State
from temper.node.run_dir import RunDir, write_atomically
from temper.plan.layers import Plan
from temper.wire.messages import LayerStats, NoRoom, QuotaStats

STATUS_VERSION = 1


@dataclass(slots=True)
class Status:
    """One moment. reason: why it is not enforcing, for a person; empty otherwise.

    nr_resizes: sizes that demand changed. used_millicpu: layer -> what it ran of late, while demand is followed.
    """

    state: State = State.STARTING
    reason: str = ""
    agent_pid: int = 0
    engine_pid: int = 0
    memory_locked: bool = False
    generation: int = 0
    nr_commits: int = 0
    nr_losses: int = 0
    nr_ejections: int = 0
    nr_stand_downs: int = 0
    nr_resizes: int = 0
    plan: Plan | None = None
    api_trouble: str = ""
    notes: list[str] = field(default_factory=list)
    timings_ns: dict[str, int] = field(default_factory=dict)
    last_commit_ns: dict[str, int] = field(default_factory=dict)
    stand_down_ns: dict[str, int] = field(default_factory=dict)
    stats: dict[str, LayerStats] = field(default_factory=dict)
    quotas: tuple[QuotaStats, ...] = ()
    no_room: NoRoom = field(default_factory=NoRoom)
    used_millicpu: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The published form. Of quotas only the sums: hundreds of cgroups would be written every few seconds."""
        body = {name: getattr(self, name) for name in self.__slots__ if name not in ("plan", "stats", "quotas")}
        layers = self.plan.layers if self.plan else ()
        sizes = self.plan.sizes if self.plan else ()
        members = len(self.plan.members) if self.plan else 0
        head = {"version": STATUS_VERSION, "temper": __version__}
        cpu_max = {
            "nr_cgroups": len(self.quotas),
            "nr_periods": sum(each.nr_periods for each in self.quotas),
            "nr_throttled": sum(each.nr_throttled for each in self.quotas),
            "throttled_ns": sum(each.throttled_ns for each in self.quotas),
        }
        tail = {"nr_cgroups": members, "stats": self.stats, "cpu_max": cpu_max}
        return head | body | {"layers": layers, "sizes": sizes} | tail


class Publisher:
    """Writes the status file when, and only when, its text changed."""

    def __init__(self, run_dir: RunDir) -> None:
        self._run_dir = run_dir
        self._written = ""

    def publish(self, status: Status) -> None:
        """A status that can't be written (a full disk) is dropped: it must never stop the loop."""
        text = msgspec.json.encode(status.as_dict()).decode()
        if text == self._written:
            return
        try:
            write_atomically(self._run_dir.status, text)
        except OSError:
            return
        self._written = text
