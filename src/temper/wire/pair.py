"""The socket pair itself: one message per packet (SOCK_SEQPACKET), so there is no framing to get wrong."""

from __future__ import annotations

import socket

# A plan of 8,192 cgroups is about 200 KiB in msgpack; one packet must hold it.
MAX_MESSAGE = 1 << 20

SO_SNDBUFFORCE = 32  # asm-generic/socket.h; not in Python's socket module


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends (agent's, engine's) that carry packets of MAX_MESSAGE bytes."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        _make_room(end)
    return pair


def _make_room(end: socket.socket) -> None:
    """Let one packet of MAX_MESSAGE bytes through; root may pass net.core.wmem_max."""
    try:
        end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * MAX_MESSAGE)
    except PermissionError:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_MESSAGE)
