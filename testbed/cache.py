"""The cache: `<cache>/temper-testbed/<kind>/<key>/`, each entry a folder that is complete or absent.

An entry's key is a hash of everything that went into it, so nothing is ever updated in place: a changed input
is another entry. Building goes to a folder beside it, under a lock, and is renamed when it is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.progress import say

# A run that has just chosen an entry has opened its files well within this time; open files outlive removal.
KEEP_AT_LEAST_S = 3600.0


def folder() -> Path:
    """The cache's root, made when missing."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(base) / "temper-testbed"
    path.mkdir(parents=True, exist_ok=True)
    return path


def key(*parts: str | bytes) -> str:
    """A short name for these inputs; each part is delimited, so ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:16]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of this name; says so when another run has it."""
    path = folder() / "locks" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run works on {name}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def entry(kind: str, name: str, build: Callable[[Path], None], *, keep: int = 4) -> Path:
    """The folder `<kind>/<name>`; if it is missing, `build` fills a new folder that takes its place at once.

    keep: how many entries of this kind survive a build; the ones used longest ago go.
    """
    final = folder() / kind / name
    if not final.is_dir():
        with locked(f"{kind}-{name}"):
            if not final.is_dir():
                final.parent.mkdir(exist_ok=True)
                _build(final, build)
        with locked(f"{kind}-prune"):  # two at once would each miss what the other has just removed
            _prune(final.parent, keep)
    os.utime(final)
    return final


def _build(final: Path, build: Callable[[Path], None]) -> None:
    for stale in final.parent.glob(f".{final.name}.*"):
        shutil.rmtree(stale)
    temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    temporary.chmod(0o755)
    try:
        build(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    temporary.rename(final)


def _prune(kind: Path, keep: int) -> None:
    entries = [path for path in kind.iterdir() if not path.name.startswith(".")]
    entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in entries[keep:]:
        if time.time() - path.stat().st_mtime > KEEP_AT_LEAST_S:
            shutil.rmtree(path, ignore_errors=True)
