"""The agent's log: one event a line, key=value, to stderr.

structlog takes longer to import than attaching does, so events are kept until `load` has been run (in a thread, while
the loop beats) and are written then, with the times at which they happened.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

LEVELS = ("debug", "info", "warning")  # least important first

_least = [LEVELS.index("info")]
_kept: list[tuple[str, str, str, dict[str, Any]]] = []
_loggers: list[Any] = []  # one, once loaded


def load() -> None:
    """Import the library and write what was kept."""
    if _loggers:
        return
    import sys

    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),  # `_keep` filters
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _loggers.append(structlog.get_logger())
    flush()


def set_level(least: str) -> None:
    """The least important level that is logged from now on, one of LEVELS."""
    _least[0] = LEVELS.index(least)


def event(name: str, **details: Any) -> None:
    """Log one event that a person may need later."""
    _keep("info", name, details)


def warning(name: str, **details: Any) -> None:
    """Log one event that a person should look into."""
    _keep("warning", name, details)


def _keep(level: str, name: str, details: dict[str, Any]) -> None:
    if LEVELS.index(level) < _least[0]:
        return
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e3):03d}Z"
    _kept.append((level, name, stamp, details))
    flush()


def flush() -> None:
    """Write what was kept, if the library is there."""
    while _loggers and _kept:
        level, name, stamp, details = _kept.pop(0)
        # A full disk or a reader that is gone: the log is no reason to stop deciding.
        with contextlib.suppress(OSError, ValueError):
            getattr(_loggers[0], level)(name, timestamp=stamp, **details)
