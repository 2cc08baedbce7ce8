import json

import pytest

from temper.errors import InvalidInput, TimedOut
from temper.kube import nodes as module
from temper.kube.nodes import NodeView, select, switch, wait_for
from temper.plan.pods import SWITCH_ANNOTATIONS


def node(name, **annotations):
    prefixed = {f"{prefix}/{what}": value for (prefix, what), value in annotations.pop("said", {}).items()}
    return {"metadata": {"name": name, "uid": name, "annotations": annotations | prefixed}}


def says(name, status):
    return node(name, said={("temper.codes", "agent-status"): status})


def view(name):
    return NodeView(name, "", "", {}, {})


async def test_a_node_is_what_its_agent_says(api, client):
    said = {
        ("temper.codes", "agent-status"): "detached: why",
        ("infera.io", "agent-status"): "enforcing",  # ours counts first
        ("infera.io", "agent-version"): "0.9",
        ("temper.codes", "tier-high-pods"): "3",
        ("temper.codes", "tier-low-pods"): "many",
        ("infera.io", "safe-mode-requested"): "true",
        ("temper.codes", "agent-said-at"): "2026-11-28T12:05:59Z",
    }
    api.lists(node("b", said=said), more="t")
    api.lists({"metadata": {"name": "a"}})
    first, second = await select(client, selector="pool=x")
    assert first == view("a")
    assert second == NodeView(
        "b", "detached: why", "0.9", {SWITCH_ANNOTATIONS[1]: "true"}, {"high": 3}, "2026-11-28T12:05:59Z"
    )
    assert (first.state, second.state) == ("", "detached")
    assert api.asked[0].query == {"labelSelector": "pool=x", "limit": "500"}
    assert api.asked[1].query["continue"] == "t"


async def test_named_nodes_and_names_that_are_not_there(api, client):
    for _ in range(2):
        api.lists(node("a"), node("b"), node("c"))
    assert [found.name for found in await select(client, names=["c", "a", "c"])] == ["a", "c"]
    with pytest.raises(InvalidInput, match="--node: there is no node x; --node: there is no node y"):
        await select(client, names=["y", "a", "x"])


@pytest.mark.parametrize(
    ("on", "patch"), [(True, {SWITCH_ANNOTATIONS[0]: "true"}), (False, dict.fromkeys(SWITCH_ANNOTATIONS))]
)
async def test_on_is_ours_and_off_takes_both_away(api, client, on, patch):
    for name in ("a", "b"):
        api.says("200 OK", node(name))
    await switch(client, [view("a"), view("b")], on=on)
    assert sorted(asked.path for asked in api.asked) == ["/api/v1/nodes/a", "/api/v1/nodes/b"]
    assert [json.loads(asked.body) for asked in api.asked] == [{"metadata": {"annotations": patch}}] * 2


async def test_waiting_ends_when_all_say_so(api, client, monkeypatch):
    monkeypatch.setattr(module, "POLL_S", 0.001)
    api.lists(says("a", "enforcing"), says("b", "starting: waiting"))
    api.lists(says("a", "enforcing"), says("b", "enforcing"))
    assert [found.state for found in await wait_for(client, ["a", "b"], "enforcing", 5.0)] == ["enforcing"] * 2


async def test_who_does_not_say_so_in_time_is_named(api, client):
    api.lists(says("a", "enforcing"), says("b", "unsupported: no sched_ext"), node("c"))
    with pytest.raises(TimedOut) as caught:
        await wait_for(client, ["a", "b", "c"], "enforcing", -1.0)
    assert str(caught.value) == ("not enforcing after -1 s: b (unsupported: no sched_ext), c (no agent has spoken)")
