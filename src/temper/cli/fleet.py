"""Options and output of commands that act on a cluster's nodes: `kubectl temper status`, `kubectl temper safe-mode`."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from temper.cli.output import TEXT, console, print_object
from temper.errors import Finding, InvalidInput
from temper.settings.quoting import printable

_Function = TypeVar("_Function", bound=Callable[..., Any])

JSON_VERSION = 1
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))

_OPTIONS = (
    click.option("--node", "names", multiple=True, metavar="NAME", help="A node of the cluster; may be repeated."),
    click.option("-l", "--selector", default="", metavar="LABELS", help="The nodes with these labels."),
    click.option("--all", "everything", is_flag=True, help="All nodes of the cluster."),
    click.option("--kubeconfig", default="", metavar="FILE", help="Else KUBECONFIG, else ~/.kube/config."),
)


class Selection(NamedTuple):
    """Which nodes, and through which kubeconfig."""

    names: tuple[str, ...]
    selector: str
    kubeconfig: str


def fleet_options(function: _Function) -> _Function:
    """Add --node, --selector, --all and --kubeconfig: parameters of those names, --all as `everything`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def selection(names: Sequence[str], selector: str, everything: bool, kubeconfig: str) -> Selection | None:
    """What was chosen; None when nothing was. InvalidInput when two ways of choosing contradict each other."""
    chosen = [flag for flag, used in (("--node", names), ("--selector", selector), ("--all", everything)) if used]
    if len(chosen) > 1:
        raise InvalidInput([Finding(" and ".join(chosen), "choose nodes in one way only")])
    return Selection(tuple(names), selector, _kubeconfig(kubeconfig)) if chosen else None


def _kubeconfig(given: str) -> str:
    """As kubectl finds it; of several files in KUBECONFIG, the first."""
    return given or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or str(Path.home() / ".kube/config")


def print_nodes(nodes: Sequence[Any], form: str = TEXT) -> None:
    """One line for each node, or all as one object."""
    if form == TEXT:
        _print_table(nodes)
    else:
        print_object({"version": JSON_VERSION, "nodes": [node._asdict() for node in nodes]}, form)


def _print_table(nodes: Sequence[Any]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("node", "agent", "said", "version", "asked for", "pods by tier"):
        table.add_column(title, overflow="fold")
    for node in nodes:
        asked = ", ".join(f"{name.split('/')[0]}: {value}" for name, value in node.switch.items())
        pods = " ".join(f"{tier} {count}" for tier, count in node.pods.items() if count)
        agent = node.status or "no agent has spoken"
        cells = (node.name, agent, _ago(node.said_at), node.version, asked or "-", pods or "-")
        table.add_row(*map(printable, cells))  # whoever may annotate a node wrote some of them
    console().print(table)


def _ago(said_at: str) -> str:
    """How long ago, as kubectl writes ages; `-` when nobody said when. Clocks that differ make it no less than 0."""
    from temper.plan.pods import SAID_AT_FORMAT

    try:
        said_s = calendar.timegm(time.strptime(said_at, SAID_AT_FORMAT))
    except ValueError:
        return "-"
    age_s = max(0, int(time.time() - said_s))
    unit, length_s = next(((unit, length_s) for unit, length_s in _UNITS if age_s >= length_s), ("s", 1))
    return f"{age_s // length_s}{unit} ago"
