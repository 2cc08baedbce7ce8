"""What the kernel says of sched_ext: /sys/kernel/sched_ext. Always read, never assumed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/kernel/sched_ext")
OUR_OPS = "temper"
SYSRQ_TRIGGER = Path("/proc/sysrq-trigger")


class KernelState(NamedTuple):
    """One look at the kernel.

    state: `enabled`, `disabled`, `enabling`, `disabling`, or `absent` without CONFIG_SCHED_CLASS_EXT.
    ops: the attached scheduler's name, empty when there is none.
    enable_seq: how many schedulers were ever attached since boot.
    """

    state: str
    ops: str
    enable_seq: int

    @property
    def stock(self) -> bool:
        """Is every task on the stock scheduler?"""
        return self.state in ("disabled", "absent")

    @property
    def ours(self) -> bool:
        """Is it our scheduler that decides?"""
        return self.state == "enabled" and self.ops.startswith(OUR_OPS)

    @property
    def left(self) -> bool:
        """Are we out, and is that final? Not while the kernel is still switching over."""
        return self.stock or (self.state == "enabled" and not self.ours)


def read_state(root: Path = ROOT) -> KernelState:
    """Read the state below `root`; a kernel without sched_ext is `absent`, not an error."""
    try:
        state = (root / "state").read_text().strip()
    except FileNotFoundError:
        return KernelState("absent", "", 0)
    ops = ""
    # The folder `root` exists only while a scheduler is attached and may go between two reads.
    with contextlib.suppress(OSError):
        ops = (root / "root" / "ops").read_text().strip()
    return KernelState(state, ops, int((root / "enable_seq").read_text()))


def read_hotplug_seq(root: Path = ROOT) -> int:
    """The kernel's count of cpu hotplug events, which refuses an attach with an older one. 0 without sched_ext."""
    try:
        return int((root / "hotplug_seq").read_text())
    except FileNotFoundError:
        return 0


def request_stock(trigger: Path = SYSRQ_TRIGGER) -> None:
    """SysRq-S: tell the kernel itself to eject whichever scheduler is attached. Needs root."""
    trigger.write_text("S")
