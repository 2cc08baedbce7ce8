"""Machines of unusual size, one cpu to 252 possible ones, many caches, many pods; each in its guest (Makefile)."""

from tests.kernel.conftest import *  # noqa: F403 - the fixtures and hooks of the kernel tests
