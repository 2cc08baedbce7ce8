"""The `temper` command: each subcommand's module is imported only when it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from temper import __version__
from temper.errors import InvalidInput, TemperError

COMMANDS = {
    "agent": "temper.cli.agent:agent",
    "run": "temper.cli.run:run",
    "status": "temper.cli.status:status",
    "top": "temper.cli.top:top",
    "explain": "temper.cli.explain:explain",
    "plan": "temper.cli.plan:plan",
    "safe-mode": "temper.cli.safe_mode:safe_mode",
    "doctor": "temper.cli.doctor:doctor",
    "config": "temper.cli.config:config",
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports the one that is run (or all, for the list)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it, or None when there is no such command."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: Any = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is wrong otherwise
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="temper")
def temper() -> None:
    """Pod CPU quality of service, decided inside the kernel, failing toward the stock scheduler.

    \b
    Exit status: 0 done, 1 failed, 2 wrong input, 3 this machine was refused,
    4 not permitted, 5 a state that was waited for did not come.

    \b
    Completion for bash (zsh and fish alike):
      eval "$(_TEMPER_COMPLETE=bash_source temper)"
    """


def main(arguments: Sequence[str], spawned: object = None) -> int:
    """Run one command line. A known failure is one line (one for each finding), never a traceback.

    spawned: an engine that was started already, for the command that can use it.
    """
    try:
        outcome = temper.main(list(arguments), prog_name="temper", standalone_mode=False, obj=spawned)
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except click.Abort:
        return 130
    except InvalidInput as invalid:
        for finding in invalid.findings:
            print(f"temper: {finding}", file=sys.stderr)  # noqa: T201
        return invalid.exit_code
    except TemperError as failed:
        print(f"temper: {failed}", file=sys.stderr)  # noqa: T201
        return failed.exit_code
    except PermissionError as denied:
        print(f"temper: not permitted: {denied}; run it as root", file=sys.stderr)  # noqa: T201
        return 4
    return outcome if isinstance(outcome, int) else 0
