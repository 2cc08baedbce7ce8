"""The test bed's own cluster: it serves, what tests do to it works, and a guest reaches it.

testbed/cluster -- .venv/bin/python -m pytest tests/cluster/test_cluster.py
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from testbed.cluster import Cluster, ServiceAccount, User
from testbed.progress import TestbedError

REPOSITORY = Path(__file__).resolve().parents[2]
ACCOUNT = ServiceAccount("default", "smoke")
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "smoke"}}

# Who am I, by the kubeconfig of the shared folder; then the API server's word on itself.
GUEST_PROGRAM = """
import base64, json, ssl, urllib.request
with open("/share/kubeconfig") as file:
    config = json.load(file)
place, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
trust = ssl.create_default_context(cadata=base64.b64decode(place["certificate-authority-data"]).decode())
def ask(path, body=None):
    headers = {"Authorization": "Bearer " + user["token"], "Content-Type": "application/json"}
    request = urllib.request.Request(place["server"] + path, body, headers)
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
        return answer.read().decode()
api = "authentication.k8s.io/v1"
review = json.dumps({"apiVersion": api, "kind": "SelfSubjectReview"}).encode()
print(json.loads(ask(f"/apis/{api}/selfsubjectreviews", review))["status"]["userInfo"]["username"])
print(ask("/readyz"))
"""


def test_a_node_is_made_and_annotated(cluster: Cluster) -> None:
    assert cluster.run("get", "--raw", "/readyz") == "ok"
    cluster.run("apply", "-f", "-", stdin=json.dumps(NODE))
    cluster.run("annotate", "node", "smoke", "example.com/tier=gold")
    found = json.loads(cluster.run("get", "node", "smoke", "-o", "json"))
    assert found["metadata"]["annotations"]["example.com/tier"] == "gold"


def test_what_kubectl_says_is_told(cluster: Cluster) -> None:
    with pytest.raises(TestbedError, match=r'kubectl get node absent: .*nodes "absent" not found'):
        cluster.run("get", "node", "absent")


def test_what_was_written_survives_a_kill(cluster: Cluster) -> None:
    cluster.run("create", "namespace", "survivor")
    cluster.api_server.kill()
    with pytest.raises(TestbedError, match="not ready after 0 s"):
        cluster.wait_ready(0)
    cluster.etcd.kill()
    cluster.etcd.start()
    cluster.api_server.start()
    cluster.wait_ready()
    assert cluster.run("get", "namespace", "survivor", "-o", "name") == "namespace/survivor\n"


def test_nothing_is_written_while_etcd_is_paused(cluster: Cluster) -> None:
    cluster.etcd.pause()
    with pytest.raises(TestbedError):
        cluster.run("create", "namespace", "late", "--request-timeout=1s")
    cluster.etcd.resume()
    cluster.wait_ready()
    cluster.run("get", "namespaces")


def test_a_kubelet_may_change_its_own_node_only(cluster: Cluster, tmp_path: Path) -> None:
    kubelet = User("system:node:own", ("system:nodes",))
    server = f"https://127.0.0.1:{cluster.port}"
    config = cluster.kubeconfig_for(kubelet, tmp_path / "kubelet.kubeconfig", server=server)
    create = [cluster.kubectl, f"--kubeconfig={config}", "create", "-f", "-"]
    other = json.dumps(NODE).replace("smoke", "other")
    done = subprocess.run(create, input=other, capture_output=True, text=True, check=False)
    assert 'node "own" is not allowed to modify node "other"' in done.stderr


def test_a_guest_is_served(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run("create", "serviceaccount", ACCOUNT.name, f"-n={ACCOUNT.namespace}")
    cluster.kubeconfig_for(ACCOUNT, tmp_path / "kubeconfig")
    guest = [REPOSITORY / "testbed/run", "--network", "--share", tmp_path, "--", "python3", "-c", GUEST_PROGRAM]
    done = subprocess.run(guest, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.splitlines() == ["system:serviceaccount:default:smoke", "ok"]
