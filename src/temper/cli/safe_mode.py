"""`temper safe-mode`: this machine's switch, which works with the agent dead or stopped; or a cluster's nodes'."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from temper.agent.states import State
from temper.cli.fleet import Selection, fleet_options, print_nodes, selection
from temper.cli.output import TEXT, form_options, print_object
from temper.errors import Finding, InvalidInput, NotPermitted, TemperError
from temper.node import sched_ext
from temper.node.run_dir import RunDir

# The agent detaches within milliseconds; an engine that still holds on after this is killed.
AGENT_S = 1.5
KILL_S = 2.0
POLL_S = 0.002
AGENTS = ("run", "agent")  # the commands that attach


@click.command()
@click.argument("wanted", metavar="on|off|status", type=click.Choice(["on", "off", "status"]))
@click.option("--local", is_flag=True, help="This machine's own switch: no API server, no agent needed.")
@fleet_options
@click.option("--wait", is_flag=True, help="With nodes: wait until their agents say that it is so.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Longest wait, in seconds.")
@click.option("--reason", default="asked for by `temper safe-mode on`", help="Shown by `temper status`.")
@form_options
def safe_mode(wanted: str, *, local: bool, wait: bool, timeout_s: float, reason: str, form: str, **nodes: Any) -> None:
    """Put this machine, or nodes of a cluster, on the stock scheduler and keep them there (on); off re-engages.

    With --node, --selector or --all it moves the nodes' annotation, as `kubectl annotate` would. With --local it is
    this machine's own switch:

    `on` sets it, and if the agent does not detach at once it kills the engine, and at last tells the kernel
    itself. It returns when the kernel says that it runs stock. Without room for the switch it ends the agent
    instead, and fails: the machine is on stock, but an agent that starts later would attach.

    \b
    Examples:
      sudo temper safe-mode on --local --reason "p99 of checkout, 03:12"
      temper safe-mode status --local
      kubectl temper safe-mode on --all --wait
      sudo temper safe-mode off --local && temper status --wait enforcing
    """
    chosen = selection(**nodes)
    if local == (chosen is not None):
        raise InvalidInput([Finding("safe-mode", "say where: --local, or one of --node, --selector and --all")])
    if chosen is not None:
        _on_nodes(wanted, chosen, timeout_s if wait else None, form)
    else:
        _on_this_machine(wanted, reason, form)


def _on_nodes(wanted: str, chosen: Selection, timeout_s: float | None, form: str) -> None:
    from temper.kube import nodes as cluster

    async def job(client: Any) -> list[cluster.NodeView]:
        nodes = await cluster.select(client, names=chosen.names, selector=chosen.selector)
        if wanted == "status":
            return nodes
        await cluster.switch(client, nodes, on=wanted == "on")
        names = [node.name for node in nodes]
        if timeout_s is None or not names:
            return await cluster.select(client, names=names) if names else []
        state = State.SAFE_MODE if wanted == "on" else State.ENFORCING
        return await cluster.wait_for(client, names, state, timeout_s)

    print_nodes(cluster.run(chosen.kubeconfig, job), form)


def _on_this_machine(wanted: str, reason: str, form: str) -> None:
    run_dir = RunDir()
    took: dict[str, Any] = {}
    if wanted != "status":
        if os.geteuid() != 0:
            raise NotPermitted("the switch is root's", remedy="run it with sudo")
        took = _on(run_dir, reason) if wanted == "on" else _off(run_dir)
    engaged = run_dir.safe_mode_reason()
    kernel = sched_ext.read_state()
    if form == TEXT:
        click.echo(f"safe mode is {'off' if engaged is None else f'on: {engaged}'}; the kernel says {kernel.state}")
        return
    now = {"version": 1, "engaged": engaged is not None, "reason": engaged or "", "kernel": kernel.state}
    print_object(now | took, form)


def _on(run_dir: RunDir, reason: str) -> dict[str, Any]:
    """Switch, then whatever it takes. Returns by which means and in how many milliseconds."""
    started = time.monotonic()
    unwritten = ""
    means = "nothing was attached"
    if sched_ext.read_state().ours:
        means = "agent"
    try:
        run_dir.engage(reason)
    except OSError as error:
        # No room for the switch: an agent that can't be told must not run.
        unwritten = error.strerror or str(error)
        for agent in AGENTS:
            _kill(agent)
    # An attach under way is no scheduler yet, but will be: the agent must have heard.
    if not _within(AGENT_S, lambda: sched_ext.read_state().left and _heeded(run_dir)):
        means = "engine killed"
        _kill("engine")
    if not _stock_within(KILL_S):
        means = "SysRq-S"
        sched_ext.request_stock()
    if not _stock_within(KILL_S):
        raise TemperError("the kernel still runs our scheduler", remedy="SysRq-S: `echo S > /proc/sysrq-trigger`")
    if unwritten:
        raise TemperError(
            f"the switch can't be written: {unwritten}; the kernel runs stock and the agent was killed",
            remedy=f"make room at {run_dir.root} and repeat this, or no agent may start",
        )
    return {"by": means, "took_ms": round((time.monotonic() - started) * 1e3, 3)}


def _off(run_dir: RunDir) -> dict[str, Any]:
    run_dir.release()
    return {"by": "switch removed" if run_dir.agent_alive() else "switch removed; no agent runs"}


def _heeded(run_dir: RunDir) -> bool:
    """Does the agent say that it stands down? Without one there is nobody to attach anything."""
    if not run_dir.agent_alive():
        return True
    try:
        return bool(json.loads(run_dir.status.read_bytes())["state"] == State.SAFE_MODE)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _stock_within(seconds: float) -> bool:
    return _within(seconds, lambda: sched_ext.read_state().left)


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _processes(command: bytes) -> Iterator[int]:
    """Root's processes that run `temper COMMAND`, this one left out. The kernel's word: no file need be right."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if entry.stat().st_uid == 0 and _runs(words, command):
                yield int(entry.name)


def _runs(words: list[bytes], command: bytes) -> bool:
    """`python -m temper COMMAND` or `temper COMMAND`."""
    return any(
        word == command and before.rsplit(b"/", 1)[-1] == b"temper" for before, word in itertools.pairwise(words)
    )


def _kill(command: str) -> None:
    for pid in _processes(command.encode()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
