"""What the agent said of its layers at a point, and whether a pod was where the scenario means it to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.scenario import TEMPER, Seen, decided_by

# Of the agent's status: what a scenario brings home as `status`. See src/temper/agent/status.py.
KEYS = ("state", "notes", "generation", "nr_commits", "nr_losses", "nr_ejections", "nr_cgroups", "layers")


def of_status(status: dict[str, Any]) -> dict[str, Any]:
    """These keys of a status; empty when the agent published none."""
    return {key: status[key] for key in KEYS if key in status}


def tier_doubts(seen: Seen, tiers: Sequence[str]) -> list[str]:
    """With Temper: does the agent enforce, with a layer for each tier that pods are in? A tier has one only then."""
    if decided_by(seen.arm) != TEMPER:
        return []
    status = seen.data["status"]
    if status.get("state") != "enforcing":
        return [f"the agent's state was {status.get('state', 'not published')}"]
    missing = [tier for tier in tiers if tier not in {layer["name"] for layer in status["layers"]}]
    return [f"the plan had no layer {', '.join(missing)}"] if missing else []


def fence_doubts(seen: Seen, tier: str) -> list[str]:
    """With Temper: has the tier cpus of its own, as it is meant to have here?"""
    if doubts := tier_doubts(seen, [tier]):
        return doubts
    if decided_by(seen.arm) != TEMPER:
        return []
    kind = {layer["name"]: layer["kind"] for layer in seen.data["status"]["layers"]}[tier]
    return [] if kind == "confined" else [f"{tier} was {kind}, not confined"]
