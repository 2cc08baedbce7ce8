"""What the cluster is made from: programs, certificates, kubeconfigs, command lines."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest
from testbed import binaries, certificates, cluster
from testbed.progress import TestbedError

GO_MOD = """\
module temper/testbed/kubernetes
require (
	k8s.io/kubectl v0.36.1 // indirect
	k8s.io/kubernetes v1.36.3 // indirect
)
replace k8s.io/api => k8s.io/api v0.36.3
"""


def test_the_version_is_the_one_that_go_mod_requires() -> None:
    assert binaries.kubernetes_version(GO_MOD) == "v1.36.3"
    with pytest.raises(TestbedError, match=r"requires no k8s\.io/kubernetes"):
        binaries.kubernetes_version("module empty\n")


def test_kubernetes_and_its_parts_are_of_one_release() -> None:
    text = (binaries.MODULE / "go.mod").read_text()
    parts = [line.split()[-1] for line in text.splitlines() if " => k8s.io/" in line]
    assert parts
    assert {f"v1.{part.removeprefix('v0.')}" for part in parts} == {binaries.kubernetes_version(text)}


@pytest.mark.parametrize(
    ("told", "numbers"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.9 linux/amd64", (1, 9)), ("devel", ())],
)
def test_versions_of_go(told: str, numbers: tuple[int, ...]) -> None:
    assert binaries.go_version(told) == numbers


def test_one_build_makes_all_programs(tmp_path: Path) -> None:
    argv = binaries.command_line("/usr/bin/go", "v1.36.3", tmp_path)
    assert argv[:5] == ["nice", "-n", "10", "/usr/bin/go", "build"]
    assert argv[-4:] == [f"{tmp_path}/", *binaries.PROGRAMS.values()]
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in argv[argv.index("-ldflags") + 1]


def test_a_subject_carries_user_and_groups() -> None:
    assert certificates.subject("admin", ["system:masters", "more"]) == "/O=system:masters/O=more/CN=admin"


def test_addresses_and_names_are_told_apart() -> None:
    assert certificates.alternative_names(["127.0.0.1", "localhost"]) == "IP:127.0.0.1, DNS:localhost"


def test_server_and_client_trust_each_other(tmp_path: Path) -> None:
    authority = certificates.Authority.create(tmp_path / "pki", ["10.0.2.2", "localhost"])
    here, there = authority.server("server"), authority.client("client", "admin", ["system:masters"])
    subject = _handshake(authority, here, there, "10.0.2.2")
    assert subject == {"organizationName": "system:masters", "commonName": "admin"}
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        _handshake(authority, here, there, "10.0.2.3")


def _handshake(
    authority: certificates.Authority, here: certificates.Pair, there: certificates.Pair, name: str
) -> dict[str, str]:
    """Talk TLS in memory, as strictly as Python 3.13 does; returns the subject that the server sees."""
    trust = str(authority.pair.certificate)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=trust)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(here.certificate, here.key)
    client = ssl.create_default_context(cafile=trust)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_cert_chain(there.certificate, there.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for end in ends * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    seen = ends[1].getpeercert() or {}
    return {field: value for ((field, value),) in seen["subject"]}  # type: ignore[misc]


def test_a_kubeconfig_is_complete() -> None:
    config = json.loads(cluster.kubeconfig_text("https://10.0.2.2:20000", "Q0E=", {"token": "t"}))
    (context,) = config["contexts"]
    assert config["current-context"] == context["name"]
    assert [one["name"] for one in config["clusters"]] == [context["context"]["cluster"]]
    assert [one["name"] for one in config["users"]] == [context["context"]["user"]]
    assert config["clusters"][0]["cluster"] == {
        "server": "https://10.0.2.2:20000",
        "certificate-authority-data": "Q0E=",
    }


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        taken = busy.getsockname()[1]
        monkeypatch.setattr("os.getpid", lambda: 0)
        assert cluster.free_port(range(taken, taken + 50)) > taken
        with pytest.raises(TestbedError, match="no free port"):
            cluster.free_port(range(taken, taken + 1))


def test_only_loopback_listens(tmp_path: Path) -> None:
    authority = certificates.Authority.create(tmp_path / "pki", ["127.0.0.1"])
    argv = cluster.api_server_command(tmp_path, tmp_path, 20000, authority)
    assert {"--bind-address=127.0.0.1", "--secure-port=20000", "--advertise-address=10.0.2.2"} <= set(argv)
    listening = [word for word in cluster.etcd_command(tmp_path, tmp_path) if word.startswith("--listen-")]
    assert listening == [
        f"--listen-client-urls=unix://{tmp_path}/etcd.sock",
        "--listen-peer-urls=http://127.0.0.1:0",
    ]


def test_outside_a_cluster_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cluster.VARIABLE, raising=False)
    with pytest.raises(TestbedError, match="testbed/cluster -- COMMAND"):
        cluster.Cluster.running()
