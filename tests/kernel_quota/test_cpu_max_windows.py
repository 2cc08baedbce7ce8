"""docs/failure-modes/cpu-max.md: what many threads at once may consume beyond their limit: a tick of each cpu."""

from __future__ import annotations

import time

import pytest
from tests.kernel.harness import load
from tests.kernel.harness.limits import TICK_S, Traced, freeze, limit, thaw

CPUS = 4
PERIODS = (1, 2, 5, 10)


@pytest.mark.parametrize(
    ("quota_us", "period_us", "burst_us", "threads"),
    [(2_500, 10_000, 0, 64), (25_000, 100_000, 25_000, 64), (15_000, 10_000, 0, 8)],
)
def test_no_window_is_a_tick_of_each_cpu_beyond(normal, folder, measured, quota_us, period_us, burst_us, threads):
    cgroup = limit("test-q/many", None)
    crowd = load.spinners(cgroup, threads)
    freeze(cgroup)
    limit("test-q/many", quota_us, period_us, burst_us)
    time.sleep(3 * period_us / 1e6)
    with Traced((one.pid for one in crowd), folder / "trace") as traced:
        thaw(cgroup)
        time.sleep(12 * period_us / 1e6)
    beyond_s = [
        (traced.consumed.most_in(count * period_us * 1000) / 1000 - count * quota_us - burst_us) / 1e6
        for count in PERIODS
    ]
    measured(
        f"{threads} threads wake at once, quota {quota_us} us in {period_us}, burst {burst_us}: "
        f"most beyond it in {', '.join(map(str, PERIODS))} periods (ms)",
        ", ".join(f"{each * 1e3:.1f}" for each in beyond_s),
    )
    assert max(beyond_s) <= CPUS * TICK_S
