"""The socket pair: one message per packet (SOCK_SEQPACKET), so there is no framing to get wrong."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from temper.wire.messages import Reply, Request

# A plan of 8,192 cgroups is about 200 KiB in msgpack; one packet must hold it.
MAX_MESSAGE = 1 << 20

_encoder = msgspec.msgpack.Encoder()
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def encode(message: Any) -> bytes:
    """A message as one packet's bytes."""
    return _encoder.encode(message)


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends (agent's, engine's) that carry packets of MAX_MESSAGE bytes."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        make_room(end)
    return pair


def make_room(end: socket.socket) -> None:
    """Let one packet of MAX_MESSAGE bytes through; root may pass net.core.wmem_max."""
    option = getattr(socket, "SO_SNDBUFFORCE", 32)
    try:
        end.setsockopt(socket.SOL_SOCKET, option, 2 * MAX_MESSAGE)
    except PermissionError:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_MESSAGE)
