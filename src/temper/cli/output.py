"""What every command prints with: one object for `-o yaml` and `-o json` (`--json`), rich's console for tables."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

_Function = TypeVar("_Function", bound=Callable[..., Any])

TEXT = "text"


def form_options(function: _Function) -> _Function:
    """Add -o/--output and --json: a parameter `form`, which is TEXT, or what `print_object` takes."""
    forms = click.Choice([TEXT, "yaml", "json"])
    function = click.option("--json", "form", flag_value="json", help="One JSON object: -o json.")(function)
    return click.option("-o", "--output", "form", type=forms, default=TEXT, show_default=True)(function)


def print_object(value: dict[str, Any], form: str) -> None:
    """One object, its keys in the order given: as YAML, or as one line of JSON."""
    if form == "yaml":
        import yaml

        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000), nl=False)
    else:
        import json

        click.echo(json.dumps(value))


def console() -> Any:
    """A console for tables: the terminal's width, or wide enough for a table in a pipe. Text is text, never markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 120)
