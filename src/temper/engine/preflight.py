"""Can this kernel carry the scheduler? Asked before anything is loaded, and answered with a remedy.

Each check is a plain value, so `temper doctor` shows them all and the engine stops at the first that fails.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from temper.engine import libbpf
from temper.errors import Refused
from temper.node import sched_ext

KERNELS = "Debian: a 6.19, 7.0 or 7.3 kernel from backports; Ubuntu 25.04, RHEL 10, AL2023 6.18 and newer"
KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")
# struct btf_header (linux/btf.h): magic, version, flags, hdr_len, type_off, type_len, str_off, str_len.
BTF_HEADER = struct.Struct("=HBBIIIII")

# Members of sched_ext_ops that we fill, and functions without which nothing works. Those with several
# names are probed in bpf/compat.h; here stands one that each supported kernel has.
MEMBERS = (
    "select_cpu",
    "enqueue",
    "dispatch",
    "runnable",
    "running",
    "stopping",
    "init_task",
    "init",
    "exit",
)
FUNCTIONS = (
    "scx_bpf_create_dsq",
    "scx_bpf_kick_cpu",
    "scx_bpf_pick_idle_cpu",
    "scx_bpf_test_and_clear_cpu_idle",
    "scx_bpf_dsq_nr_queued",
    "bpf_iter_scx_dsq_new",
)


class Check(msgspec.Struct, frozen=True):
    """One question and its answer. `remedy` is empty when it is answered well."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def check_privilege() -> Check:
    """Loading BPF and reading others' cgroups needs root."""
    ok = os.geteuid() == 0
    return Check("root", ok, f"euid {os.geteuid()}", "" if ok else "run as root, or with sudo")


def check_sched_ext(root: Path = sched_ext.ROOT) -> Check:
    """The kernel was built with CONFIG_SCHED_CLASS_EXT."""
    state = sched_ext.read_state(root)
    if state.state == "absent":
        detail = f"kernel {platform.release()} has no sched_ext (CONFIG_SCHED_CLASS_EXT is off)"
        return Check("sched_ext", False, detail, f"boot a kernel with sched_ext. {KERNELS}")
    return Check("sched_ext", True, f"kernel {platform.release()}, state {state.state}")


def check_unattached(root: Path = sched_ext.ROOT) -> Check:
    """Nobody decides there yet."""
    state = sched_ext.read_state(root)
    if state.stock:
        return Check("unattached", True, "no scheduler attached")
    remedy = "stop it first"
    if state.ours:
        remedy = "`temper safe-mode on --local` detaches it; `temper status` says whose it is"
    return Check("unattached", False, f'scheduler "{state.ops}" is {state.state}', remedy)


def check_isolation(sys_root: Path = Path("/sys")) -> Check:
    """No cpu was isolated at boot: the kernel attaches no scheduler beside isolcpus=, and says only "invalid"."""
    # Asked when an attach has failed, and by `temper doctor`: not worth a start's time.
    from temper.node.topology import isolated_cpus
    from temper.plan.units import format_cpu_list

    isolated = isolated_cpus(sys_root)
    if not isolated:
        return Check("isolation", True, "no isolated cpus")
    detail = f"cpu {format_cpu_list(isolated)} isolated at boot (isolcpus=); the kernel attaches no scheduler then"
    return Check("isolation", False, detail, "boot without isolcpus=; a cpuset partition keeps cpus free as well")


def check_btf(library: Any, types: libbpf.Btf) -> Iterator[Check]:
    """The kernel's types are there, well formed, and have what we use."""
    malformed = [name for name in FUNCTIONS if (types.parameters(name) or [""])[-1:] == ["aux"]]
    if malformed:
        # Kernels 7.1 and 7.2 built with pahole before 1.31: functions marked KF_IMPLICIT_ARGS still show
        # their hidden last argument, and libbpf then finds every prototype incompatible.
        detail = f"malformed BTF: {', '.join(malformed)} show the hidden argument aux"
        yield Check("btf", False, detail, f"this kernel was built with pahole < 1.31; boot another. {KERNELS}")
        return
    yield Check("btf", True, "well formed")
    absent = [name for name in FUNCTIONS if types.parameters(name) is None]
    members = types.members("sched_ext_ops")
    absent += [f"sched_ext_ops.{name}" for name in MEMBERS if name not in members]
    detail = f"missing: {', '.join(absent)}" if absent else "all functions and members found"
    yield Check("functions", not absent, detail, f"boot a newer kernel. {KERNELS}" if absent else "")


def check_library() -> Check:
    """A libbpf that can leave out struct_ops members which the kernel doesn't know."""
    try:
        return Check("libbpf", True, libbpf.version(libbpf.open_library()))
    except Refused as refusal:
        return Check("libbpf", False, refusal.message, refusal.remedy)


def quick_checks() -> Iterator[Check]:
    """Those that cost nothing: asked before every attach."""
    yield check_privilege()
    yield check_sched_ext()
    yield check_unattached()
    yield check_library()


def all_checks() -> Iterator[Check]:
    """Every check of this machine."""
    quick = list(quick_checks())
    yield from quick
    yield check_isolation()
    if quick[-1].ok:
        yield from kernel_type_checks()


def kernel_type_checks() -> Iterator[Check]:
    """Reads all of the kernel's types, a tenth of a second of a slow cpu: for `temper doctor`, and for the
    engine when a load failed and a person should hear why."""
    if not KERNEL_BTF.exists():
        yield Check(
            "btf",
            False,
            f"{KERNEL_BTF} is missing (CONFIG_DEBUG_INFO_BTF is off)",
            f"boot another. {KERNELS}",
        )
        return
    library = libbpf.open_library()
    types = libbpf.Btf.of_kernel(library)
    try:
        yield from check_btf(library, types)
    finally:
        types.close()


def kernel_names(*identifiers: str) -> frozenset[str]:
    """Which of these names does any type, member or value of the kernel's bear?

    A look at its BTF's strings, which costs a hundredth of having the types parsed.
    """
    with KERNEL_BTF.open("rb") as types:
        header = BTF_HEADER.unpack(types.read(BTF_HEADER.size))
        types.seek(header[3] + header[6])  # hdr_len + str_off
        strings = types.read(header[7])  # buffered: the kernel gives a page of a sysfs file at a time
    return frozenset(name for name in identifiers if f"\0{name}\0".encode() in strings)


def require(checks: Iterator[Check]) -> None:
    """Raise Refused at the first check that fails."""
    for check in checks:
        if not check.ok:
            raise Refused(f"{check.name}: {check.detail}", remedy=check.remedy)
