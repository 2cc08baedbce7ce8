"""Machines of unusual size, one cpu to 252 possible ones, many caches, many pods; each in its guest (Makefile)."""

from tests.kernel.conftest import (  # noqa: F401 - the fixtures of the kernel tests
    clean_machine,
    folder,
    measured,
    pytest_configure,
    pytest_terminal_summary,
    run_agent,
)
