"""`temper explain`: one pod: its tier and why, its layer, what it uses, what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from temper.agent.observe import Document, LayerView, PodReport, QuotaReport, VerdictView, plain
from temper.cli.agent_http import fetch, url_options
from temper.cli.output import TEXT, form_options, print_object
from temper.errors import Finding, InvalidInput
from temper.plan.explain import explain_bandwidth, explain_size
from temper.plan.layers import Size
from temper.plan.units import format_cpu_list, format_millicpu

JSON_VERSION = 1
_SHOWN = 5  # names of other pods that a message lists


@click.command()
@click.argument("pod", metavar="POD")
@url_options
@form_options
def explain(pod: str, url: str, token_file: Path | None, form: str) -> None:
    """Say why a pod of this node has its tier and its cpus, and whether it gets what it was promised.

    POD is NAMESPACE/NAME, or a name that only one pod of the node has.

    \b
    Examples:
      temper explain shop/checkout-7d9f
      temper explain checkout-7d9f --json | jq .pod.reason
      temper explain shop/db-0 --url http://10.0.0.7:9100 -o yaml
    """
    document = fetch(url, token_file)
    found = find(document, pod)
    if form == TEXT:
        for name, value in _lines(document, found):
            click.echo(f"{name + ':':<10}{value}" if name else value)
        return
    print_object(_as_dict(document, found), form)


def find(document: Document, wanted: str) -> PodReport:
    """The pod of that key or name. InvalidInput when there is none, or more than one."""
    found = [pod for pod in document.pods if wanted in (pod.pod, pod.pod.partition("/")[2])]
    if len(found) == 1:
        return found[0]
    names = sorted(pod.pod for pod in found or document.pods)
    listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    if found:
        raise InvalidInput([Finding(wanted, f"more than one pod has this name: {listed}")])
    raise InvalidInput(
        [Finding(wanted, f"no such pod on node {document.node}, as the agent knows it: {listed or '-'}")]
    )


def _verdicts(document: Document, pod: PodReport) -> list[VerdictView]:
    """Those about the pod itself, and about its layer."""
    return [verdict for verdict in document.lint.verdicts if verdict.subject in (pod.pod, pod.layer)]


def _layer(document: Document, pod: PodReport) -> LayerView | None:
    return next((layer for layer in document.layers if layer.name == pod.layer), None)


def _as_dict(document: Document, pod: PodReport) -> dict[str, Any]:
    layer = _layer(document, pod)
    return {
        "version": JSON_VERSION,
        "node": document.node,
        "state": document.state,
        "reason": document.reason,
        "pod": plain(pod),
        "layer": plain(layer) if layer else None,
        "quotas": [plain(quota) for quota in document.quotas if quota.pod == pod.pod],
        "threads": [plain(thread) for thread in document.threads if thread.pod == pod.pod],
        "verdicts": [plain(verdict) for verdict in _verdicts(document, pod)],
    }


def _lines(document: Document, pod: PodReport) -> Iterator[tuple[str, str]]:
    yield "pod", pod.pod
    yield "tier", f"{pod.tier}: {pod.reason}"
    yield "layer", _layer_line(document, pod)
    if (layer := _layer(document, pod)) is not None:
        if layer.size is not None:
            yield "size", _size_line(layer, layer.size)
        yield "quota", explain_bandwidth(layer.smooth_periods, layer.ceiling_millicpu)
    yield "asks", _amount(pod.request_millicpu) + f", limit {_amount(pod.limit_millicpu)}"
    yield "uses", _use_line(pod)
    for quota in (quota for quota in document.quotas if quota.pod == pod.pod):
        yield "cpu.max", _quota_line(quota)
    if pod.held_cpus:
        yield "held", f"cpus {format_cpu_list(pod.held_cpus)} are its own by somebody else's pinning; no layer has them"
    yield "cgroups", ", ".join(pod.cgroups) or "none: it has not started, or was not found"
    for thread in (thread for thread in document.threads if thread.pod == pod.pod):
        yield "thread", f"{thread.tid} ({thread.name}) {100 * thread.share:.1f} % of cpu {thread.cpu}"
    for verdict in _verdicts(document, pod):
        yield "WRONG", f"{verdict.invariant}: {verdict.message}"
        yield "", f"{'':<10}{verdict.fix}"


def _layer_line(document: Document, pod: PodReport) -> str:
    layer = _layer(document, pod)
    if layer is None:
        return f"{pod.layer}; nothing is in force: the node is {document.state} {document.reason}".rstrip()
    rights = [name for name in ("protected", "preempts", "exclusive") if getattr(layer, name)]
    own = f"cpus {format_cpu_list(layer.cpus)}" if layer.cpus else "no cpus of its own"
    would = "" if document.state == "enforcing" else f" (would be: the node is {document.state})"
    return f"{', '.join([layer.name, layer.kind, own, f'may use {pod.may_use}', *rights])}{would}"


def _size_line(layer: LayerView, size: Size) -> str:
    used = None if layer.used_cpus is None else round(1000 * layer.used_cpus)
    return f"cpus of the layer: {explain_size(size, used)}"


def _use_line(pod: PodReport) -> str:
    parts = [_amount(pod.used_millicpu)]
    if pod.cpu.quota_millicpu is not None:
        parts.append(f"cpu.max {format_millicpu(pod.cpu.quota_millicpu)}")
    if pod.cpu.nr_throttled:
        parts.append(f"throttled {pod.cpu.nr_throttled} times, {pod.cpu.throttled_usec / 1e6:.1f} s")
    if (pressure := pod.pressure.get("cpu")) is not None:
        parts.append(f"waited for a cpu {pressure.some_avg10:g} % of the last 10 s")
    return ", ".join(parts)


def _quota_line(quota: QuotaReport) -> str:
    whose = f"container {quota.container}" if quota.container else quota.cgroup
    return (
        f"{whose}: {_amount(quota.quota_millicpu)}, throttled in {quota.nr_throttled} of {quota.nr_periods} "
        f"periods, {quota.throttled_usec / 1e6:.1f} s, since our scheduler enforces it"
    )


def _amount(millicpu: int | None) -> str:
    return "-" if millicpu is None else f"{format_millicpu(millicpu)} cpus"
