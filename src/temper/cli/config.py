"""`temper config`: the settings of `temper agent`, checked and shown by the code that the agent itself runs."""

from __future__ import annotations

from typing import Any

import click

from temper.cli.output import TEXT, console, form_options, print_object
from temper.cli.settings import settings_options, sources
from temper.errors import InvalidInput
from temper.settings.agent import Loaded, load
from temper.settings.keys import as_text, flatten
from temper.settings.sources import Origin

JSON_VERSION = 1


@click.group()
def config() -> None:
    """Check, show and explain the settings of `temper agent`.

    \b
    Lowest to highest precedence:
      defaults, --config FILE (YAML), TEMPER_SECTION_KEY, --set section.key=value
    """


@config.command()
@settings_options
@form_options
@click.pass_context
def check(ctx: click.Context, /, form: str, **given: Any) -> None:
    """Check the settings: every finding, with its place, what was seen and what is allowed.

    \b
    Exit status: 0 the agent would take them, 2 it would refuse them.

    \b
    Examples:
      temper config check --config agent.yaml
      temper config check --config agent.yaml --json | jq -r '.findings[].place'
      kubectl exec POD -- temper config check
    """
    try:
        loaded = load(sources(**given))
    except InvalidInput as invalid:
        if form == TEXT:
            raise
        found = [{"place": finding.place, "message": finding.message} for finding in invalid.findings]
        print_object({"version": JSON_VERSION, "ok": False, "findings": found}, form)
        ctx.exit(invalid.exit_code)
    if form == TEXT:
        _print_ok(loaded)
    else:
        print_object({"version": JSON_VERSION, "ok": True, "findings": []}, form)


def _print_ok(loaded: Loaded) -> None:
    nr_set = sum(each.origin != Origin.DEFAULT for each in loaded.values.values())
    click.echo(f"ok: {nr_set} of {len(loaded.values)} settings are set, the others have their defaults")
    if not loaded.settings.node_name:
        click.echo("note: node_name is not set; `temper agent` needs it, from NODE_NAME or --node-name")


@config.command()
@settings_options
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["table", "yaml", "json"]),
    default="table",
    show_default=True,
    help="yaml: a file that --config takes.",
)
@click.option("--json", "form", flag_value="json", help="One JSON object.")
def show(form: str, **given: Any) -> None:
    """Show the settings in force, and where each comes from.

    \b
    Examples:
      temper config show --config agent.yaml
      temper config show --config agent.yaml --json | jq '.settings[] | select(.origin != "default")'
      temper config show -o yaml > agent.yaml
    """
    loaded = load(sources(**given))
    if form == "json":
        print_object({"version": JSON_VERSION, "settings": _rows(loaded)}, form)
    elif form == "yaml":
        from temper.settings.yaml_file import dump

        click.echo(dump(flatten(loaded.settings)), nl=False)
    else:
        _print_table(loaded)


@config.command()
def docs() -> None:
    """Print the reference of all settings, in Markdown."""
    from temper.settings.reference import markdown

    click.echo(markdown(), nl=False)


def _rows(loaded: Loaded) -> list[dict[str, Any]]:
    return [
        {"key": path, "value": each.value, "origin": each.origin.value, "place": each.place}
        for path, each in loaded.values.items()
    ]


def _print_table(loaded: Loaded) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("key", "value", "from"):
        table.add_column(title, overflow="fold")
    for path, each in loaded.values.items():
        table.add_row(path, Text(as_text(each.value)), Text(each.place or each.origin.value))
    console().print(table)
