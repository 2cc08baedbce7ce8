"""Nodes, for people at a terminal: which there are, what their agents say, and the switch moved on some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from temper.errors import Finding, InvalidInput, NotPermitted, TemperError, TimedOut
from temper.kube import resources
from temper.kube.client import TROUBLES, Client, annotate_node, connect, describe
from temper.plan.pods import ANNOTATION_PREFIXES, SAID_AT, SWITCH_ANNOTATIONS
from temper.plan.tiers import Tier

POLL_S = 0.5
ATTEMPTS = 3
TOGETHER = 16  # patches under way at a time


class NodeView(NamedTuple):
    """One node. status: the agent's own word, empty where no agent has ever said one; switch: its annotations.

    said_at: when the agent last wrote there, in its own words. It may be dead since, or have nothing new to say.
    """

    name: str
    status: str
    version: str
    switch: dict[str, str]
    pods: dict[str, int]
    said_at: str = ""

    @property
    def state(self) -> str:
        """The first word of the status."""
        return self.status.split(":", 1)[0]


async def select(client: Client, *, names: Collection[str] = (), selector: str = "") -> list[NodeView]:
    """The named nodes, or those of a label selector (empty: all), by name. InvalidInput when a name isn't there."""
    parameters = {"labelSelector": selector} if selector else {}
    request = client.prepare_request("list", resources.Node, params={"limit": "500", **parameters})
    found = {node.metadata.name: _view(node) async for node in client.list(request)}
    if missing := sorted(set(names) - found.keys()):
        raise InvalidInput([Finding("--node", f"there is no node {name}") for name in missing])
    return [found[name] for name in sorted(set(names) or found)]


def _view(node: resources.Node) -> NodeView:
    annotations = {name: str(value) for name, value in (node.metadata.annotations or {}).items()}

    def said(what: str) -> str:
        return next(
            (annotations[f"{prefix}{what}"] for prefix in ANNOTATION_PREFIXES if f"{prefix}{what}" in annotations), ""
        )

    counts = {tier.value: said(f"tier-{tier}-pods") for tier in Tier}
    return NodeView(
        node.metadata.name or "",
        said("agent-status"),
        said("agent-version"),
        {name: annotations[name] for name in SWITCH_ANNOTATIONS if name in annotations},
        {tier: int(count) for tier, count in counts.items() if count.isdigit()},
        annotations.get(SAID_AT, ""),
    )


async def switch(client: Client, nodes: Collection[NodeView], *, on: bool) -> None:
    """Engage under our prefix, or take both away."""
    wanted: dict[str, str | None] = {SWITCH_ANNOTATIONS[0]: "true"} if on else dict.fromkeys(SWITCH_ANNOTATIONS)
    room = asyncio.Semaphore(TOGETHER)

    async def one(node: NodeView) -> None:
        async with room:
            await annotate_node(client, node.name, wanted)

    left = list(nodes)
    for attempt in range(ATTEMPTS):
        await asyncio.sleep(attempt)  # a server that is busy gets a moment
        answers = await asyncio.gather(*(one(node) for node in left), return_exceptions=True)
        failed = [(node, answer) for node, answer in zip(left, answers, strict=True) if answer is not None]
        left = [node for node, _ in failed]
        if not left:
            return
    reasons = ", ".join(f"{node.name} ({describe(error)})" for node, error in failed)
    raise TemperError(f"{len(nodes) - len(left)} of {len(nodes)} nodes were switched; not: {reasons}")


async def wait_for(client: Client, names: Collection[str], state: str, timeout_s: float) -> list[NodeView]:
    """Until the agents of all these nodes say `state`. TimedOut names those that don't."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        nodes = await select(client, names=names)
        others = [f"{node.name} ({node.status or 'no agent has spoken'})" for node in nodes if node.state != state]
        if not others:
            return nodes
        if asyncio.get_running_loop().time() > deadline:
            raise TimedOut(f"not {state} after {timeout_s:g} s: {', '.join(others)}")
        await asyncio.sleep(POLL_S)


def run(kubeconfig: str, job: Callable[[Client], Any]) -> Any:
    """Connect, do the job, disconnect; the API server's troubles become one line."""

    async def inside() -> Any:
        client = connect(kubeconfig)
        try:
            return await job(client)
        except TROUBLES as error:
            raise _translated(describe(error)) from error
        finally:
            await client.close()

    return asyncio.run(inside())


def _translated(said: str) -> TemperError:
    if said.startswith(("401", "403")):
        return NotPermitted(f"the API server refused: {said}", remedy="use a kubeconfig that may patch nodes")
    return TemperError(f"the API server: {said}", remedy="is it there? `kubectl get nodes` asks the same")
