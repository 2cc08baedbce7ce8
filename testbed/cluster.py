"""A real Kubernetes API server with its etcd, on this machine's loopback, for as long as a test needs it.

    with Cluster.start() as cluster:        # or Cluster.running() in a command of `testbed/cluster -- COMMAND`
        cluster.run("create", "namespace", "temper")
        cluster.api_server.kill()
        cluster.api_server.start()
        cluster.wait_ready()

There is no controller manager, scheduler or kubelet: objects stay as they are written (docs/testbed.md).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from testbed import binaries, cache, certificates, host
from testbed.component import Component, Server
from testbed.control import Remote
from testbed.network import HOST_ADDRESS
from testbed.progress import TestbedError, say

VARIABLE = "TEMPER_TESTBED_CLUSTER"
PREFIX = "temper-cluster-"
READY_S = 90.0
ASK_S, SHORTEST_S = 5.0, 0.1
# Below the ports that the kernel gives to clients: a client can't take the port of a server that is down.
PORTS = range(20000, 30000)
SERVICE_ADDRESSES = "10.96.0.0/16"
# What each service account asked for: JSON is YAML too. A watch is written when it ends as well.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}
ISSUER = "https://kubernetes.default.svc"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Who a token is for; the account must exist."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class User:
    """Who a client certificate is for: `User("system:node:guest", ("system:nodes",))` is a kubelet."""

    name: str
    groups: tuple[str, ...] = ()


ADMIN = User("admin", ("system:masters",))


@dataclass(slots=True)
class Cluster:
    """The API server at `https://127.0.0.1:<port>`, which a guest with a network finds at 10.0.2.2.

    directory: logs, keys and data. programs: the folder of kubectl and the others. claim: held while it is in use.
    """

    directory: Path
    programs: Path
    port: int
    etcd: Component
    api_server: Component
    servers: list[Server] = field(default_factory=list)
    claim: TextIO | None = None

    @classmethod
    def start(cls) -> Cluster:
        """A new cluster, ready; its programs are built first when they are missing."""
        programs = binaries.get()
        host.ensure_openssl()
        directory, claim = _new_directory()
        port = free_port(PORTS)
        authority = certificates.Authority.create(directory / "pki", ["127.0.0.1", HOST_ADDRESS, "localhost"])
        etcd = Server(etcd_command(programs, directory), directory / "etcd.log")
        (directory / "audit-policy.yaml").write_text(json.dumps(AUDIT_POLICY))
        argv = api_server_command(programs, directory, port, authority)
        api_server = Server(argv, directory / "kube-apiserver.log")
        cluster = cls(directory, programs, port, etcd, api_server, [etcd, api_server], claim)
        try:
            cluster._begin()
        except BaseException:
            cluster.close()
            raise
        return cluster

    @classmethod
    def running(cls) -> Cluster:
        """The cluster of the `testbed/cluster` around this process; closing it does nothing."""
        place = os.environ.get(VARIABLE)
        if not place:
            raise TestbedError(f"{VARIABLE} is not set: run this inside `testbed/cluster -- COMMAND`")
        directory = Path(place)
        known = json.loads((directory / "cluster.json").read_text())
        control = directory / "control"
        etcd, api_server = Remote(control, "etcd"), Remote(control, "kube-apiserver")
        return cls(directory, Path(known["programs"]), known["port"], etcd, api_server)

    def _begin(self) -> None:
        for server in self.servers:
            server.start()
        self.kubeconfig_for(ADMIN, self.kubeconfig, server=f"https://127.0.0.1:{self.port}")
        known = {"port": self.port, "programs": str(self.programs)}
        (self.directory / "cluster.json").write_text(json.dumps(known))
        started = time.monotonic()
        self.wait_ready()
        say(f"cluster: ready on port {self.port} after {time.monotonic() - started:.0f} s")

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what this process has started, and forget its data."""
        for server in reversed(self.servers):
            server.kill()
        if self.claim:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.claim.close()

    @property
    def components(self) -> dict[str, Component]:
        """The server programs by name."""
        return {"etcd": self.etcd, "kube-apiserver": self.api_server}

    @property
    def kubeconfig(self) -> Path:
        """The cluster admin's, for this machine."""
        return self.directory / "admin.kubeconfig"

    @property
    def kubectl(self) -> Path:
        """The program."""
        return self.programs / "kubectl"

    @property
    def authority(self) -> certificates.Authority:
        """What signs the cluster's certificates; `authority.pair.certificate` is what clients trust."""
        return certificates.Authority(self.directory / "pki")

    @property
    def guest_url(self) -> str:
        """The API server's address inside a guest."""
        return f"https://{HOST_ADDRESS}:{self.port}"

    def run(self, *arguments: str, stdin: str = "") -> str:
        """kubectl as the admin; returns its stdout, raises TestbedError with its stderr."""
        command = [str(self.kubectl), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TestbedError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def token(self, account: ServiceAccount, *, seconds: int = 24 * 3600) -> str:
        """A token of this account from the TokenRequest API (600 s is the shortest that it gives)."""
        return self.run("create", "token", account.name, f"-n={account.namespace}", f"--duration={seconds}s").strip()

    def kubeconfig_for(self, who: ServiceAccount | User, path: Path, *, server: str = "", token_file: str = "") -> Path:
        """Write a kubeconfig; returns its path.

        server: a URL; the guest's way to the API server unless given. token_file: where the reader finds the token
        of a ServiceAccount (which is then not in the kubeconfig; the caller puts it there).
        """
        if isinstance(who, ServiceAccount):
            login = {"tokenFile": token_file} if token_file else {"token": self.token(who)}
        else:
            pair = self.authority.client(f"client-{os.urandom(4).hex()}", who.name, who.groups)
            login = {"client-certificate-data": _base64(pair.certificate), "client-key-data": _base64(pair.key)}
        authority = _base64(self.authority.pair.certificate)
        path.touch(0o600)
        path.write_text(kubeconfig_text(server or self.guest_url, authority, login))
        return path

    def asked_by(self, account: ServiceAccount) -> list[dict[str, Any]]:
        """What an account asked of the API server so far, oldest first: the audit log's events, restarts included."""
        name = f"system:serviceaccount:{account.namespace}:{account.name}"
        log = self.directory / "audit.log"
        events = (json.loads(line) for line in log.read_text().splitlines()) if log.exists() else ()
        return [event for event in events if event["user"]["username"] == name]

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until the API server says that it is ready, etcd included."""
        deadline = time.monotonic() + timeout_s
        while (answer := self._readyz(min(ASK_S, timeout_s) or SHORTEST_S)) != "ok":
            for server in self.servers:
                server.check()
            if time.monotonic() > deadline:
                raise TestbedError(f"the API server is not ready after {timeout_s:g} s: {answer}")
            time.sleep(0.1)

    def _readyz(self, timeout_s: float) -> str:
        trust = ssl.create_default_context(cafile=self.authority.pair.certificate)
        try:
            with urllib.request.urlopen(
                f"https://127.0.0.1:{self.port}/readyz", timeout=timeout_s, context=trust
            ) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.read().decode(errors="replace")
        except OSError as error:
            return str(error)


def _new_directory() -> tuple[Path, TextIO]:
    """A folder for a cluster and its lock, which ends with this process; folders of killed processes go."""
    with cache.locked("clusters"):
        for claim in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/claim"):
            if claim.stat().st_uid == os.geteuid():
                _remove_unclaimed(claim)
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        file = (directory / "claim").open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
    return directory, file


def _remove_unclaimed(claim: Path) -> None:
    with claim.open("w") as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(claim.parent, ignore_errors=True)


def etcd_command(programs: Path, directory: Path) -> list[str]:
    """etcd with its clients on a socket that only this user can reach; without fsync, for the data is thrown away."""
    nobody = "http://127.0.0.1:0"  # it has no peers and no client that asks for its address, but must be told one
    options = {
        "name": "testbed",
        "data-dir": directory / "etcd",
        "listen-client-urls": f"unix://{directory}/etcd.sock",
        "advertise-client-urls": nobody,
        "listen-peer-urls": nobody,
        "initial-advertise-peer-urls": nobody,
        "initial-cluster": f"testbed={nobody}",
        "log-level": "warn",
        "unsafe-no-fsync": "true",
    }
    return [str(programs / "etcd"), *(f"--{name}={value}" for name, value in options.items())]


def api_server_command(programs: Path, directory: Path, port: int, authority: certificates.Authority) -> list[str]:
    """The API server.

    Its advertised address is the one by which guests find it. The ServiceAccount admission would want each pod's
    account to exist and would mount a token beside a ConfigMap which only the controller manager publishes: no
    kubelet could start such a pod here.
    """
    server, tokens = authority.server("kube-apiserver"), authority.service_account_keys()
    options = {
        "etcd-servers": f"unix://{directory}/etcd.sock",
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "advertise-address": HOST_ADDRESS,
        "service-cluster-ip-range": SERVICE_ADDRESSES,
        "tls-cert-file": server.certificate,
        "tls-private-key-file": server.key,
        "client-ca-file": authority.pair.certificate,
        "service-account-issuer": ISSUER,
        "service-account-key-file": tokens.certificate,
        "service-account-signing-key-file": tokens.key,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",  # a kubelet changes its own node only, as kubeadm has it
        "disable-admission-plugins": "ServiceAccount",
        "allow-privileged": "true",
        "audit-policy-file": directory / "audit-policy.yaml",
        "audit-log-path": directory / "audit.log",
        "audit-log-mode": "blocking-strict",  # a line is there when its answer is, whoever is killed next
    }
    return [str(programs / "kube-apiserver"), *(f"--{name}={value}" for name, value in options.items())]


def kubeconfig_text(server: str, authority: str, login: dict[str, str]) -> str:
    """A kubeconfig with one context, as JSON, which is YAML too. authority: a PEM certificate in base64."""
    name = "testbed"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": login}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(config, indent=1) + "\n"


def free_port(ports: range) -> int:
    """A loopback port of these that nobody has; runs at the same time begin at different ones."""
    begin = os.getpid() % len(ports)
    order: list[int] = [*ports[begin:], *ports[:begin]]
    for port in order:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise TestbedError(f"no free port from {ports.start} to {ports.stop - 1}")


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
