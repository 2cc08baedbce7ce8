"""`temper top`: layers, pods and what is wrong, as the node's agent sees them; live, or once for scripts."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from temper.agent.observe import Document, LayerView, PodReport, plain
from temper.cli.agent_http import fetch, url_options
from temper.cli.output import TEXT, console, form_options, print_object
from temper.errors import TemperError
from temper.plan.units import counted, format_cpu_list, format_millicpu

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

ROWS = 20  # pods that the live view shows


@click.command()
@url_options
@click.option("--interval", "interval_s", default=2.0, show_default=True, type=click.FloatRange(0.5), help="Seconds.")
@click.option("--once", is_flag=True, help="Print all pods once and end.")
@form_options
def top(url: str, token_file: Path | None, interval_s: float, once: bool, form: str) -> None:
    """Watch a node: its layers with their cpu use and waits, its pods with the busiest first, and what is wrong.

    Ends with Ctrl-C. An agent that goes away is waited for. As YAML or JSON it is the agent's whole document, once.

    \b
    Examples:
      temper top
      temper top --once | head
      temper top --json | jq '.pods[] | select(.tier == "critical") | .pod'
      temper top --url http://10.0.0.7:9100 --interval 1
    """
    document = fetch(url, token_file)
    if form != TEXT:
        print_object(plain(document), form)
    elif once:
        console().print(screen(document))
    else:
        _live(url, token_file, interval_s, document)


def _live(url: str, token_file: Path | None, interval_s: float, document: Document) -> None:
    from rich.live import Live

    with Live(screen(document, rows=ROWS), console=console(), screen=True, auto_refresh=False) as live:
        live.refresh()
        while True:
            try:
                time.sleep(interval_s)
                document, trouble = fetch(url, token_file), ""
            except TemperError as error:
                trouble = str(error)
            except KeyboardInterrupt:
                return
            live.update(screen(document, rows=ROWS, trouble=trouble), refresh=True)


def screen(document: Document, *, rows: int | None = None, trouble: str = "") -> Group:
    """Everything, as something that rich prints. rows: pods to show, None for all."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(line) for line in _head(document)]
    if trouble:
        parts.insert(0, Text(f"old: {trouble}", style="bold red"))
    parts += [_layers(document), _pods(document, rows)]
    for verdict in document.lint.verdicts:
        parts.append(Text.assemble((verdict.invariant, "bold red"), f" {verdict.subject}: {verdict.message}"))
    if not document.lint.verdicts:
        parts.append(Text(_all_well(document)))
    return Group(*parts)


def _head(document: Document) -> list[str]:
    said = f"{document.state}: {document.reason}".rstrip(": ")
    lines = [f"node {document.node or '-'}  {said}  generation {document.generation}  agent {document.temper}"]
    if document.machine is not None:
        machine = document.machine
        parts = [counted(machine.cpus, "cpu"), counted(machine.cores, "core"), f"open {machine.reserve}"]
        pressures = (f"{name} {pressure.some_avg10:g} %" for name, pressure in document.pressure.items())
        lines.append(f"{', '.join(parts)}; waiting: {', '.join(pressures) or 'not known'}")
    if quotas := document.quotas:
        throttled, periods = sum(each.nr_throttled for each in quotas), sum(each.nr_periods for each in quotas)
        total_s = sum(each.throttled_usec for each in quotas) / 1e6
        lines.append(
            f"cpu.max: {counted(len(quotas), 'cgroup')}, throttled in {throttled} of {periods} periods, {total_s:.1f} s"
        )
    lines += [f"API: {part}: {why}" for part, why in document.api.trouble.items()]
    return lines


def _all_well(document: Document) -> str:
    if not document.lint.enabled:
        return "the linter is off"
    return "nothing is known to be wrong" if document.lint.looked_s else "the linter has not looked yet"


def _table(*titles: str, left: int) -> Table:
    """The first `left` columns hold words, the others numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)  # fits 80 columns
    for number, title in enumerate(titles):
        words = title in ("pod", "cpus")  # what may be long
        table.add_column(title, justify="left" if number < left else "right", overflow="fold", no_wrap=not words)
    return table


def _layers(document: Document) -> Table:
    """The first numbers are of the last few seconds, those from `max ms` on since the attach.

    p99: 99 % of the waits were no longer. spill: runs of a layer with own cpus on others that it may use; guest: where
    it may not run, for want of another; late: tasks that were moved ahead (rescued).
    """
    titles = ("layer", "kind", "cpus", "pods", "used", "runs/s", "p99 us", "max ms", "spill", "guest", "late")
    table = _table(*titles, left=3)
    for layer in document.layers:
        table.add_row(layer.name, layer.kind, format_cpu_list(layer.cpus) or "-", str(layer.nr_pods), *_counted(layer))
    return table


def _counted(layer: LayerView) -> list[str]:
    now = (_number(layer.used_cpus, ".2f"), _number(layer.runs_per_s, ".0f"), _number(layer.p99_wait_us, ".0f"))
    if layer.total is None:
        return [*now, "-", "-", "-", "-"]
    total = layer.total
    counts = (total.nr_spills, total.nr_guest_runs, total.nr_rescued)
    return [*now, f"{total.max_wait_ns / 1e6:.1f}", *map(str, counts)]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _pods(document: Document, rows: int | None) -> Table:
    """throttled: of the pod's cgroups together, by our scheduler and by the kernel's own before that."""
    from rich.text import Text

    table = _table("pod", "tier", "used", "asks", "limit", "throttled", "waiting %", "wrong", left=2)
    wrong = {verdict.subject for verdict in document.lint.verdicts}
    throttled: Counter[str] = Counter()
    for quota in document.quotas:
        throttled[quota.pod] += quota.throttled_usec
    pods = sorted(document.pods, key=lambda pod: (-(pod.used_millicpu or 0), pod.pod))
    for pod in pods[:rows]:
        table.add_row(Text(pod.pod), pod.tier, *_use(pod, throttled[pod.pod]), "yes" if pod.pod in wrong else "")
    if rows is not None and len(pods) > rows:
        table.add_row(f"and {len(pods) - rows} more")
    return table


def _use(pod: PodReport, throttled_usec: int) -> list[str]:
    amounts = (pod.used_millicpu, pod.request_millicpu, pod.limit_millicpu)
    waiting = pod.pressure.get("cpu")
    throttled_usec += pod.cpu.throttled_usec
    return [
        *("-" if amount is None else format_millicpu(amount) for amount in amounts),
        f"{throttled_usec / 1e6:.1f} s" if throttled_usec else "-",
        "-" if waiting is None else f"{waiting.some_avg10:g}",
    ]
