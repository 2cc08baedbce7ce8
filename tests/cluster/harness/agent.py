"""The node under test: its objects at the API server, its agent in the guest."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

from testbed.cluster import Cluster, ServiceAccount
from tests.cluster.harness.guest import REPO, Guest

NODE = "guest"
ACCOUNT = ServiceAccount("temper", "temper-agent")
STATUS = "temper.codes/agent-status"
PATIENCE_S = 120.0


class Node:
    """One node: `cluster` has its object and pods, `guest` runs its agent."""

    def __init__(self, cluster: Cluster, guest: Guest) -> None:
        self.cluster = cluster
        self.guest = guest
        self.pid = 0

    def join(self) -> None:
        """Rights, priority classes, and the node object."""
        self.join_rights()
        self.cluster.run("apply", "-f", str(REPO / "docs/kubernetes/priority-classes.yaml"))
        self.make_object()
        self.cluster.kubeconfig_for(ACCOUNT, self.guest.share / "agent.kubeconfig")

    def join_rights(self) -> None:
        """What the agent's account may do."""
        self.cluster.run("apply", "-f", str(REPO / "docs/kubernetes/agent-rbac.yaml"))

    def make_object(self) -> None:
        """The kubelet's part."""
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"pool": "test"}}}
        self.cluster.run("create", "-f", "-", stdin=json.dumps(body))

    def start_agent(self, *sets: str, mode: str = "enforce") -> None:
        """`temper agent`, as its DaemonSet would run it."""
        argv = ["temper", "agent", "--node-name", NODE, "--mode", mode]
        for each in ("kubernetes.kubeconfig=/share/agent.kubeconfig", *sets):
            argv += ["--set", each]
        self.pid = self.guest.ask("start", argv=argv, log="/share/agent.log")

    def stop_agent(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit status."""
        self.guest.ask("signal", pid=self.pid, number=int(number))
        return int(self.guest.ask("wait", pid=self.pid))

    def annotations(self) -> dict[str, str]:
        """The node object's, now."""
        found = json.loads(self.cluster.run("get", "node", NODE, "-o", "json"))
        return dict(found["metadata"].get("annotations") or {})

    def await_annotation(self, name: str, wanted: str, timeout_s: float = PATIENCE_S) -> None:
        """Until the node object says so."""
        self.until(lambda: self.annotations().get(name, "").startswith(wanted), f"{name}={wanted}", timeout_s)

    def until(self, holds: Any, what: str, timeout_s: float = PATIENCE_S) -> None:
        """Poll the API server or the guest, neither of which can be awaited from here."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}\n{self.agent_log()[-3000:]}"
            time.sleep(0.1)

    def status(self) -> dict[str, Any]:
        """`temper status --json` in the guest."""
        found: dict[str, Any] = json.loads(self.guest.run("temper", "status", "--json"))
        return found

    def agent_log(self) -> str:
        """What the agent wrote so far."""
        log = self.guest.share / "agent.log"
        return log.read_text() if log.exists() else ""

    def add_pod(self, name: str, *, priority_class: str = "", cpu: str = "", **more: Any) -> dict[str, Any]:
        """A pod bound to the node; the object that the API server made of it."""
        body = json.dumps(pod_body(name, priority_class=priority_class, cpu=cpu, **more))
        found: dict[str, Any] = json.loads(self.cluster.run("create", "-f", "-", "-o", "json", stdin=body))
        return found

    def remove_pod(self, name: str) -> None:
        """As the kubelet does when the containers have ended."""
        self.cluster.run("delete", "pod", name, "--grace-period=0", "--force", "--wait=false")


def pod_body(name: str, *, priority_class: str = "", cpu: str = "", **more: Any) -> dict[str, Any]:
    """A pod of one container, bound to the node."""
    resources = {"requests": {"cpu": cpu, "memory": "1Mi"}} if cpu else {}
    spec = {
        "nodeName": NODE,
        "containers": [{"name": "main", "image": "none", "resources": resources}],
        "terminationGracePeriodSeconds": 0,
    } | more
    if priority_class:
        spec["priorityClassName"] = priority_class
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def pod_path(pod: dict[str, Any], *, driver: str = "systemd") -> str:
    """The cgroup that the kubelet makes for it, below the root."""
    uid, qos = pod["metadata"]["uid"], pod["status"]["qosClass"].lower()
    if driver == "cgroupfs":
        return f"kubepods/pod{uid}" if qos == "guaranteed" else f"kubepods/{qos}/pod{uid}"
    folded = uid.replace("-", "_")
    if qos == "guaranteed":
        return f"kubepods.slice/kubepods-pod{folded}.slice"
    return f"kubepods.slice/kubepods-{qos}.slice/kubepods-{qos}-pod{folded}.slice"


def share_of(folder: Path) -> Path:
    """A folder for the guest."""
    share = folder / "share"
    share.mkdir()
    return share
