"""Tests whose figures need a clock that the host's load does not disturb: testbed/run --clock virtual."""

from tests.kernel.conftest import *  # noqa: F403 - the fixtures and hooks of the kernel tests
