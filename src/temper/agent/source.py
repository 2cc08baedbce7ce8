"""What an agent decides from: a workloads file, or a node's pods. The loop knows nothing else of either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from temper.node.cgroups import DEFAULT_ROOT
from temper.node.run_dir import RunDir
from temper.plan.demand import NO_DEMAND, Demands
from temper.plan.layers import Plan
from temper.settings.defaults import (
    DEADMAN_MS,
    LONGEST_WAIT_MS,
    MOST_EJECTIONS,
    MOST_LOSSES,
    QUIET_MS,
    RESYNC_S,
    WINDOW_S,
)


@dataclass(slots=True)
class Options:
    """How the loop behaves; what is live in the settings may change while it runs.

    deadman_ms: no beat for this long and the scheduler leaves by itself.
    quiet_s, longest_wait_s: changes are put in force when none has come for the first, or after the second at latest.
    resync_s: without any event everything is looked at this often.
    most_losses, most_ejections, window_s: of the crash-loop breaker.
    follow_demand: sizes follow what the layers use; otherwise requests alone decide.
    enforce: attach; otherwise only plan and publish.
    stay_refused: go on, and say so, where this machine can't be attached; otherwise end with Refused.
    """

    deadman_ms: int = DEADMAN_MS
    quiet_s: float = QUIET_MS / 1e3
    longest_wait_s: float = LONGEST_WAIT_MS / 1e3
    resync_s: float = RESYNC_S
    most_losses: int = MOST_LOSSES
    most_ejections: int = MOST_EJECTIONS
    window_s: float = WINDOW_S
    follow_demand: bool = True
    enforce: bool = True
    stay_refused: bool = False
    cgroup_root: Path = DEFAULT_ROOT
    run_root: Path = field(default_factory=lambda: RunDir().root)


class Source(Protocol):
    """Where plans come from. Called from the loop's own pass, but for `watch`, which is a task of its own."""

    def not_ready(self) -> str:
        """Why there can be no plan yet; empty once there can. A node is on stock until then."""

    def safe_mode_reason(self) -> str | None:
        """Why this source wants the node on stock; None when it doesn't. The local switch is the loop's."""

    def switch_heard_ns(self) -> int:
        """CLOCK_MONOTONIC of when the switch was last heard to move; 0 when unknown. Starts the stopwatch."""

    def trouble(self) -> str:
        """Why what plans are made of can't be brought up to date just now; empty while it can."""

    def make_plan(self, demand: Demands = NO_DEMAND) -> Plan:
        """The plan as of now, of everything that changed. InvalidInput or Refused when there can be none.

        demand: what was measured, by tier; the others are sized by their requests.
        """

    def refresh(self) -> None:
        """Bring up to date what is published of it, where no plan is wanted just now. May raise a TemperError."""

    def bind(self, on_change: Callable[[], None], on_switch: Callable[[], None]) -> None:
        """Whom to tell of changes, and of a switch that was moved. Called once, before anything else."""

    async def watch(self) -> None:
        """For ever: look out for both. Its imports must not hold up the loop."""
