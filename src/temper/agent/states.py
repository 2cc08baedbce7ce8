"""The words that say where a node stands. Imports nothing else of ours: `temper status` starts with them."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The first word of a status; the words of the agent-status annotation."""

    ENFORCING = "enforcing"
    SAFE_MODE = "safe-mode"
    DETACHED = "detached"
    EJECTED = "ejected"
    UNSUPPORTED = "unsupported"
    STUCK = "stuck"  # our scheduler is in and won't go: the one state in which a person must act
    STARTING = "starting"
    OBSERVING = "observing"  # shadow mode: planned and published, nothing attached
