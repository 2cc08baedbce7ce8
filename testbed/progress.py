"""What a person sees while the test bed works: steps on stderr, and one kind of error."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HEARTBEAT_S = 10.0

_state = {"quiet": False}


class TestbedError(Exception):
    """The test bed itself failed: one line for a person. `run` exits with 125."""

    __test__ = False


def be_quiet(quiet: bool) -> None:
    """Show errors only."""
    _state["quiet"] = quiet


def say(text: str) -> None:
    """One line on stderr."""
    if not _state["quiet"]:
        print(f"testbed: {text}", file=sys.stderr, flush=True)


def tail(text: str, lines: int = 40) -> str:
    """The last lines of a log, indented."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:])


def run_tool(
    argv: Sequence[str | os.PathLike[str]],
    what: str = "",
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a tool to its end and return its stdout and stderr together.

    what: said at the start, and again with the tool's latest line while it takes long; "" says nothing.
    Raises TestbedError with the end of the output when the tool fails or is missing.
    """
    if what:
        say(what)
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        try:
            child = subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd, env=env)
        except FileNotFoundError as error:
            raise TestbedError(f"{error.filename} is missing: run testbed/setup") from error
        try:
            while True:
                try:
                    status = child.wait(timeout=HEARTBEAT_S)
                    break
                except subprocess.TimeoutExpired:
                    if what:
                        last = _text(log.fileno()).rstrip().rpartition("\n")[2]
                        say(f"  {time.monotonic() - started:.0f} s: {last[-100:]}")
        except BaseException:
            child.terminate()
            child.wait()
            raise
        output = _text(log.fileno())
    if status != 0:
        raise TestbedError(f"{Path(argv[0]).name} failed with status {status}:\n{tail(output)}")
    return output


def _text(fd: int) -> str:
    return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")
