"""The cluster's programs: Kubernetes and etcd, built from the Go modules that `testbed/kubernetes/go.mod` pins."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from testbed import cache, host
from testbed.progress import TestbedError, run_tool, say

MODULE = Path(__file__).resolve().parent / "kubernetes"
PROGRAMS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
# Where Kubernetes keeps the version that it reports; its own build sets them, a build from the module does not.
VERSION_VARIABLES = ("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion")
# From here on, go fetches the newer toolchain that a go.mod asks for.
OLDEST_GO = (1, 21)


def get() -> Path:
    """The folder with every program, built when it is missing (minutes)."""
    return cache.entry("cluster", key(), _build, keep=2)


def key() -> str:
    """The key of everything that goes into the programs, but for the release of Go."""
    go_mod, go_sum = MODULE / "go.mod", MODULE / "go.sum"
    build = command_line("go", kubernetes_version(go_mod.read_text()), Path("bin"))
    return cache.key(go_mod.read_bytes(), go_sum.read_bytes(), *build)


def kubernetes_version(go_mod: str) -> str:
    """The Kubernetes that a go.mod requires: `v1.36.3`."""
    match = re.search(r"^\s*(?:require )?k8s\.io/kubernetes (v\S+)\b", go_mod, re.MULTILINE)
    if not match:
        raise TestbedError(f"{MODULE}/go.mod requires no k8s.io/kubernetes")
    return match[1]


def go_version(text: str) -> tuple[int, ...]:
    """What `go version` tells, as numbers; nothing when it is no release."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return tuple(int(number) for number in match.groups()) if match else ()


def command_line(go: str, version: str, folder: Path) -> list[str]:
    """The build of all the programs into one folder: in one go they share what they have in common.

    The niceness leaves the machine usable meanwhile; -v names each package, so that progress shows.
    """
    stamps = " ".join(f"-X {variable}={version}" for variable in VERSION_VARIABLES)
    build = [go, "build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", f"-s -w {stamps}"]
    return ["nice", "-n", "10", *build, "-o", f"{folder}/", *PROGRAMS.values()]


def _build(folder: Path) -> None:
    version = kubernetes_version((MODULE / "go.mod").read_text())
    # An older Go may fetch the one that go.mod asks for, even where its go.env says otherwise.
    environment = {"GOTOOLCHAIN": "auto", **os.environ, "CGO_ENABLED": "0"}
    what = f"cluster: building Kubernetes {version} and etcd from their modules (some minutes, once)"
    run_tool(command_line(_go(), version, folder), what, cwd=MODULE, env=environment)
    (folder / "server").rename(folder / "etcd")  # go names a program after its package
    say("cluster: built")


def _go() -> str:
    """A Go that can build this, installed when there is none."""
    if _usable(found := shutil.which("go")):
        return str(found)
    host.install_go()
    if not _usable(found := shutil.which("go")):
        wanted = ".".join(str(number) for number in OLDEST_GO)
        raise TestbedError(f"the cluster is built with Go {wanted} or newer, which is not there: {found or 'no go'}")
    return str(found)


def _usable(go: str | None) -> bool:
    return go is not None and go_version(run_tool([go, "version"])) >= OLDEST_GO
