"""From pods at a real API server to layers in the kernel; docs/failure-modes/api-server-away.md for its troubles."""

from __future__ import annotations

import json
import time

import pytest
from tests.cluster.harness.agent import ACCOUNT, NODE, STATUS, pod_path


@pytest.fixture(scope="module")
def enforcing(node):
    """An agent attached on a node without pods."""
    node.start_agent("kubernetes.annotate_interval_s=1")
    node.guest.await_state("enabled")
    node.await_annotation(STATUS, "enforcing")
    return node


def layers(node):
    """layer -> cpus, as in force."""
    return {layer["name"]: layer["cpus"] for layer in node.status()["layers"]}


def test_a_critical_pod_is_fenced_and_a_background_pod_kept_out(enforcing, measured):
    web = enforcing.add_pod("web", priority_class="temper-critical", cpu="2")
    batch = enforcing.add_pod("batch", priority_class="infera-background")
    background = enforcing.guest.ask("pod", path=pod_path(batch, driver="systemd"), spinners=6)
    began = time.monotonic()
    critical = enforcing.guest.ask("pod", path=pod_path(web, driver="systemd"), spinners=2)
    enforcing.until(lambda: "critical" in layers(enforcing), "a critical layer", 10)
    measured("cgroup made -> its layer seen in the status", time.monotonic() - began)
    fence = layers(enforcing)["critical"]
    assert len(fence) == 2
    enforcing.until(lambda: enforcing.guest.ask("cpus", pids=critical) == fence, "both cpus of the fence are used", 20)
    assert not set(enforcing.guest.ask("cpus", pids=background)) & set(fence)
    enforcing.await_annotation("temper.codes/tier-critical-pods", "1")
    enforcing.await_annotation("infera.io/tier-critical-millicpu", "2000")


def test_a_container_that_starts_later_is_right_at_once(enforcing):
    late = enforcing.add_pod("late", priority_class="temper-critical")
    seq = enforcing.guest.run("cat", "/sys/kernel/sched_ext/enable_seq")
    pids = enforcing.guest.ask("pod", path=pod_path(late), spinners=1)
    enforcing.until(
        lambda: set(enforcing.guest.ask("cpus", pids=pids, looks=5)) <= set(layers(enforcing)["critical"]), "fenced"
    )
    assert enforcing.guest.run("cat", "/sys/kernel/sched_ext/enable_seq") == seq
    # With it three of four cpus are fenced. A spinner of the next test would leave everybody else turns only.
    enforcing.guest.ask("unpod", path=pod_path(late))
    enforcing.remove_pod("late")
    enforcing.until(lambda: len(layers(enforcing)["critical"]) == 2, "its cpu is open again", 20)


def test_system_pods_are_never_fenced(enforcing):
    proxy = enforcing.add_pod("proxy", priority_class="system-node-critical")
    enforcing.guest.ask("pod", path=pod_path(proxy), spinners=1)
    before = enforcing.status()["stats"].get("system", {"run_ns": 0})["run_ns"]
    enforcing.until(
        lambda: enforcing.status()["stats"]["system"]["run_ns"] > before + 2e9,
        "the spinner's time in the system layer",
        40,
    )
    enforcing.guest.ask("unpod", path=pod_path(proxy))
    enforcing.remove_pod("proxy")


def test_a_pod_that_goes_leaves_its_cpus(enforcing):
    for name in ("web", "batch"):
        pod = json.loads(enforcing.cluster.run("get", "pod", name, "-o", "json"))
        enforcing.guest.ask("unpod", path=pod_path(pod))
        enforcing.remove_pod(name)
    enforcing.until(lambda: "critical" not in layers(enforcing), "no critical layer", 10)
    enforcing.await_annotation("temper.codes/tier-critical-pods", "0")


