"""PostgreSQL on stage, and pgbench, which asks it at a fixed rate: Debian's packages, kept in memory."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.guest import stage, tasks
from bench.guest.house import House

PACKAGES = ("postgresql-17",)
PROGRAMS = "usr/lib/postgresql/17/bin"
USER = "nobody"  # it refuses to run as root
DATABASE = "postgres"
ROWS = 100_000  # of pgbench's smallest scale
# Nothing but what it is asked: no disk to wait for, and no upkeep of its own that a limit would cut.
OPTIONS = {
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "fsync": "off",
    "autovacuum": "off",
    "jit": "off",
}
START_S = CONNECT_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """Queries a second at random instants, each a sum over so many rows by their key.

    clients: connections, each with one query at a time: as many as may have to wait together, or pgbench is late.
    """

    rate: float
    rows: int
    clients: int = 64
    seed: int = 1

    def script(self) -> str:
        """pgbench's own."""
        return (
            f"\\set first random(1, {ROWS - self.rows + 1})\n"
            f"SELECT sum(abalance) FROM pgbench_accounts WHERE aid BETWEEN :first AND :first + {self.rows - 1};\n"
        )


class Postgres:
    """The server in its pod, pods/`pod`. Its folder is where its socket is."""

    def __init__(self, house: House, pod: str, load: Load) -> None:
        self._house = house
        self._pod = stage.ROOT / pod
        self._load = load
        self._data = house.work / "postgres"
        self._script = house.work / "query.sql"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """It runs inside the block, with pgbench's tables."""
        user = pwd.getpwnam(USER)
        self._data.mkdir(mode=0o700)
        os.chown(self._data, user.pw_uid, user.pw_gid)
        self._script.write_text(self._load.script())
        become = ["setpriv", f"--reuid={USER}", f"--regid={user.pw_gid}", "--clear-groups"]
        make = ["initdb", "--auth=trust", "--no-sync", "--no-locale", f"--pgdata={self._data}"]
        self._run([*become, *self._program(*make)])
        words = ["postgres", "-D", str(self._data), "-k", str(self._data)]
        for name, value in OPTIONS.items():
            words += ["-c", f"{name}={value}"]
        with stage.running(self._pod, [*become, *self._program(*words)], log=self._house.work / "postgres.log"):
            stage.wait_for("PostgreSQL", self._is_ready, START_S)
            self._run(self._program("pgbench", "--initialize", "--init-steps=dtGvp", *self._address()))
            yield

    @contextmanager
    def asked(self, seconds: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """pgbench asks inside the block, for so long unless it is ended. What it says goes to `log`."""
        for old in self._house.work.glob("transactions.*"):
            old.unlink()
        load = self._load
        words = self._program(
            "pgbench", "--no-vacuum", "--protocol=prepared", f"--file={self._script}", f"--client={load.clients}",
            f"--rate={load.rate:g}", f"--time={seconds}", f"--random-seed={load.seed}", "--log",
            f"--log-prefix={self._house.work / 'transactions'}", *self._address(),
        )  # fmt: skip
        argv = ["chrt", "-f", str(stage.CLIENT_PRIORITY), *words]
        with stage.running(stage.INSTRUMENT, argv, log=log) as client:
            yield client

    def wait_connected(self) -> None:
        """Until pgbench has all its connections, before which it asks nothing. TimeoutError."""
        stage.wait_for("pgbench's connections", lambda: self._nr_connections() == self._load.clients, CONNECT_S)

    def _nr_connections(self) -> int:
        """By the names that the server gives its processes."""
        titles = map(tasks.command_line, tasks.of_pod(self._pod.name))
        return sum(title.startswith(f"postgres: {USER} ") for title in titles)

    def transactions(self) -> Path:
        """pgbench's log of each, once it has ended. OSError without one."""
        found = next(self._house.work.glob("transactions.*"), None)
        if found is None:
            raise FileNotFoundError("pgbench left no log of its transactions")
        return found

    def _is_ready(self) -> bool:
        asked = subprocess.run(self._program("pg_isready", *self._address()), check=False, capture_output=True)
        return asked.returncode == 0

    def _run(self, argv: list[str]) -> None:
        stage.run(self._pod, argv, self._house.work / "set-up.log")

    def _address(self) -> tuple[str, ...]:
        return f"--host={self._data}", f"--username={USER}", f"--dbname={DATABASE}"

    def _program(self, name: str, *words: str) -> list[str]:
        return [*self._house.with_libraries, str(self._house.packages / PROGRAMS / name), *words]
