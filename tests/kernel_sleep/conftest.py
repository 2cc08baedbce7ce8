"""The machine sleeps: testbed/run --cpus 4. After it the guest has no way home but its console: see the page."""

from tests.kernel.conftest import *  # noqa: F403 - the fixtures and hooks of the kernel tests
