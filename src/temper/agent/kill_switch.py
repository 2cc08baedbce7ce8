"""The node annotation that stands this node down: `kubectl annotate node --all infera.io/safe-mode-requested=true`.

Either prefix engages; both must be gone (or `false`) to re-engage. A value that is neither `true` nor `false` engages
too: somebody wanted something of the switch, and unclear means stock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temper.plan.pods import SWITCH_ANNOTATIONS
from temper.settings.quoting import quoted

_OFF = "false"
_ON = "true"


def why_engaged(annotations: Mapping[str, Any]) -> str | None:
    """Why the switch is on, for a person; None when it is off. annotations: all of the node's."""
    reasons = [reason for name in SWITCH_ANNOTATIONS if (reason := _reason(name, annotations.get(name)))]
    return "; ".join(reasons) or None


def is_unclear(annotations: Mapping[str, Any]) -> bool:
    """Is the switch on by a value that is neither true nor false? Worth a warning."""
    return any(annotations.get(name) not in (None, _ON, _OFF) for name in SWITCH_ANNOTATIONS)


def _reason(name: str, value: Any) -> str:
    if value is None or value == _OFF:
        return ""
    if value == _ON:
        return f"node annotation {name}=true"
    return f"node annotation {name}={quoted(value)}, which is neither true nor false"
