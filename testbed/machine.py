"""The QEMU machine: its processors, clock, memory and devices."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from testbed import cache, children, network
from testbed.initramfs import build
from testbed.progress import TestbedError, run_tool, say

QEMU = "qemu-system-x86_64"
# Per-processor instruction budgets: before this, virtual time had holes of seconds.
VIRTUAL_CLOCK_SINCE = (8, 1)
# One instruction takes 2 ** this many nanoseconds of the virtual clock. With four cpus in turn each does 250 million
# instructions a second, some twenty times slower than a real one.
ICOUNT_SHIFT = 0
PROBE_S = 15.0
PROBE_INIT = b"""#!/bin/sh
export PATH=/bin
mount -t devtmpfs dev /dev
echo kvm-works >/dev/ttyS0
poweroff -f
"""
# No crypto self-tests and no DAMON statistics: they would run for seconds, beside the job.
QUIET = "cryptomgr.notests=1 damon_stat.enabled=0"
# A guest that is asked by an NMI where its cpus are says so of each, and ends: `session.Session.question`.
ANSWERS = "unknown_nmi_panic panic_print=0x40"
CONSOLE = f"console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check {QUIET} {ANSWERS}"


class Clock(Enum):
    """How time passes in the guest. wall: with the host's. virtual: with the instructions executed."""

    WALL = "wall"
    VIRTUAL = "virtual"


@dataclass(frozen=True, slots=True)
class Topology:
    """Sockets, cores in each, hardware threads in each of those."""

    sockets: int
    cores: int
    threads: int

    @property
    def cpus(self) -> int:
        """Logical cpus in all."""
        return self.sockets * self.cores * self.threads


@dataclass(frozen=True, slots=True)
class Shape:
    """What the guest's hardware is like.

    memory_mib: its RAM. append: more words for the kernel's command line. network: whether it has one, and
    forwards: the guest's ports that this machine's loopback leads to.
    """

    topology: Topology
    memory_mib: int
    clock: Clock
    append: str = ""
    network: bool = False
    forwards: tuple[int, ...] = ()


def qemu_version() -> tuple[int, ...]:
    """The installed QEMU's version."""
    match = re.search(r"version (\d+)\.(\d+)\.(\d+)", run_tool([QEMU, "--version"]))
    return tuple(int(number) for number in match.groups()) if match else (0,)


def kvm_works(image: Path, busybox: Path) -> bool:
    """Whether KVM boots a kernel here; tried once per boot of this machine. /dev/kvm alone proves nothing."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    verdict = cache.folder() / f"kvm-{boot}"
    with cache.locked("kvm"):
        if not verdict.exists():
            for stale in cache.folder().glob("kvm-*"):
                stale.unlink()
            say(f"trying whether KVM boots a kernel here (up to {PROBE_S:.0f} s, once per boot of this machine)")
            works = _probe(image, busybox)
            verdict.write_text("works" if works else "does not work")
            say(f"KVM {verdict.read_text()}; emulating" if not works else "KVM works")
        return verdict.read_text() == "works"


def _probe(image: Path, busybox: Path) -> bool:
    initrd, output = os.memfd_create("initrd"), os.memfd_create("console")
    os.write(initrd, build(PROBE_INIT, busybox, [], {}))
    argv = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", "kvm"]
    argv += ["-cpu", "host", "-smp", "2", "-m", "512M", "-no-reboot", "-serial", "stdio"]
    argv += ["-kernel", str(image), "-initrd", f"/proc/self/fd/{initrd}", "-append", CONSOLE]
    process = children.start(argv, output, keep=[initrd])
    try:
        process.wait(timeout=PROBE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        children.stop(process)
    text = os.pread(output, 1 << 20, 0)
    os.close(initrd)
    os.close(output)
    return b"kvm-works" in text


def command_line(shape: Shape, *, kvm: bool, image: Path, disks: list[Path], fds: Mapping[str, int]) -> list[str]:
    """QEMU's arguments.

    fds: descriptors QEMU inherits: `initrd` and `console` (files), `job` and `monitor` (connected sockets),
    and `share` (a connection to virtiofsd) when there is a shared folder.
    """
    machine, accelerator = "q35,memory-backend=ram", ["-accel", "tcg,thread=multi", "-cpu", "max"]
    words = ""
    if shape.clock is Clock.VIRTUAL:
        if qemu_version() < VIRTUAL_CLOCK_SINCE:
            raise TestbedError("--clock virtual needs QEMU 8.1 or newer: run testbed/setup")
        # `session.quicken` wants the i8254: an HPET in legacy mode would switch it off, and the kernel has to
        # leave its interrupt masked after boot.
        machine += ",hpet=off"
        words = " disable_timer_pin_1"
        accelerator = ["-accel", "tcg", "-icount", f"shift={ICOUNT_SHIFT},sleep=off", "-cpu", "max"]
    elif kvm:
        accelerator = ["-accel", "kvm", "-cpu", "host"]
    topology = shape.topology
    smp = f"{topology.cpus},sockets={topology.sockets},cores={topology.cores},threads={topology.threads}"
    argv = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-machine", machine, *accelerator]
    argv += ["-smp", smp, "-m", f"{shape.memory_mib}M", "-no-reboot"]
    argv += ["-object", f"memory-backend-memfd,id=ram,size={shape.memory_mib}M,share=on"]
    argv += ["-kernel", str(image), "-initrd", f"/proc/self/fd/{fds['initrd']}"]
    argv += ["-append", f"{CONSOLE}{words} {shape.append}".strip()]
    argv += ["-chardev", f"file,id=console,path=/proc/self/fd/{fds['console']}", "-serial", "chardev:console"]
    argv += ["-chardev", f"socket,id=monitor,fd={fds['monitor']}", "-mon", "chardev=monitor,mode=control"]
    # NVMe is built into kernels whose virtio_blk is a module that the archive may have dropped.
    argv += ["-device", "nvme,id=disks,serial=disks"]
    for number, disk in enumerate(disks, 1):
        drive = f"if=none,id=disk{number},format=raw,snapshot=on,cache=unsafe,file={str(disk).replace(',', ',,')}"
        argv += ["-drive", drive, "-device", f"nvme-ns,bus=disks,drive=disk{number},nsid={number}"]
    # Without an ioeventfd a write is done when the guest's instruction is: it takes no guest time.
    argv += ["-device", "virtio-serial-pci,ioeventfd=off"]
    argv += ["-chardev", f"socket,id=job,fd={fds['job']}", "-device", "virtserialport,chardev=job,nr=1,name=job"]
    if shape.network:
        argv += network.arguments(shape.forwards)
    if "share" in fds:
        argv += ["-chardev", f"socket,id=share,fd={fds['share']}"]
        argv += ["-device", "vhost-user-fs-pci,chardev=share,tag=share"]
    return argv
