"""Figures that tests take, shown together at the end."""

from __future__ import annotations

import pytest

MEASURED = pytest.StashKey()


def pytest_configure(config):
    """Figures are gathered while the tests run."""
    config.stash[MEASURED] = []


def pytest_terminal_summary(terminalreporter, config):
    """What was measured, for people: figures of a slow guest, to compare with each other only."""
    if config.stash[MEASURED]:
        terminalreporter.section("measured")
        for what, figure in config.stash[MEASURED]:
            terminalreporter.line(f"{figure:>12}  {what}")


@pytest.fixture
def measured(request):
    """measured(what, seconds as a float, or a count): show it when all tests are done."""

    def keep(what, figure):
        shown = f"{figure * 1e3:.1f} ms" if isinstance(figure, float) else str(figure)
        request.config.stash[MEASURED].append((what, shown))

    return keep
