"""The cluster's certificates, made on the spot by openssl and thrown away with the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.progress import run_tool

DAYS = "2"
# Key identifiers and usages are spelled out: Python 3.13 verifies strictly.
CONFIG = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a folder of its own."""

    folder: Path

    @property
    def pair(self) -> Pair:
        """Its own certificate, which whoever trusts it needs, and its key."""
        return Pair(self.folder / "ca.crt", self.folder / "ca.key")

    @classmethod
    def create(cls, folder: Path, server_names: Sequence[str]) -> Authority:
        """A new authority; every server certificate that it issues is for these DNS names and addresses."""
        folder.mkdir(mode=0o700)
        (folder / "openssl.cnf").write_text(CONFIG.format(names=alternative_names(server_names)))
        authority = cls(folder)
        authority._request("ca", "/CN=temper-testbed", "authority", [])
        return authority

    def server(self, name: str) -> Pair:
        """A certificate for a server with the names given at the start."""
        return self._issue(name, f"/CN={name}", "server")

    def client(self, file_name: str, user: str, groups: Sequence[str]) -> Pair:
        """A certificate that Kubernetes takes for this user in these groups."""
        return self._issue(file_name, subject(user, groups), "client")

    def service_account_keys(self) -> Pair:
        """A key that signs ServiceAccount tokens; the other file holds the public key, not a certificate."""
        pair = Pair(self.folder / "service-accounts.pub", self.folder / "service-accounts.key")
        run_tool(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", pair.key])
        run_tool(["openssl", "pkey", "-in", pair.key, "-pubout", "-out", pair.certificate])
        return pair

    def _issue(self, name: str, subject_name: str, extensions: str) -> Pair:
        return self._request(name, subject_name, extensions, ["-CA", self.pair.certificate, "-CAkey", self.pair.key])

    def _request(self, name: str, subject_name: str, extensions: str, signer: Sequence[str | Path]) -> Pair:
        pair = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        new_key: list[str | Path] = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-noenc",
            "-keyout",
            pair.key,
        ]
        what: list[str | Path] = [
            "-subj",
            subject_name,
            "-extensions",
            extensions,
            "-config",
            self.folder / "openssl.cnf",
        ]
        run_tool(["openssl", "req", "-x509", *new_key, *signer, *what, "-days", DAYS, "-out", pair.certificate])
        return pair


def subject(user: str, groups: Sequence[str]) -> str:
    """A certificate's subject as Kubernetes reads it: CN is the user, each O a group."""
    return "".join(f"/O={group}" for group in groups) + f"/CN={user}"


def alternative_names(names: Sequence[str]) -> str:
    """openssl's form of DNS names and IPv4 addresses."""
    return ", ".join(f"{'IP' if name.replace('.', '').isdigit() else 'DNS'}:{name}" for name in names)
