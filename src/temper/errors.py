"""Every error Temper raises on purpose. The class says what to do next.

TemperError               a known failure: one line for a person, never a traceback
├── InvalidInput          the user's file or flag is wrong: fix it (exit 2); carries every finding
├── Refused               this machine can't, or mustn't, be attached: stay stock (exit 3)
├── NotPermitted          needs root or a capability (exit 4)
├── TimedOut              a state that was waited for did not come (exit 5)
├── EngineLost            the engine process is gone or silent: supervise, back off
└── CommitRejected        the kernel side kept the old generation: the old plan stands
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Finding(NamedTuple):
    """One thing wrong (or worth knowing), with its place.

    place: where it is, as the user would point at it (`workloads.toml: workload[2].tier`).
    message: what was seen and what is allowed.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class TemperError(Exception):
    """Root of the tree. `remedy` says what a person can do about it."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class InvalidInput(TemperError):
    """A file or flag of the user's is wrong; nothing was changed."""

    exit_code = 2

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(str(finding) for finding in findings))
        self.findings = tuple(findings)


class Refused(TemperError):
    """This kernel, library or machine state can't carry the scheduler; it stays on stock."""

    exit_code = 3


class NotPermitted(TemperError):
    """The caller lacks a privilege."""

    exit_code = 4


class TimedOut(TemperError):
    """A state that was waited for did not come in time."""

    exit_code = 5


class EngineLost(TemperError):
    """The engine process ended or stopped answering; its link is closed or about to be."""


class CommitRejected(TemperError):
    """The scheduler refused a generation whole; the one before it is still in force."""
