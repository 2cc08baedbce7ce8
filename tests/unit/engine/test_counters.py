import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.engine.counters import make_buffer, read_no_room, read_quotas, sum_counters
from temper.engine.libbpf import constant, ffi
from temper.wire import channel
from temper.wire.messages import LayerStats, NoRoom, QuotaStats, Stats
from temper.wire.pair import MAX_MESSAGE

SUMS = [name for name in LayerStats.__struct_fields__ if name not in ("wait_hist", "max_wait_ns")]
BUCKETS = constant("TEMPER_WAIT_BUCKETS")


def filled(nr_cpus, nr_layers=3):
    """A buffer in which every counter of every cpu and layer differs, and what each layer's should sum up to."""
    buffer, number, expected = make_buffer(nr_cpus), 0, []
    for layer in range(nr_layers):
        sums, hist = dict.fromkeys(SUMS, 0), [0] * BUCKETS
        for cpu in buffer:
            record = cpu.layers[layer]
            for name in SUMS:
                number += 1_000_000_007
                setattr(record, name, number)
                sums[name] += number
            for bucket in range(BUCKETS):
                number += 1
                record.wait_hist[bucket] = number
                hist[bucket] += number
            record.max_wait_ns = 1_000_000 - (number % 97)
        longest = max(cpu.layers[layer].max_wait_ns for cpu in buffer)
        expected.append(LayerStats(**sums, wait_hist=tuple(hist), max_wait_ns=longest))
    return buffer, expected


def test_the_message_has_the_fields_of_the_struct_in_its_order():
    fields = ffi.typeof("struct temper_layer_stats").fields
    assert LayerStats.__struct_fields__ == tuple(name for name, _ in fields)


@pytest.mark.parametrize("nr_cpus", [1, 2, 7])
def test_sums_over_cpus(nr_cpus):
    buffer, expected = filled(nr_cpus)
    ids = {"system": 0, "critical": 1, "low": 2}
    assert sum_counters(buffer, ids) == dict(zip(ids, expected, strict=True))


def test_layers_are_found_by_their_id():
    buffer, expected = filled(2)
    assert sum_counters(buffer, {"low": 2, "system": 0}) == {"low": expected[2], "system": expected[0]}
    assert sum_counters(buffer, {}) == {}


def test_the_last_layer_there_can_be():
    last = constant("TEMPER_MAX_LAYERS") - 1
    buffer = make_buffer(2)
    buffer[1].layers[last].nr_runs, buffer[1].layers[last].max_wait_ns = 5, 9
    assert sum_counters(buffer, {"x": last})["x"] == LayerStats(nr_runs=5, wait_hist=(0,) * BUCKETS, max_wait_ns=9)


def test_a_sum_that_overflows_begins_again_as_in_c():
    buffer = make_buffer(2)
    for cpu in buffer:
        cpu.layers[0].wait_ns = cpu.layers[0].max_wait_ns = (1 << 64) - 1
    stats = sum_counters(buffer, {"x": 0})["x"]
    assert (stats.wait_ns, stats.guest_ns, stats.max_wait_ns) == ((1 << 64) - 2, 1, (1 << 64) - 1)
    assert all(0 <= value < 1 << 64 for value in msgspec.structs.astuple(stats) if isinstance(value, int))


WORDS = st.integers(0, (1 << 64) - 1)
QUOTAS = st.builds(QuotaStats, *[WORDS] * 6, st.integers(0, 100))


def records(quotas, length):
    """The scheduler's array with these at their indexes."""
    array = ffi.new("struct temper_quota[]", length)
    for index, quota in quotas.items():
        for name, value in msgspec.structs.asdict(quota).items():
            setattr(array[index], name, value)
        array[index].tokens_ns = -5
        array[index].throttled_since_ns = array[index].burst_ns = 7
    return array


def test_the_message_has_fields_of_the_quota_s_struct():
    assert set(QuotaStats.__struct_fields__) <= {name for name, _ in ffi.typeof("struct temper_quota").fields}


@given(st.dictionaries(st.integers(0, 63), QUOTAS, max_size=9))
def test_only_finite_quotas_of_some_cgroup_are_read(quotas):
    expected = [quotas[index] for index in sorted(quotas) if quotas[index].cgroup_id and quotas[index].quota_ns]
    assert read_quotas(records(quotas, 64)) == tuple(expected)


def test_a_bucket_that_is_given_back_or_free_is_none():
    of_nobody, endless = QuotaStats(0, 1, 1, 1, 1, 1, 0), QuotaStats(5, 1, 0, 1, 1, 1, 0)
    assert read_quotas(records({0: of_nobody, 1: endless}, 2)) == ()


def test_as_many_as_there_can_be_fit_one_message():
    length = constant("TEMPER_MAX_QUOTAS")
    most = (1 << 64) - 1
    quotas = read_quotas(records(dict.fromkeys(range(length), QuotaStats(*[most] * 6, 100)), length))
    assert len(quotas) == length
    assert len(channel.encode(Stats(1, {}, quotas))) < MAX_MESSAGE / 4


def test_full_tables_are_read_as_the_struct_has_them():
    assert NoRoom.__struct_fields__ == tuple(name for name, _ in ffi.typeof("struct temper_no_room").fields)
    assert read_no_room(ffi.new("struct temper_no_room *", {"quotas": (1 << 64) - 1, "shares": 2})) == NoRoom(
        2**64 - 1, 2
    )
