"""The record: one figure is one JSON object on a line of its own, appended as soon as it is measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One figure with what it was measured under.

    value: None when there is none, and then it is not valid. n: of how many events it is made. repeat: 1 is the first.
    reason: why it is not valid, empty when it is. kernel: its release; clock: as of testbed/run. cpus: the node's.
    settings: those of the scenario that were changed.
    """

    scenario: str
    arm: str
    point: str
    metric: str
    value: float | None
    unit: str
    n: int
    repeat: int
    valid: bool
    reason: str
    kernel: str
    clock: str
    cpus: int
    settings: Mapping[str, Any] = field(default_factory=dict)


def finite(value: float) -> float | None:
    """JSON has no infinity and no nan: they are no figure."""
    return value if math.isfinite(value) else None


def append(path: Path, lines: Iterable[Line]) -> None:
    """Add lines to a record, which is made if it is missing."""
    with path.open("a") as file:
        for line in lines:
            file.write(json.dumps(asdict(line), allow_nan=False) + "\n")


def read(path: Path) -> list[Line]:
    """A record's lines. ValueError names the place of one that is none."""
    known = {item.name for item in fields(Line)}
    found = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            body = json.loads(text)
            found.append(Line(**{key: value for key, value in body.items() if key in known}))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}:{number}: not a line of a record: {error}") from None
    return found
