"""docs/failure-modes/kill-switch.md: two kubectl commands, honoured with nothing else of ours in the cluster."""

from __future__ import annotations

import time

import pytest
from tests.cluster.harness.agent import NODE, STATUS, pod_path

FORMER, OURS = "infera.io/safe-mode-requested", "temper.codes/safe-mode-requested"
REATTACH_S = 60.0


@pytest.fixture(scope="module")
def attached(node):
    """An agent with a Critical and a Background pod."""
    for name, tier in (("web", "critical"), ("batch", "background")):
        pod = node.add_pod(name, priority_class=f"temper-{tier}", cpu="1" if tier == "critical" else "")
        node.guest.ask("pod", path=pod_path(pod), spinners=1)
    node.start_agent()
    node.guest.await_state("enabled")
    return node


def kubectl(node, *words):
    """As a person types it; the host's time just before."""
    at = time.monotonic()
    node.cluster.run("annotate", "node", *words)
    return at


def test_two_kubectl_commands(attached, measured):
    at = kubectl(attached, "--all", f"{FORMER}=true")
    took_s = attached.guest.await_state("disabled", since=at) - at
    measured("kubectl annotate, typed -> disabled", took_s)
    attached.await_annotation(STATUS, "safe-mode")
    attached.await_annotation("infera.io/agent-status", "safe-mode")
    assert took_s < 3.0
    at = kubectl(attached, "--all", f"{FORMER}-")
    took_s = attached.guest.await_state("enabled", since=at, timeout_s=REATTACH_S) - at
    measured("kubectl annotate, removed -> enforcing", took_s)
    attached.await_annotation(STATUS, "enforcing")


def test_either_prefix_engages_and_both_must_be_gone(attached):
    at = kubectl(attached, NODE, f"{OURS}=true", f"{FORMER}=true")
    attached.guest.await_state("disabled", since=at)
    kubectl(attached, NODE, f"{FORMER}-")
    kubectl(attached, NODE, f"{FORMER}=false")
    attached.await_annotation(STATUS, "safe-mode")
    assert attached.guest.seen[-1][1] == "disabled"
    at = kubectl(attached, NODE, f"{OURS}=false", "--overwrite")
    attached.guest.await_state("enabled", since=at, timeout_s=REATTACH_S)
    kubectl(attached, NODE, f"{OURS}-", f"{FORMER}-")


def test_garbage_goes_toward_stock_and_says_so(attached):
    at = kubectl(attached, NODE, f"{OURS}=maybe")
    attached.guest.await_state("disabled", since=at)
    attached.until(lambda: "maybe" in attached.status()["reason"], "the reason names the value")
    assert "unclear_switch" in attached.agent_log()
    at = kubectl(attached, NODE, f"{OURS}-")
    attached.guest.await_state("enabled", since=at, timeout_s=REATTACH_S)


def test_kubectl_temper_moves_it_too(attached, temper_cli):
    at = time.monotonic()
    out = temper_cli("safe-mode", "on", "--all", "--wait")
    attached.guest.await_state("disabled", since=at)
    assert NODE in out
    attached.until(lambda: "safe-mode" in temper_cli("status", "-l", "pool=test"), "the fleet's table says it")
    assert " ago" in temper_cli("status", "-l", "pool=test")
    at = time.monotonic()
    temper_cli("safe-mode", "off", "--node", NODE, "--wait")
    attached.guest.await_state("enabled", since=at, timeout_s=REATTACH_S)


def test_the_local_switch_needs_no_api_server(attached):
    at = time.monotonic()
    attached.cluster.api_server.pause()
    try:
        attached.guest.run("temper", "safe-mode", "on", "--local")
        attached.guest.await_state("disabled", since=at)
    finally:
        attached.cluster.api_server.resume()
    attached.guest.run("temper", "safe-mode", "off", "--local")
    attached.guest.await_state("enabled", since=at, timeout_s=REATTACH_S)
