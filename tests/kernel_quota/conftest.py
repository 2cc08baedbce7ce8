"""`cpu.max` while attached: testbed/run --clock virtual."""

import pytest
from tests.kernel.conftest import *  # noqa: F403 - the fixtures and hooks of the kernel tests
from tests.kernel.harness import cgroups
from tests.kernel.harness.plans import plan


@pytest.fixture
def normal(attached_scheduler):
    """A scheduler that has test-q, and whatever comes to be below it, in Normal."""
    cgroups.make("test-q")
    attached_scheduler.commit(plan(("normal", "test-q", 2)))
    return attached_scheduler
