"""Online cpus and what they share, from /sys/devices/system.

Cpus that a cpuset partition took for itself are left out: the root cgroup no longer has them, no other task may run
there, and a layer that owned one would hold nothing.

Ids are made unique machine-wide, since the kernel's core_id repeats in each package and caches lack one:
cores and caches are numbered from 0 in the order of their lowest cpu. Where cache or node directories are
missing (some guests and containers), each package counts as one cache and one node.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

from temper.errors import Refused
from temper.node.small_files import read_bytes
from temper.plan.machine import Cpu, Machine
from temper.plan.units import parse_cpu_list

_MIN_SHARED_CACHE_LEVEL = 2  # a first-level cache never spans cores


def read_machine(sys_root: Path = Path("/sys")) -> Machine:
    """The machine as it stands now. Refused when no online cpu is found."""
    cpu_root = sys_root / "devices/system/cpu"
    online = _unpartitioned(_online(cpu_root), sys_root / "fs/cgroup")
    if not online:
        raise Refused(f"no online cpus under {cpu_root}", remedy="is sysfs mounted there?")
    dirs = {cpu: cpu_root / f"cpu{cpu}" for cpu in online}
    packages = {cpu: _int(path / "topology/physical_package_id") for cpu, path in dirs.items()}
    cores = _numbered({cpu: _core_key(cpu, path, packages[cpu]) for cpu, path in dirs.items()})
    caches = _numbered({cpu: _cache_key(cpu, path, packages[cpu]) for cpu, path in dirs.items()})
    nodes = _nodes(sys_root / "devices/system/node", online) or _numbered(packages)
    return Machine(tuple(Cpu(cpu, cores[cpu], caches[cpu], nodes[cpu]) for cpu in online))


def highest_possible_cpu(sys_root: Path = Path("/sys")) -> int:
    """The highest id that a cpu of this machine can ever have. Refused when the kernel doesn't say."""
    possible = _cpu_list(sys_root / "devices/system/cpu/possible")
    if not possible:
        raise Refused(f"no possible cpus under {sys_root}", remedy="is sysfs mounted there?")
    return max(possible)


def isolated_cpus(sys_root: Path = Path("/sys")) -> tuple[int, ...]:
    """The cpus that were taken out of load balancing at boot (isolcpus=); empty where the kernel doesn't say."""
    return _cpu_list(sys_root / "devices/system/cpu/isolated")


def _online(cpu_root: Path) -> tuple[int, ...]:
    """The kernel's list, or (a container may hide it) the directories whose own `online` is not 0."""
    listed = _cpu_list(cpu_root / "online")
    if listed:
        return listed
    names = (path.name.removeprefix("cpu") for path in cpu_root.glob("cpu[0-9]*"))
    ids = sorted(int(name) for name in names if name.isascii() and name.isdigit())
    return tuple(cpu for cpu in ids if _int(cpu_root / f"cpu{cpu}/online") != 0)


def _unpartitioned(online: tuple[int, ...], cgroup_root: Path) -> tuple[int, ...]:
    """Those that the root cgroup still has; all of them without a cpuset controller."""
    effective = _cpu_list(cgroup_root / "cpuset.cpus.effective")
    return tuple(cpu for cpu in online if not effective or cpu in effective)


def _core_key(cpu: int, path: Path, package: int | None) -> Hashable:
    """The same for SMT siblings only: their list, else the core's id in its die, else the cpu alone."""
    topology = path / "topology"
    for name in ("core_cpus_list", "thread_siblings_list"):  # the second is the name before Linux 5.3
        siblings = _cpu_list(topology / name)
        if cpu in siblings:
            return ("siblings", siblings)
    core = _int(topology / "core_id")
    return ("cpu", cpu) if core is None else ("core", package, _int(topology / "die_id"), core)


def _cache_key(cpu: int, path: Path, package: int | None) -> Hashable:
    """The same for cpus behind one last-level cache, or of one package where caches are not shown."""
    levels: dict[int, tuple[int, ...]] = {}
    for index in path.glob("cache/index[0-9]*"):
        level, shared = _int(index / "level"), _cpu_list(index / "shared_cpu_list")
        if level is not None and level >= _MIN_SHARED_CACHE_LEVEL and cpu in shared:
            levels[level] = shared
    return ("cache", levels[max(levels)]) if levels else ("package", package)


def _nodes(node_root: Path, online: tuple[int, ...]) -> dict[int, int]:
    """The kernel's node number of each cpu; empty unless every online cpu has one."""
    nodes: dict[int, int] = {}
    for path in node_root.glob("node[0-9]*"):
        number = path.name.removeprefix("node")
        if number.isascii() and number.isdigit():
            nodes.update(dict.fromkeys(_cpu_list(path / "cpulist"), int(number)))
    return nodes if nodes.keys() >= set(online) else {}


def _numbered(keys: Mapping[int, Hashable]) -> dict[int, int]:
    """Keys replaced by 0, 1, ... in the order of first appearance."""
    numbers: dict[Hashable, int] = {}
    return {cpu: numbers.setdefault(key, len(numbers)) for cpu, key in keys.items()}


def _text(path: Path) -> str:
    """A short attribute; empty when it isn't there or can't be read."""
    return read_bytes(str(path)).decode("ascii", errors="replace").strip()


def _int(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _cpu_list(path: Path) -> tuple[int, ...]:
    try:
        return parse_cpu_list(_text(path))
    except ValueError:
        return ()
