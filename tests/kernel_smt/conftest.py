"""Tests of hardware threads: testbed/run --topology 2,2,2 --clock virtual."""

from tests.kernel.conftest import *  # noqa: F403 - the fixtures and hooks of the kernel tests
