"""The kubelet's root of all its pods' cgroups: what it may be called, and by which driver."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from temper.settings.texts import is_cgroup

KUBEPODS = "kubepods"
SLICE = ".slice"


class CgroupDriver(StrEnum):
    """Who names the pods' cgroups: the kubelet's `cgroupDriver`."""

    AUTO = "auto"
    SYSTEMD = "systemd"
    CGROUPFS = "cgroupfs"


def is_kubepods(name: str) -> bool:
    """Is it what the kubelet calls the root of all its pods?"""
    return name in (KUBEPODS, f"{KUBEPODS}{SLICE}") or name.endswith(f"-{KUBEPODS}{SLICE}")


def is_kubepods_path_or_empty(text: str) -> bool:
    """The path of such a root below the cgroup root, or empty."""
    return not text or (is_cgroup(text) and text.isprintable() and is_kubepods(text.rpartition("/")[2]))


def driver_of(kubepods: str) -> Literal["systemd", "cgroupfs"]:
    """The driver of the kubelet that made this root."""
    return "systemd" if kubepods.endswith(SLICE) else "cgroupfs"


def is_of(driver: CgroupDriver, kubepods: str) -> bool:
    """May a kubelet with this setting have made this root?"""
    return driver in (CgroupDriver.AUTO, driver_of(kubepods))
