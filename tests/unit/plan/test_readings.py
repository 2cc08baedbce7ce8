import pytest

from temper.plan.demand import Reading
from temper.plan.readings import LEAST_RUNS, read
from temper.plan.samples import LayerSample

S = 1_000_000_000


def sample(**counts):
    fields = {"wait_ns": 0, "nr_runs": 0, "nr_guest_runs": 0, "nr_rescued": 0, "longest_wait_ns": 0}
    return LayerSample(layer="high", **({"ran_ns": 0} | fields | counts))


def test_used_is_cpu_time_per_time():
    assert read(sample(ran_ns=12 * S), 5 * S, protected=True) == Reading(2_400, 5 * S, False)


@pytest.mark.parametrize(
    ("runs", "long", "protected", "waited"),
    [
        (LEAST_RUNS, 2, True, True),
        (LEAST_RUNS, 1, True, False),  # one in a hundred
        (LEAST_RUNS - 1, 50, True, False),
        (LEAST_RUNS, 2, False, False),
    ],
)
def test_waits_count_where_cpus_are_kept(runs, long, protected, waited):
    hist = (runs - long, *[0] * 11, long, 0)  # 2 to 4 ms
    counts = sample(nr_runs=runs, wait_hist=hist, longest_wait_ns=3_000_000)
    assert read(counts, 5 * S, protected=protected).waited == waited
