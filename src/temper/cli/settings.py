"""The options of every command that reads the agent's settings, and what they say as `Sources`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from temper.settings.sources import CONFIG_VARIABLE, SET, Sources

_Function = TypeVar("_Function", bound=Callable[..., Any])

# The values are plain texts to click: the settings check them, so that one run reports every finding.
_OPTIONS = (
    click.option("--config", "file", envvar=CONFIG_VARIABLE, type=click.Path(path_type=Path), help="The YAML file."),
    click.option("--node-name", metavar="NAME", help="The node to act for; else NODE_NAME."),
    click.option("--mode", metavar="enforce|observe", help="observe: attach nothing."),
    click.option(SET, "sets", multiple=True, metavar="KEY=VALUE", help="One setting: commit.quiet_ms=20."),
)


def settings_options(function: _Function) -> _Function:
    """Add --config, --node-name, --mode and --set: parameters `file`, `node_name`, `mode`, `sets`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def sources(file: Path | None, node_name: str | None, mode: str | None, sets: Sequence[str]) -> Sources:
    """Those options and this process's environment."""
    named = [("--node-name", node_name), ("--mode", mode)]
    flags = [(flag, argument) for flag, argument in named if argument is not None]
    return Sources(file, os.environ, (*flags, *((SET, each) for each in sets)))
