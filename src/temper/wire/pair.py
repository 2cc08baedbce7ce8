"""The socket pair itself: one message per packet (SOCK_SEQPACKET), so there is no framing to get wrong."""

from __future__ import annotations

import socket
import time
from typing import NamedTuple

# A plan of 8,192 cgroups is about 200 KiB in msgpack; one packet must hold it.
MAX_MESSAGE = 1 << 20

SO_SNDBUFFORCE = 32  # asm-generic/socket.h; not in Python's socket module


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends (agent's, engine's) that carry packets of MAX_MESSAGE bytes."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        _make_room(end)
    return pair


class Start(NamedTuple):
    """The first packet, from the agent: load the scheduler now.

    hotplug_seq: the kernel's count before the agent reads its cpus: the kernel refuses an attach with an older one.
    asked_ns: CLOCK_MONOTONIC when the engine's process was asked for, or was told to go on.
    """

    hotplug_seq: int
    asked_ns: int


def send_start(end: socket.socket, hotplug_seq: int) -> None:
    """Tell the engine at the other end to load, as soon as it can. OSError when it is gone."""
    end.send(b"%d %d" % (hotplug_seq, time.monotonic_ns()))


def receive_start(end: socket.socket) -> Start | None:
    """Wait for it. None when the agent has gone without it. (No msgpack: the agent sends it before its imports.)"""
    packet = end.recv(MAX_MESSAGE)
    return Start(*map(int, packet.split())) if packet else None


def _make_room(end: socket.socket) -> None:
    """Let one packet of MAX_MESSAGE bytes through; root may pass net.core.wmem_max."""
    try:
        end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * MAX_MESSAGE)
    except PermissionError:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_MESSAGE)
