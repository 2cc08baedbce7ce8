"""`temper status`: what is in force, as the kernel says it and as the agent says it."""

from __future__ import annotations

import json
import time
from typing import Any

import click
import msgspec

from temper.agent.states import State
from temper.cli.fleet import Selection, fleet_options, print_nodes, selection
from temper.cli.output import TEXT, console, form_options, print_object
from temper.errors import TimedOut
from temper.node.run_dir import RunDir
from temper.node.sched_ext import KernelState, read_state
from temper.plan.waits import percentile_us

POLL_S = 0.02


@click.command()
@form_options
@click.option(
    "--wait", "wanted", type=click.Choice([state.value for state in State]), help="Wait until this state is reached."
)
@fleet_options
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Longest wait, in seconds.")
def status(form: str, wanted: str | None, timeout_s: float, **nodes: Any) -> None:
    """What decides on this machine now, or on nodes of a cluster, and why. Needs no privileges.

    The kernel's own state wins over what the agent last published: a dead agent is `detached`.

    \b
    Examples:
      temper status
      temper status --wait enforcing --timeout 30 && echo attached
      temper status --json | jq .kernel
      kubectl temper status --all
      kubectl temper status --all -o yaml
    """
    chosen = selection(**nodes)
    if chosen is not None:
        _show_nodes(chosen, wanted, timeout_s, form)
        return
    now = wait_for(wanted, timeout_s) if wanted else look()
    if form == TEXT:
        _print_text(now)
    else:
        print_object(now, form)


def _show_nodes(chosen: Selection, wanted: str | None, timeout_s: float, form: str) -> None:
    from temper.kube import nodes as cluster

    async def job(client: Any) -> list[cluster.NodeView]:
        found = await cluster.select(client, names=chosen.names, selector=chosen.selector)
        if wanted is None or not found:
            return found
        return await cluster.wait_for(client, [node.name for node in found], wanted, timeout_s)

    print_nodes(cluster.run(chosen.kubeconfig, job), form)


def look(run_dir: RunDir | None = None) -> dict[str, Any]:
    """The agent's status held against the kernel's state. Keys of the status file, and `kernel`."""
    run_dir = run_dir or RunDir()
    kernel = read_state()
    try:
        said: dict[str, Any] = json.loads(run_dir.status.read_text())
    except (OSError, ValueError):
        said = {"version": 1, "state": "detached", "reason": "no agent has run here"}
    alive = run_dir.agent_alive()
    said |= {"agent_alive": alive, "kernel": _kernel(kernel)}
    state, reason = judge(said["state"], said["reason"], alive=alive, kernel=kernel, switch=run_dir.safe_mode_reason())
    return said | {"state": state, "reason": reason}


def judge(state: str, reason: str, *, alive: bool, kernel: KernelState, switch: str | None) -> tuple[str, str]:
    """The state and reason to believe. switch: why the local safe-mode switch is on, or None."""
    if not alive:
        if kernel.ours:
            return "detached", "the agent is dead and its scheduler is leaving"
        if switch is not None:
            return "safe-mode", switch
        return "detached", reason if state == "detached" and reason else "the agent is not running"
    if state == "enforcing" and not kernel.ours:
        if switch is not None and kernel.left:
            state, reason = "safe-mode", switch  # a stopped agent does not say so
        else:
            state, reason = "detached", f"the kernel says {kernel.state}"
    if state == "safe-mode" and kernel.ours:
        return "starting", "safe mode was left"
    return state, reason


def _kernel(kernel: KernelState) -> dict[str, Any]:
    return {"state": kernel.state, "ops": kernel.ops, "enable_seq": kernel.enable_seq}


def wait_for(wanted: str, timeout_s: float) -> dict[str, Any]:
    """Look until the state is `wanted`; TimedOut with the state that was there instead."""
    deadline = time.monotonic() + timeout_s
    while True:
        now = look()
        if now["state"] == wanted:
            return now
        if time.monotonic() > deadline:
            seen = f"{now['state']}: {now['reason']}".rstrip(": ")
            raise TimedOut(f"not {wanted} after {timeout_s:g} s; it is {seen}")
        time.sleep(POLL_S)


def _print_text(now: dict[str, Any]) -> None:
    kernel = now["kernel"]
    click.echo(f"{now['state']}{': ' if now['reason'] else ''}{now['reason']}")
    click.echo(f"kernel: sched_ext {kernel['state']} {kernel['ops']}".rstrip())
    if now["agent_alive"]:
        click.echo(f"agent {now['agent_pid']}, engine {now['engine_pid'] or '-'}, generation {now['generation']}")
    for note in now.get("notes", []):
        click.echo(f"note: {note}")
    _print_no_room(now.get("no_room", {}))
    if now.get("layers") and now["state"] == "enforcing":
        _print_layers(now)
        _print_sizes(now)


def _print_no_room(no_room: dict[str, int]) -> None:
    """Nothing where there was room for all."""
    for table, what in (("quotas", "cpu.max is not enforced"), ("shares", "cpu.weight is not kept")):
        if nr := no_room.get(table):
            click.echo(f"note: {nr} times a cgroup found the scheduler's table full: its {what}")


def _print_layers(now: dict[str, Any]) -> None:
    """Counters since the attach. mean, p99 and max are of the waits; p99 is known from above, to a factor of two."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for title in ("layer", "kind", "cpus"):
        table.add_column(title, overflow="fold", no_wrap=title != "cpus")
    for title in ("ran s", "runs", "mean us", "p99 us", "max ms", "spills", "preempts", "rescued"):
        table.add_column(title, justify="right", overflow="fold", no_wrap=" " not in title)
    for layer in now["layers"]:
        counters = now["stats"].get(layer["name"], {})
        table.add_row(layer["name"], layer["kind"], ",".join(map(str, layer["cpus"])) or "-", *_numbers(counters))
    console().print(table)


def _print_sizes(now: dict[str, Any]) -> None:
    """Why so many cpus. An agent of another version says nothing of it."""
    from temper.plan.explain import explain_size
    from temper.plan.layers import Size

    used = now.get("used_millicpu", {})
    for each in now.get("sizes", []):
        size = msgspec.convert(each, Size)
        click.echo(f"{size.layer}: {explain_size(size, used.get(size.layer))}")


def _numbers(counters: dict[str, Any]) -> list[str]:
    if not counters:
        return ["-"] * 8
    runs = counters["nr_runs"]
    p99_us = percentile_us(counters["wait_hist"], 0.99, longest_ns=counters["max_wait_ns"])
    return [
        f"{counters['run_ns'] / 1e9:.1f}",
        str(runs),
        f"{counters['wait_ns'] / max(1, runs) / 1e3:.1f}",
        "-" if p99_us is None else f"{p99_us:.0f}",
        f"{counters['max_wait_ns'] / 1e6:.1f}",
        str(counters["nr_spills"]),
        str(counters["nr_preempts"]),
        str(counters["nr_rescued"]),
    ]
