"""Fault scenarios whose figures need the virtual clock: testbed/run --cpus 4 --clock virtual."""

from tests.kernel.conftest import *  # noqa: F403 - the fixtures and hooks of the kernel tests
