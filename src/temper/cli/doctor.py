"""`temper doctor`: each thing this machine needs, whether it is there, and the remedy when it isn't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from temper.cli.output import print_json

ASK_S = 1.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check this machine: privileges, kernel, libbpf, types, cgroups. Changes nothing.

    Where an agent with HTTP runs, what its linter finds is told too; that has no part in the exit status.

    \b
    Exit status: 0 all is well, 3 something stands in the way.

    \b
    Examples:
      sudo temper doctor
      temper doctor --json | jq '.checks[] | select(.ok | not)'
    """
    from temper.engine.preflight import Check, all_checks
    from temper.errors import Refused
    from temper.node.cgroups import Cgroups

    checks = list(all_checks())
    try:
        checks.append(Check("cgroups", True, f"v2 at {Cgroups().root}"))
    except Refused as refused:
        checks.append(Check("cgroups", False, refused.message, refused.remedy))
    verdicts = _verdicts()
    if as_json:
        found = [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        print_json({"version": 1, "ok": all(c.ok for c in checks), "checks": found, "lint": verdicts})
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
            if check.remedy:
                click.echo(f"      {check.remedy}")
        _print_verdicts(verdicts or ())
    ctx.exit(0 if all(check.ok for check in checks) else 3)


def _verdicts() -> list[Any] | None:
    """Standing verdicts of this machine's agent; None when none answers, or it doesn't tell."""
    from temper.agent.observe import plain
    from temper.cli.agent_http import fetch
    from temper.errors import TemperError

    try:
        return [plain(verdict) for verdict in fetch("", timeout_s=ASK_S).lint.verdicts]
    except TemperError:
        return None


def _print_verdicts(verdicts: Sequence[Any]) -> None:
    for verdict in verdicts:
        click.echo(f"LINT  {verdict['invariant']} {verdict['subject']}: {verdict['message']}")
        click.echo(f"      {verdict['fix']}")
