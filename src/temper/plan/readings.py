"""What a layer's counters say of its size, as one reading. Apart from `demand`, which every attach imports."""

from __future__ import annotations

from temper.plan.demand import Reading
from temper.plan.samples import LayerSample
from temper.plan.waits import percentile_us

# Waits of a layer that nobody may keep off its cpus: one in a hundred above a millisecond, and enough runs to say so.
LONG_WAIT_US = 1000.0
LEAST_RUNS = 100


def read(sample: LayerSample, over_ns: int, *, protected: bool) -> Reading:
    """What the counters grew by in that time. Waits count where the layer is protected.

    Elsewhere whoever ranks higher may run on its cpus, and to prefer more of them would end no wait.
    """
    p99_us = percentile_us(sample.wait_hist, 0.99, longest_ns=sample.longest_wait_ns)
    waited = protected and sample.nr_runs >= LEAST_RUNS and p99_us is not None and p99_us > LONG_WAIT_US
    return Reading(1000 * sample.ran_ns // max(1, over_ns), over_ns, waited)
