"""`temper doctor`: each thing this machine needs, whether it is there, and the remedy when it isn't."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from temper.cli.output import TEXT, form_options, print_object

if TYPE_CHECKING:
    from temper.agent.observe import Document

ASK_S = 1.0


@click.command()
@form_options
@click.pass_context
def doctor(ctx: click.Context, form: str) -> None:
    """Check this machine: privileges, kernel, libbpf, types, cgroups. Changes nothing.

    Where an agent with HTTP runs, the notes of its plan and what its linter finds are told too; they have no part in
    the exit status.

    \b
    Exit status: 0 all is well, 3 something stands in the way.

    \b
    Examples:
      sudo temper doctor
      temper doctor --json | jq '.checks[] | select(.ok | not)'
    """
    from temper.agent.observe import plain
    from temper.engine.preflight import Check, all_checks
    from temper.errors import Refused
    from temper.node.cgroups import Cgroups

    checks = list(all_checks())
    try:
        checks.append(Check("cgroups", True, f"v2 at {Cgroups().root}"))
    except Refused as refused:
        checks.append(Check("cgroups", False, refused.message, refused.remedy))
    document = _document()
    notes, verdicts = (document.notes, plain(document.lint.verdicts)) if document else (None, None)
    if form != TEXT:
        found = [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        ok = all(check.ok for check in checks)
        print_object({"version": 1, "ok": ok, "checks": found, "notes": notes, "lint": verdicts}, form)
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
            if check.remedy:
                click.echo(f"      {check.remedy}")
        for note in notes or ():
            click.echo(f"NOTE  {note}")
        for verdict in verdicts or ():
            click.echo(f"LINT  {verdict['invariant']} {verdict['subject']}: {verdict['message']}")
            click.echo(f"      {verdict['fix']}")
    ctx.exit(0 if all(check.ok for check in checks) else 3)


def _document() -> Document | None:
    """What this machine's agent says of itself; None when none answers, or it doesn't tell."""
    from temper.cli.agent_http import fetch
    from temper.errors import TemperError

    try:
        return fetch("", timeout_s=ASK_S)
    except TemperError:
        return None
