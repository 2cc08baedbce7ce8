"""What was lost outlives the agent: /run/temper/losses.json, without which every boot begins.

Started anew by the kubelet or systemd, an agent would else attach what the kernel threw out twice. Another version of
Temper is another cause: it begins anew as well. Times are CLOCK_MONOTONIC, the same for all processes of a boot.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from temper import __version__
from temper.agent.events import event
from temper.agent.states import State
from temper.node.run_dir import write_atomically


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """The file. losses: when, and was it an ejection? latched: stay on stock, and say `state` and `reason`."""

    version: str = __version__
    losses: tuple[tuple[float, bool], ...] = ()
    latched: bool = False
    state: State = State.DETACHED
    reason: str = ""


class KeptLosses:
    """One such file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def load(self) -> Losses:
        """What is there; none without a file, from another version, or when it can't be read."""
        try:
            found = msgspec.json.decode(self._file.read_bytes(), type=Losses)
        except (OSError, msgspec.DecodeError):
            return Losses()
        return found if found.version == __version__ else Losses()

    def save(self, losses: Losses) -> None:
        """Keep these. Where that can't be done it is said, and they count as long as this process lives."""
        try:
            write_atomically(self._file, msgspec.json.encode(losses).decode() + "\n")
        except OSError as error:
            event("losses_not_kept", reason=error.strerror or str(error))

    def clear(self) -> None:
        """A person re-engaged."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
