"""Messages as packets' bytes, and back."""

from __future__ import annotations

import msgspec

from temper.wire.messages import Reply, Request

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
