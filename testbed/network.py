"""The guest's network: QEMU's user-mode one, by which the guest reaches this machine's loopback and little else."""

from __future__ import annotations

import re
from collections.abc import Sequence

HOST_ADDRESS = "10.0.2.2"  # in the guest: this machine's loopback
GUEST_ADDRESS = "10.0.2.15"
MODULE = "virtio_net"
CONFIG = "CONFIG_VIRTIO_NET"

# For `ip -batch` in the guest. Without a default route it has a way to HOST_ADDRESS only.
SETUP = f"link set lo up\naddress add {GUEST_ADDRESS}/24 dev eth0\nlink set eth0 up\n"

_FORWARD = re.compile(r"^\s*TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)\s", re.MULTILINE)


def arguments(forwards: Sequence[int]) -> list[str]:
    """QEMU's. A host port of 0 lets the kernel choose a free one, so nobody can take it in between.

    No IPv6, for its router advertisements would give the guest a default route after all. No boot ROM, which is a
    package of its own. (restrict=on would close the way to HOST_ADDRESS too.)
    """
    options = ["user", "id=net", "ipv6=off", *(f"hostfwd=tcp:127.0.0.1:0-{GUEST_ADDRESS}:{port}" for port in forwards)]
    return ["-netdev", ",".join(options), "-device", "virtio-net-pci,netdev=net,romfile="]


def mapping(usernet: str) -> dict[int, int]:
    """Guest port -> host port, from the monitor's `info usernet`."""
    return {int(guest): int(host) for host, guest in _FORWARD.findall(usernet)}
