"""One JSON object to stdout: what `--json` prints everywhere."""

from __future__ import annotations

import json
from typing import Any

import click


def print_json(value: dict[str, Any]) -> None:
    """One line; keys in the order given."""
    click.echo(json.dumps(value))
