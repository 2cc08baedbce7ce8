"""What every command prints with: one JSON object for `--json`, rich's console for tables."""

from __future__ import annotations

import sys
from typing import Any

import click


def print_json(value: dict[str, Any]) -> None:
    """One line; keys in the order given."""
    import json

    click.echo(json.dumps(value))


def print_yaml(value: dict[str, Any]) -> None:
    """The same for people and for tools that read YAML."""
    import yaml

    click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000), nl=False)


def console() -> Any:
    """A console for tables: the terminal's width, or wide enough for a table in a pipe. Text is text, never markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 120)
