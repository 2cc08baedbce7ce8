"""The cluster of `testbed/cluster -- COMMAND` around these tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testbed.cluster import Cluster
from tests.cluster.harness.agent import Node, share_of
from tests.cluster.harness.guest import Guest
from tests.measured import measured, pytest_configure, pytest_terminal_summary  # noqa: F401 - pytest finds them here


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with Cluster.running() as running:
        yield running


@pytest.fixture(scope="module")
def node(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A guest of four cpus, known to the cluster as a node. Nothing runs on it yet."""
    guest = Guest(share_of(tmp_path_factory.mktemp("node")), cpus=4)
    try:
        joined = Node(cluster, guest)
        joined.join()
        yield joined
        if joined.pid:
            print(joined.agent_log())  # noqa: T201 - shown when a test failed
    finally:
        guest.close()
        for kind in ("pods", "nodes"):
            cluster.run("delete", kind, "--all", "--force", "--grace-period=0", "--wait=false")


@pytest.fixture(scope="session")
def temper_cli(cluster: Cluster) -> Callable[..., str]:
    """`kubectl temper ARGUMENTS...` on this machine: kubectl finds the plugin on the PATH."""
    (cluster.directory / "bin").mkdir(exist_ok=True)
    plugin = cluster.directory / "bin/kubectl-temper"
    plugin.unlink(missing_ok=True)
    plugin.symlink_to(Path(sys.executable).parent / "temper")
    path = f"{cluster.directory}/bin:{cluster.programs}:{os.environ['PATH']}"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            ["kubectl", "temper", *arguments],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
