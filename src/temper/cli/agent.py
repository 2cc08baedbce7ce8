"""`temper agent`: enforce the tiers of a Kubernetes node's pods."""

from __future__ import annotations

import os
from typing import Any

import click

from temper.cli.settings import settings_options, sources
from temper.errors import NotPermitted
from temper.node.run_dir import RunDir


@click.command()
@settings_options
def agent(**given: Any) -> None:
    """Watch this node's pods and keep their tiers in force until stopped.

    The node's annotation infera.io/safe-mode-requested or temper.codes/safe-mode-requested stands it down, and so does
    `temper safe-mode on --local`. Whatever ends this process also detaches: the node is then on its stock scheduler.

    \b
    Examples:
      temper config check                                     are the settings right?
      temper agent --node-name "$(hostname)" --mode observe   plan and publish, attach nothing
      NODE_NAME=worker-1 temper agent --set kubernetes.kubeconfig=/etc/kubernetes/agent.conf
    """
    from temper.agent.live_settings import LiveSettings
    from temper.settings.agent import Mode

    settings = LiveSettings(sources(**given))
    if settings().mode is Mode.ENFORCE and os.geteuid() != 0:
        raise NotPermitted("attaching a scheduler needs root", remedy="run it as root, or with --mode observe")
    with RunDir().take_lock():
        import asyncio

        from temper.agent.node_agent import NodeAgent

        async def run() -> None:
            await NodeAgent(settings).run()

        asyncio.run(run())
