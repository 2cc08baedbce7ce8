"""What a cgroup used of its cpus, what it may use, and how it was held back: cpu.stat, cpu.max, PSI."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from temper.node.small_files import read_bytes, read_numbers

RESOURCES = ("cpu", "memory", "io")


class CpuUse(msgspec.Struct, frozen=True):
    """Counters of cpu.stat, and the quota in millicpu (None without one). Throttling is the stock scheduler's."""

    usage_usec: int = 0
    nr_periods: int = 0
    nr_throttled: int = 0
    throttled_usec: int = 0
    quota_millicpu: int | None = None


class Pressure(msgspec.Struct, frozen=True):
    """PSI of one resource: percent of the time that some task, or all of them, waited for it.

    avg10: over the last 10 s; total_usec: since the beginning.
    """

    some_avg10: float = 0.0
    some_avg60: float = 0.0
    some_total_usec: int = 0
    full_avg10: float = 0.0
    full_avg60: float = 0.0
    full_total_usec: int = 0


def read_cpu_use(cgroup: str) -> CpuUse:
    """Of one cgroup's directory; zeros when it is gone."""
    stat = read_numbers(f"{cgroup}/cpu.stat")
    return CpuUse(
        stat.get("usage_usec", 0),
        stat.get("nr_periods", 0),
        stat.get("nr_throttled", 0),
        stat.get("throttled_usec", 0),
        read_quota_millicpu(cgroup),
    )


def read_quota_millicpu(cgroup: str) -> int | None:
    """Thousandths of a cpu that cpu.max allows; None for `max`, or without the controller."""
    words = read_bytes(f"{cgroup}/cpu.max").split()
    if len(words) != 2 or not (words[0].isdigit() and words[1].isdigit()) or not int(words[1]):
        return None
    return 1000 * int(words[0]) // int(words[1])


def sum_cpu_use(uses: Iterable[CpuUse]) -> CpuUse:
    """Of a pod whose cgroups are several. It has a quota only if each of them has."""
    uses = list(uses)
    quotas = [use.quota_millicpu for use in uses]
    return CpuUse(
        sum(use.usage_usec for use in uses),
        sum(use.nr_periods for use in uses),
        sum(use.nr_throttled for use in uses),
        sum(use.throttled_usec for use in uses),
        sum(quota or 0 for quota in quotas) if quotas and None not in quotas else None,
    )


def read_pressure(cgroup: str) -> dict[str, Pressure]:
    """Resource -> PSI of a cgroup's directory; a resource that isn't accounted for is left out."""
    return _pressures((resource, f"{cgroup}/{resource}.pressure") for resource in RESOURCES)


def read_machine_pressure(proc_root: str = "/proc") -> dict[str, Pressure]:
    """The same for the whole machine."""
    return _pressures((resource, f"{proc_root}/pressure/{resource}") for resource in RESOURCES)


def _pressures(paths: Iterable[tuple[str, str]]) -> dict[str, Pressure]:
    read = ((resource, _pressure(read_bytes(path).decode(errors="replace"))) for resource, path in paths)
    return {resource: pressure for resource, pressure in read if pressure is not None}


def _pressure(text: str) -> Pressure | None:
    """`some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, then the same with `full`."""
    fields: dict[str, float | int] = {}
    for line in text.splitlines():
        kind, *pairs = line.split() or [""]
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        try:
            fields |= {f"{kind}_{name}": float(values[name]) for name in ("avg10", "avg60")}
            fields[f"{kind}_total_usec"] = int(values["total"])
        except (KeyError, ValueError):
            return None
    return Pressure(**fields) if fields.keys() <= set(Pressure.__struct_fields__) and fields else None  # type: ignore[arg-type]
