"""The agent's log: one event a line, key=value, to stderr. structlog is imported at the first event, not at start."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _logger() -> Any:
    import logging
    import sys

    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger()


def event(name: str, **details: Any) -> None:
    """Log one event that a person may need later."""
    _logger().info(name, **details)


def failure(name: str, error: BaseException) -> None:
    """Log an error that nobody expected, with its traceback."""
    _logger().error(name, exc_info=error)
