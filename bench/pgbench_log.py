"""pgbench's log of transactions at a fixed rate, as requests. Times are of the system's clock (the epoch), in ns."""

from __future__ import annotations

from pathlib import Path

from bench.request_log import Request


def read(path: Path) -> list[Request]:
    """One for each line. ValueError for a transaction that failed: nothing that we ask can.

    client, number, latency (us, from the planned instant), script, end (s, us), delay of its start (us).
    """
    found = []
    for line in path.read_text().splitlines():
        _, _, latency_us, _, end_s, end_us, delay_us = map(int, line.split())
        latency_ns = latency_us * 1000
        ended_ns = end_s * 10**9 + end_us * 1000
        found.append(Request(ended_ns - latency_ns, latency_ns, delay_us * 1000, lost=False))
    return found
