"""Fault scenarios: testbed/run --cpus 4."""

from tests.kernel.conftest import (  # noqa: F401 - the fixtures of the kernel tests
    attached_scheduler,
    clean_machine,
    folder,
    measured,
    pytest_configure,
    pytest_terminal_summary,
    run_agent,
)
