"""docs/failure-modes/cpu-max.md: when we have left, the kernel's own cpu.max is in force."""

from __future__ import annotations

import signal
import time

import pytest
from tests.kernel.harness import kernel, load
from tests.kernel.harness.limits import cpus_used, limit
from tests.kernel_quota.test_cpu_max import attached  # noqa: F401 - pytest finds the fixture here


def throttled_by_kernel(cgroup):
    """How often the kernel's own scheduler throttled it."""
    words = (cgroup / "cpu.stat").read_text().split()
    return int(words[words.index("nr_throttled") + 1])


def test_afterwards_the_kernel_does_it(attached):  # noqa: F811 - the fixture
    cgroup = limit("test-q/after", 25_000)
    load.spinners(cgroup, 4)
    time.sleep(0.3)  # the first period is full, and a tick on each cpu is owed
    assert cpus_used(cgroup, 2.0) == pytest.approx(0.25, abs=0.04)
    before = throttled_by_kernel(cgroup)
    attached.send(signal.SIGTERM)
    kernel.until_stock()
    assert cpus_used(cgroup, 2.0) == pytest.approx(0.25, abs=0.06)
    assert throttled_by_kernel(cgroup) > before
