"""What the load maker (bench/load/mcopen.c) wrote down of each request. Times are CLOCK_MONOTONIC ns."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.percentiles import ms, percentile

HEADER = struct.Struct("<8sII")
RECORD = struct.Struct("<QQIHH")  # struct record of bench/load/mcopen.c
MAGIC = b"MCOPEN1\n"


class Request(NamedTuple):
    """One request. latency_ns counts from the planned instant; lateness_ns is the client's own delay in it."""

    scheduled_ns: int
    latency_ns: int
    lateness_ns: int
    lost: bool


def read_requests(path: Path) -> list[Request]:
    """The client's record file, in the order of answers, without a torn last record; ValueError when it is none."""
    data = path.read_bytes()
    magic, size, _ = HEADER.unpack_from(data)
    if magic != MAGIC or size != RECORD.size:
        raise ValueError(f"{path.name}: not a record file of this version")
    body = data[HEADER.size : len(data) - (len(data) - HEADER.size) % RECORD.size]
    return [Request(t, latency, late, status != 0) for t, latency, late, _, status in RECORD.iter_unpack(body)]


def between(requests: Iterable[Request], start_ns: int, end_ns: int) -> list[Request]:
    """Requests planned within [start, end)."""
    return [request for request in requests if start_ns <= request.scheduled_ns < end_ns]


def latencies(requests: Sequence[Request]) -> dict[str, Any]:
    """Percentiles of one window; a lost request counts with the time it has waited."""
    waits = sorted(request.latency_ns for request in requests)
    late = sorted(request.lateness_ns for request in requests)
    return {
        "p50_ms": ms(percentile(waits, 0.50)),
        "p99_ms": ms(percentile(waits, 0.99)),
        "p999_ms": ms(percentile(waits, 0.999)),
        "max_ms": ms(waits[-1] if waits else float("nan")),
        "requests": len(waits),
        "lost": sum(request.lost for request in requests),
        "client_lateness_p99_ms": ms(percentile(late, 0.99)),
    }
