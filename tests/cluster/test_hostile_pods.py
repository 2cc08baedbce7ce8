"""Whatever somebody who may create pods writes into them: handled or refused, and never the end of the agent."""

from __future__ import annotations

import json

import pytest
from tests.cluster.harness.agent import NODE, STATUS, pod_path


@pytest.fixture(scope="module")
def attached(node):
    """An agent that enforces."""
    node.start_agent()
    node.guest.await_state("enabled")
    return node


def make(node, name, *, annotations=None, containers=None, priority_class="", **more):
    """A pod, written as somebody hostile would."""
    spec = {"nodeName": NODE, "containers": containers or [{"name": "main", "image": "none"}], **more}
    if priority_class:
        spec["priorityClassName"] = priority_class
    metadata = {"name": name, "namespace": "default", "annotations": annotations or {}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return json.loads(node.cluster.run("create", "-f", "-", "-o", "json", stdin=json.dumps(body)))


def explain(node, pod):
    """What `temper explain --json` says of it in the guest; HTTP may still be starting."""
    argv = ["temper", "explain", pod, "--json"]
    node.until(lambda: node.guest.ask("run", argv=argv)[0] == 0, f"{pod} is explained")
    return json.loads(node.guest.run(*argv))["pod"]


def still_decides(node, pod):
    """The agent goes on: a pod made after the hostile one gets its layer, by the same process and attach."""
    tasks = node.guest.ask("pod", path=pod_path(pod), sleepers=1)
    assert tasks
    node.until(lambda: node.status()["state"] == "enforcing", "still enforcing")
    assert node.status()["agent_pid"] == node.pid
    assert node.guest.seen[-1][1] == "enabled"
    assert "Traceback" not in node.agent_log()


@pytest.mark.parametrize("value", [1_000_000_000, -2_147_483_648])
def test_the_most_extreme_priorities(attached, value):
    name = f"extreme-{'high' if value > 0 else 'low'}"
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value}
    attached.cluster.run("apply", "-f", "-", stdin=json.dumps(body))
    still_decides(attached, make(attached, name, priority_class=name))


def test_annotations_of_256_kib(attached):
    # U+0085 ends a line for some readers of the watch, and Go's JSON holds it as it is.
    annotations = {"temper.codes/tier": "x" * 250_000, "infera.io/tier": "\u202e\x1b[2J", "note": "a\u0085b\u2028c"}
    still_decides(attached, make(attached, "fat", annotations=annotations))


def test_a_name_of_253_characters(attached):
    still_decides(attached, make(attached, ".".join(["a" * 50] * 4 + ["b" * 49])))


def test_a_thousand_containers(attached):
    containers = [{"name": f"c{n}", "image": "none", "resources": {"requests": {"cpu": "1m"}}} for n in range(1000)]
    still_decides(attached, make(attached, "crowd", containers=containers))


def test_absurd_quantities(attached):
    resources = {"requests": {"cpu": "1E"}, "limits": {"cpu": "9E"}}
    still_decides(
        attached, make(attached, "greedy", containers=[{"name": "c", "image": "none", "resources": resources}])
    )


@pytest.mark.parametrize("claim", ["../../../../etc", "x" * 5000, "kubepods.slice", "a\nb"])
def test_a_static_pods_claim_on_another_cgroup(attached, claim):
    annotations = {"kubernetes.io/config.mirror": claim, "kubernetes.io/config.hash": claim}
    name = f"mirror-{abs(hash(claim)) % 10_000}"
    # The API server lets only a node make mirror pods; whoever can imitate one gets no further than this.
    try:
        pod = make(attached, name, annotations=annotations)
    except Exception:  # noqa: BLE001 - refused there: that is fine too
        pytest.skip("the API server refuses it")
    still_decides(attached, pod)


def test_a_pod_cannot_take_a_victims_cgroup(attached):
    victim = attached.add_pod("victim", priority_class="temper-background")
    pids = attached.guest.ask("pod", path=pod_path(victim), spinners=1)
    uid = victim["metadata"]["uid"]
    annotations = {"kubernetes.io/config.mirror": uid, "kubernetes.io/config.hash": uid}
    try:
        make(attached, "thief", annotations=annotations, priority_class="temper-critical")
    except Exception:  # noqa: BLE001
        pytest.skip("the API server refuses it")
    attached.until(lambda: explain(attached, "victim")["cgroups"], "the victim's cgroup is found")
    assert pids
    assert explain(attached, "victim")["layer"] == "background"
    assert explain(attached, "thief")["cgroups"] == []


def test_cgroups_that_imitate_the_kubelets(attached):
    for path in (
        "kubepods.slice/kubepods-pod.slice",
        "user.slice/kubepods.slice/kubepods-podx.slice",
        "kubepods.slice/\x1b[31m",
    ):
        attached.guest.ask("pod", path=path, sleepers=1)
    still_decides(attached, make(attached, "after"))
    attached.await_annotation(STATUS, "enforcing")
