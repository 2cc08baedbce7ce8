"""`temper doctor`: each thing this machine needs, whether it is there, and the remedy when it isn't."""

from __future__ import annotations

import click

from temper.cli.output import print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check this machine: privileges, kernel, libbpf, types, cgroups. Changes nothing.

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
    if as_json:
        found = [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        print_json({"version": 1, "ok": all(c.ok for c in checks), "checks": found})
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
            if check.remedy:
                click.echo(f"      {check.remedy}")
    ctx.exit(0 if all(check.ok for check in checks) else 3)
