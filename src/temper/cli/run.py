"""`temper run`: enforce a workloads file on this machine, without Kubernetes."""

from __future__ import annotations

import os
from pathlib import Path

import click

from temper.errors import NotPermitted
from temper.node.run_dir import RunDir
from temper.settings.defaults import DEADMAN_MS, LEAST_DEADMAN_MS, MOST_DEADMAN_MS


@click.command()
@click.option("--workloads", required=True, type=click.Path(path_type=Path), help="The workloads file (TOML).")
@click.option(
    "--deadman-ms",
    default=DEADMAN_MS,
    show_default=True,
    type=click.IntRange(LEAST_DEADMAN_MS, MOST_DEADMAN_MS),
    help="Without a heartbeat for this long the scheduler leaves by itself.",
)
@click.option(
    "--follow-demand/--no-follow-demand",
    default=True,
    show_default=True,
    help="Tiers without a fence own what they use (high never more than it asks for), or what they ask for.",
)
@click.pass_context
def run(context: click.Context, workloads: Path, deadman_ms: int, follow_demand: bool) -> None:
    """Attach the scheduler and keep WORKLOADS in force until stopped.

    Changes of the file and of the cgroup tree are committed live. SIGTERM or Ctrl-C detach and end.
    Whatever else ends this process also detaches: the node is then on its stock scheduler.

    \b
    Examples:
      temper plan --workloads workloads.toml      look first, without privileges
      sudo temper run --workloads workloads.toml
      temper status --wait enforcing --timeout 30
    """
    if os.geteuid() != 0:
        raise NotPermitted(
            "attaching a scheduler needs root", remedy="run it with sudo; `temper plan` does not need it"
        )
    with RunDir().take_lock():
        import asyncio

        from temper.agent.loop import Agent
        from temper.agent.source import Options
        from temper.agent.standalone import FileSource

        options = Options(deadman_ms=deadman_ms, follow_demand=follow_demand)
        asyncio.run(Agent(FileSource(workloads, options), options, context.obj).run())
