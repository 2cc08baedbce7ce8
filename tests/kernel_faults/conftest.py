"""Fault scenarios: testbed/run --cpus 4."""

from tests.kernel.conftest import *  # noqa: F403 - the fixtures and hooks of the kernel tests
