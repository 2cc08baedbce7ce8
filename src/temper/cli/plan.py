"""`temper plan`: what would be done and why, without privileges and without touching anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from temper.cli.output import TEXT, console, form_options, print_object
from temper.errors import Finding, InvalidInput, TemperError
from temper.node.cgroups import DEFAULT_ROOT, Cgroups
from temper.node.snapshot import snapshot
from temper.node.topology import read_machine
from temper.plan.demand import NO_DEMAND
from temper.plan.explain import explain
from temper.plan.layers import DEFAULT, Layer, Plan
from temper.plan.machine import Machine
from temper.plan.planner import make_plan
from temper.plan.settled import settled
from temper.plan.tiers import RULES, LayerKind, Tier
from temper.plan.units import counted, format_cpu_list, parse_millicpu
from temper.plan.workloads import Workload
from temper.settings.quoting import printable, quoted
from temper.settings.workloads import load

JSON_VERSION = 1
_SIZED = tuple(tier.value for tier in Tier if RULES[tier].kind is not LayerKind.OPEN)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A plan and all it was made of."""

    machine: Machine
    workloads: Sequence[Workload]
    plan: Plan
    reasons: dict[str, str]

    def names(self, layer: Layer) -> list[str]:
        """The workloads of a layer that have a cgroup now."""
        return sorted(item.name for item in self.workloads if item.tier == layer.name and item.cgroup_ids)


@click.command()
@click.option(
    "--workloads",
    "file",
    required=True,
    type=click.Path(path_type=Path),
    help="The workloads file (TOML).",
)
@click.option(
    "--used",
    "used",
    multiple=True,
    metavar="TIER=CPUS",
    callback=lambda _context, _option, texts: dict(_parse_used(text) for text in texts),
    help="What if a tier used so many cpus: its size once it has followed that. Else sizes are by requests.",
)
@form_options
@click.option(
    "--cgroup-root",
    default=DEFAULT_ROOT,
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where cgroup v2 is mounted.",
)
@click.option(
    "--sys-root",
    default=Path("/sys"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the topology of the cpus is read.",
)
@click.pass_context
def plan(
    ctx: click.Context, *, file: Path, used: dict[Tier, int], form: str, cgroup_root: Path, sys_root: Path
) -> None:
    """Show what Temper would do with a workloads file on this machine, and why.

    Needs no privileges and changes nothing. A wrong file prints every finding with its place and
    exits with status 2. As YAML or JSON, errors are an object on stdout too.

    \b
    Examples:
      temper plan --workloads /etc/temper/workloads.toml
      temper plan --workloads workloads.toml --used high=0.5 --used normal=6
      temper plan --workloads workloads.toml --json | jq '.layers[] | {name, cpus}'
      temper plan --workloads workloads.toml --sys-root copy/sys --cgroup-root copy/cgroup
    """
    try:
        outcome = _decide(file, used, cgroup_root, sys_root)
    except TemperError as error:
        if form == TEXT and not isinstance(error, InvalidInput):
            raise
        _print_error(error, form)
        ctx.exit(error.exit_code)
    if form == TEXT:
        _print_tables(outcome)
    else:
        print_object(_as_dict(outcome), form)


def _parse_used(text: str) -> tuple[Tier, int]:
    """`high=1.5` -> the tier, and millicpu."""
    name, _, amount = text.partition("=")
    if name not in _SIZED:
        raise click.BadParameter(f"{quoted(text)} is not TIER=CPUS with a tier of {', '.join(_SIZED)}")
    try:
        return Tier(name), parse_millicpu(amount)
    except ValueError as error:
        raise click.BadParameter(printable(str(error))) from error


def _decide(file: Path, used: dict[Tier, int], cgroup_root: Path, sys_root: Path) -> _Outcome:
    settings = load(file)
    machine = read_machine(sys_root)
    workloads = snapshot(settings, Cgroups(cgroup_root), machine)
    demand = settled(machine, workloads, used) if used else NO_DEMAND
    made = make_plan(machine, workloads, demand, settings.bandwidths)
    return _Outcome(machine, workloads, made, explain(made, machine, workloads, demand))


def _print_error(error: TemperError, form: str) -> None:
    findings = error.findings if isinstance(error, InvalidInput) else ()
    if form != TEXT:
        body = {"message": error.message, "remedy": error.remedy, "findings": _findings(findings)}
        print_object({"version": JSON_VERSION, "error": body}, form)
        return
    for finding in findings:
        click.echo(str(finding), err=True)


def _as_dict(outcome: _Outcome) -> dict[str, Any]:
    return {
        "version": JSON_VERSION,
        "machine": _shape(outcome.machine),
        "layers": [_layer(layer, outcome) for layer in outcome.plan.layers],
        "sizes": msgspec.to_builtins(outcome.plan.sizes),
        "members": [{"cgroup_id": item.cgroup_id, "layer": item.layer} for item in outcome.plan.members],
        "findings": _findings(outcome.plan.findings),
    }


def _layer(layer: Layer, outcome: _Outcome) -> dict[str, Any]:
    return {
        "name": layer.name,
        "rank": layer.rank,
        "kind": layer.kind.value,
        "protected": layer.protected,
        "preempts": layer.preempts,
        "exclusive": layer.exclusive,
        "slice_us": layer.slice_us,
        "cpus": list(layer.cpus),
        "smooth_periods": layer.smooth_periods,
        "ceiling_millicpu": layer.ceiling_millicpu,
        "workloads": outcome.names(layer),
        "why": outcome.reasons[layer.name],
    }


def _findings(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [{"place": finding.place, "message": finding.message} for finding in findings]


def _shape(machine: Machine) -> dict[str, int]:
    return {
        "cpus": len(machine.cpus),
        "cores": len({cpu.core for cpu in machine.cpus}),
        "llcs": len({cpu.llc for cpu in machine.cpus}),
        "nodes": len({cpu.node for cpu in machine.cpus}),
    }


def _print_tables(outcome: _Outcome) -> None:
    """The layers in a table, then why, then what a person should know of."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("layer", "kind", "cpus", "rights", "slice", "members"):
        table.add_column(title, overflow="fold")
    for layer in outcome.plan.layers:
        table.add_row(*(Text(cell) for cell in _row(layer, outcome)))
    out = console()
    out.print(Text(_machine_line(outcome.machine)))
    out.print(table)
    for name, why in outcome.reasons.items():
        out.print(Text.assemble((name, "bold"), f": {why}"), soft_wrap=True)
    for finding in outcome.plan.findings:
        out.print(Text.assemble(("note", "bold yellow"), f": {finding}"), soft_wrap=True)


def _machine_line(machine: Machine) -> str:
    nouns = {"cpus": "cpu", "cores": "core", "llcs": "last-level cache", "nodes": "NUMA node"}
    return ", ".join(counted(count, nouns[what]) for what, count in _shape(machine).items())


def _row(layer: Layer, outcome: _Outcome) -> tuple[str, ...]:
    rights = {"protected": layer.protected, "preempts": layer.preempts, "exclusive": layer.exclusive}
    return (
        layer.name,
        layer.kind.value,
        format_cpu_list(layer.cpus) or "-",
        ", ".join(name for name, held in rights.items() if held) or "-",
        f"{layer.slice_us / 1000:g} ms",
        _members(layer, outcome),
    )


def _members(layer: Layer, outcome: _Outcome) -> str:
    if layer.name == DEFAULT:
        return "every other task"
    count = sum(member.layer == layer.name for member in outcome.plan.members)
    names = ", ".join(outcome.names(layer))
    return f"{names} ({counted(count, 'cgroup')})" if names else "-"
