"""docs/failure-modes/cpu-max.md: cpu.max.burst, given after a rest as the kernel's own scheduler gives it."""

from __future__ import annotations

import statistics
import time

import pytest
from tests.kernel.harness import load
from tests.kernel.harness.limits import TICK_S, Traced, freeze, limit, thaw

CPUS = 4
REPEATS = 3
REST_PERIODS = 3


def after_rests(name, quota_us, period_us, file):
    """The most that was consumed in a period's time right after a rest, of several rests the median."""
    cgroup = limit(f"test-q/{name}", None)
    crowd = load.spinners(cgroup, 8)
    seen = []
    for _ in range(REPEATS):
        freeze(cgroup)
        limit(f"test-q/{name}", quota_us, period_us, burst_us=quota_us)
        time.sleep(REST_PERIODS * period_us / 1e6)
        with Traced((one.pid for one in crowd), file) as traced:
            thaw(cgroup)
            time.sleep(2 * period_us / 1e6)
        seen.append(traced.consumed.most_in(period_us * 1000) / 1e9)
    load.end_all()
    return statistics.median(seen)


@pytest.mark.parametrize(("quota_us", "period_us"), [(25_000, 100_000), (15_000, 10_000), (150_000, 100_000)])
def test_after_a_rest_the_burst_is_there(request, folder, measured, quota_us, period_us):
    stock = after_rests("stock", quota_us, period_us, folder / "trace")
    request.getfixturevalue("normal")
    ours = after_rests("ours", quota_us, period_us, folder / "trace")
    measured(f"quota and burst {quota_us} us in {period_us}: the busiest period after a rest, stock", stock)
    measured("... Temper", ours)
    assert ours >= 0.95 * min(stock, 2 * quota_us / 1e6)
    # What was saved up just before a period's end, and the next quota.
    assert ours <= 3 * quota_us / 1e6 + CPUS * TICK_S
