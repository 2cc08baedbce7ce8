"""The scheduler's counters: of layers, which each cpu keeps for itself and are summed here, and of cgroups' cpu.max."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from temper.engine.libbpf import ffi
from temper.wire.messages import LayerStats, NoRoom, QuotaStats

_WORD = 8  # bytes; every field is a uint64_t, or an array of them
_WORDS = ffi.sizeof("struct temper_layer_stats") // _WORD
_CPU_WORDS = ffi.sizeof("struct temper_cpu_stats") // _WORD
_FIELDS = dict(ffi.typeof("struct temper_layer_stats").fields)
_AT = {name: field.offset // _WORD for name, field in _FIELDS.items()}
_MAX_WAIT = _AT.pop("max_wait_ns")  # the one that is no sum
_HIST = _AT.pop("wait_hist")
_HIST_END = _HIST + _FIELDS["wait_hist"].type.length

_QUOTA_WORDS = ffi.sizeof("struct temper_quota") // _WORD
_CGROUP_ID = ffi.offsetof("struct temper_quota", "cgroup_id") // _WORD


def make_buffer(nr_cpus: int) -> Any:
    """Room for what the stats map gives: one record of each possible cpu."""
    return ffi.new("struct temper_cpu_stats[]", nr_cpus)


def sum_counters(buffer: Any, ids: Mapping[str, int]) -> dict[str, LayerStats]:
    """Counters of each layer over all cpus. ids: layer name -> its id."""
    memory = memoryview(ffi.buffer(buffer))
    nr_words = _WORDS * (max(ids.values(), default=-1) + 1)
    sums, words = _sum_words(memory, nr_words), memory.cast("Q")
    return {
        name: _layer_stats(sums[layer * _WORDS :][:_WORDS], max(words[layer * _WORDS + _MAX_WAIT :: _CPU_WORDS]))
        for name, layer in ids.items()
    }


def _sum_words(memory: memoryview, nr_words: int) -> list[int]:
    """The first words of every cpu's record, summed word by word.

    Each record is taken as one wide integer, so that an addition adds all of its words at once: several times cheaper
    than an object for each word. A sum that passes 2^64 (584 years of waiting, all tasks' together) begins again at 0,
    as in C, and adds 1 to the word beside it: one nanosecond, or one run.
    """
    size = nr_words * _WORD
    starts = range(0, len(memory), _CPU_WORDS * _WORD)
    total = sum(int.from_bytes(memory[start : start + size], sys.byteorder) for start in starts)
    return memoryview((total % (1 << 8 * size)).to_bytes(size, sys.byteorder)).cast("Q").tolist()


def _layer_stats(sums: list[int], max_wait_ns: int) -> LayerStats:
    counters = {name: sums[at] for name, at in _AT.items()}
    return LayerStats(**counters, wait_hist=tuple(sums[_HIST:_HIST_END]), max_wait_ns=max_wait_ns)


def read_quotas(quotas: Any) -> tuple[QuotaStats, ...]:
    """Of an array of struct temper_quota, those that are some cgroup's and finite: a few dozen of the thousand.

    The array may be the scheduler's own memory: what changes meanwhile is read in one state or the other, field by
    field, and a bucket that changes its owner in these microseconds is read right the next time.
    """
    ids = memoryview(ffi.buffer(quotas)).cast("Q")[_CGROUP_ID::_QUOTA_WORDS].tolist()
    taken = (_quota_stats(quotas[index]) for index, cgroup_id in enumerate(ids) if cgroup_id)
    return tuple(each for each in taken if each.cgroup_id and each.quota_ns)


def _quota_stats(record: Any) -> QuotaStats:
    return QuotaStats(**{name: getattr(record, name) for name in QuotaStats.__struct_fields__})


def read_no_room(record: Any) -> NoRoom:
    """Of a struct temper_no_room, the scheduler's own."""
    return NoRoom(record.quotas, record.shares)
