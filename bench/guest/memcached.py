"""memcached on stage, and the client that asks it (bench/load/mcopen.c)."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.guest import stage

PORT = "11211"
POD = stage.ROOT / "memcached"
# memcached's upkeep wakes every millisecond: a percent of a real cpu, but half of one in the guest.
QUIET = ("-o", "no_lru_maintainer,no_lru_crawler,no_slab_reassign")


@dataclass(frozen=True, slots=True)
class Load:
    """memcached and what is asked of it.

    threads: workers. rate: requests a second; each is a multi-get of `keys` keys out of `keyspace`, `value_bytes`
    long. period_s: the schedule repeats as often. tcp: over 127.0.0.1, else a socket in the file system.
    """

    threads: int
    rate: float
    period_s: float
    connections: int = 16
    arrivals: str = "poisson"
    seed: int = 1
    keys: int = 100
    keyspace: int = 10_000
    value_bytes: int = 8
    tcp: bool = False


class Memcached:
    """The server in its pod, pods/memcached. programs: where mcopen is; work: a folder of the guest's own."""

    def __init__(self, load: Load, programs: Path, work: Path) -> None:
        self._load = load
        self._programs = programs
        self._socket = work / "memcached.sock"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it; nothing is awaited but that an earlier one's socket is gone, by which `wait` would be misled."""
        self._socket.unlink(missing_ok=True)
        address = ["-l", "127.0.0.1", "-p", PORT] if self._load.tcp else ["-s", str(self._socket)]
        return stage.start(
            POD, ["memcached", "-u", "root", "-t", str(self._load.threads), "-m", "64", *QUIET, *address]
        )

    def wait(self) -> None:
        """Until it listens. TimeoutError when it does not."""
        if self._load.tcp:
            time.sleep(2)
        else:
            stage.wait_for("memcached's socket", self._socket.exists, 20)

    def start_client(self, out: Path, log: Path, *, populate: bool = True) -> subprocess.Popen[bytes]:
        """Populate, unless it was done before, and begin to send; every request goes to `out`."""
        load = self._load
        address = ["--port", PORT] if load.tcp else ["--socket", str(self._socket)]
        argv = [str(self._programs / "mcopen"), *address, "--out", str(out)]
        for option, value in (
            ("connections", load.connections), ("rate", load.rate), ("arrivals", load.arrivals),
            ("seed", load.seed), ("keys-per-request", load.keys), ("keyspace", load.keyspace),
            ("value-bytes", load.value_bytes), ("period", load.period_s),
        ):  # fmt: skip
            argv += [f"--{option}", str(value)]
        argv += [] if populate else ["--no-populate"]
        return stage.start(stage.INSTRUMENT, ["chrt", "-f", str(stage.CLIENT_PRIORITY), *argv], log=log)

    @staticmethod
    def wait_client(log: Path) -> None:
        """Until the client sends. TimeoutError when it does not."""
        stage.wait_for("the client's first request", lambda: log.exists() and b"start_ns" in log.read_bytes(), 60)