def test_what_is_in_force_outlives_the_api_server(enforcing):
    enforcing.cluster.api_server.kill()
    enforcing.until(lambda: enforcing.status()["api_trouble"], "the trouble is in the status")
    assert enforcing.status()["state"] == "enforcing"
    assert enforcing.guest.seen[-1][1] == "enabled"
    enforcing.cluster.api_server.start()
    enforcing.cluster.wait_ready()
    enforcing.until(lambda: not enforcing.status()["api_trouble"], "the trouble is over")
    at = time.monotonic()
    enforcing.cluster.run("annotate", "node", NODE, "infera.io/safe-mode-requested=true")
    enforcing.guest.await_state("disabled", since=at)
    enforcing.cluster.run("annotate", "node", NODE, "infera.io/safe-mode-requested-")
    enforcing.guest.await_state("enabled", since=at)


def test_the_node_object_may_go_and_come_back(enforcing):
    enforcing.cluster.run("delete", "node", NODE)
    time.sleep(1)  # nothing is to happen
    assert enforcing.guest.seen[-1][1] == "enabled"
    enforcing.make_object()
    enforcing.await_annotation(STATUS, "enforcing")


def test_lost_rights_change_nothing_but_the_status(enforcing):
    enforcing.cluster.run("delete", "clusterrolebinding", "temper-agent")
    enforcing.cluster.api_server.kill()  # ends the watches, which an authorized start keeps open
    enforcing.cluster.api_server.start()
    enforcing.cluster.wait_ready()
    enforcing.until(lambda: enforcing.status()["api_trouble"].startswith("403"), "403 in the status")
    assert enforcing.status()["state"] == "enforcing"
    enforcing.join_rights()
    enforcing.until(lambda: not enforcing.status()["api_trouble"], "the trouble is over", 90)


def test_a_rotated_kubeconfig_is_read_again(enforcing):
    """An account made anew is another one to the server: the token that the agent began with is nobody's any more."""
    enforcing.cluster.run("delete", "serviceaccount", ACCOUNT.name, "--namespace", ACCOUNT.namespace)
    enforcing.join_rights()
    enforcing.cluster.kubeconfig_for(ACCOUNT, enforcing.guest.share / "agent.kubeconfig")
    enforcing.cluster.api_server.kill()  # ends the watches, which the old token opened
    enforcing.cluster.api_server.start()
    enforcing.cluster.wait_ready()
    at = time.monotonic()
    enforcing.cluster.run("annotate", "node", NODE, "infera.io/safe-mode-requested=true")
    enforcing.guest.await_state("disabled", since=at)
    enforcing.await_annotation(STATUS, "safe-mode")
    enforcing.cluster.run("annotate", "node", NODE, "infera.io/safe-mode-requested-")
    enforcing.guest.await_state("enabled", since=at)
    enforcing.until(lambda: not enforcing.status()["api_trouble"], "the trouble is over", 90)


def test_killed_the_agent_leaves_stock_and_says_so_when_it_is_back(enforcing):
    enforcing.guest.ask("signal", pid=enforcing.pid, number=9)
    at = time.monotonic()
    enforcing.guest.await_state("disabled", since=at)
    enforcing.start_agent()
    enforcing.guest.await_state("enabled", since=at)
    assert enforcing.stop_agent() == 0
    enforcing.await_annotation(STATUS, "detached: agent stopped")
    enforcing.guest.await_state("disabled", since=at)


def test_without_a_node_object_the_machine_stays_stock(enforcing):
    enforcing.cluster.run("delete", "node", NODE)
    enforcing.start_agent()
    enforcing.until(lambda: "waiting for the node object" in enforcing.status()["reason"], "it waits")
    assert enforcing.guest.seen[-1][1] == "disabled"
    at = time.monotonic()
    enforcing.make_object()
    enforcing.guest.await_state("enabled", since=at)
    enforcing.stop_agent()


def test_shadow_mode_attaches_nothing(enforcing):
    at = time.monotonic()
    enforcing.start_agent(mode="observe")
    enforcing.await_annotation(STATUS, "observing")
    assert not [state for when, state, _ in enforcing.guest.seen if when > at and state == "enabled"]
    enforcing.stop_agent()
