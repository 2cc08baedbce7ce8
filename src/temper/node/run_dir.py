"""/run/temper: the agent's lock, its published status, what it lost, and the local safe-mode switch.

The switch is a file, so it works without an API server and without the agent: it holds the reason, and while
it exists nothing is attached. The lock says whether an agent lives; the kernel drops it with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from temper.errors import Refused

ROOT = Path("/run/temper")


class RunDir:
    """The files below one root, which only root may write."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.switch = root / "safe-mode"
        self.status = root / "status.json"
        self.losses = root / "losses.json"
        self._lock_path = root / "lock"

    def make(self) -> None:
        """Create the folder; others may read it, so `temper status` needs no privileges."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)

    def take_lock(self) -> IO[bytes]:
        """Be the one agent of this machine for as long as the returned file stays open. Refused if there is one."""
        self.make()
        lock = self._lock_path.open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise Refused("another Temper agent runs on this machine", remedy="`temper status` shows it") from error
        return lock

    def agent_alive(self) -> bool:
        """Does an agent hold the lock?"""
        try:
            with self._lock_path.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def safe_mode_reason(self) -> str | None:
        """Why the local switch is on; None when it is off. An unreadable switch is on: unclear means stock."""
        try:
            return self.switch.read_text(errors="replace").strip() or "no reason given"
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"unreadable switch: {error.strerror}"

    def engage(self, reason: str) -> None:
        """Turn the switch on."""
        self.make()
        write_atomically(self.switch, reason + "\n")

    def release(self) -> None:
        """Turn the switch off; nothing happens when it was off."""
        self.switch.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old text or the new, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.chmod(0o644)
        temporary.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
