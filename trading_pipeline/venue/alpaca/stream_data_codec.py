"""How a data stream is written: msgpack as alpaca-py asks for, or JSON. Each message is encoded once per codec."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgpack

from trading_pipeline.venue.alpaca.data_wire import Wire, stamp

ARRAY_LIMIT = 1000
"""Messages in one frame: clients read a megabyte at most."""


class Codec(Protocol):
    """One way of writing."""

    def one(self, wire: Wire) -> bytes:
        """A message; its instants are aware datetimes."""

    def array(self, parts: Sequence[bytes]) -> bytes | str:
        """Written messages as one frame."""

    def read(self, frame: bytes | str) -> Any:
        """What a client sent; raises ValueError when it cannot be read."""


class Packed:
    """msgpack: instants as its own timestamps, in binary frames."""

    def one(self, wire: Wire) -> bytes:
        packed: bytes = msgpack.packb(wire, datetime=True)
        return packed

    def array(self, parts: Sequence[bytes]) -> bytes:
        header: bytes = msgpack.Packer().pack_array_header(len(parts))
        return header + b"".join(parts)

    def read(self, frame: bytes | str) -> Any:
        try:
            return msgpack.unpackb(frame if isinstance(frame, bytes) else frame.encode())
        except (msgpack.UnpackException, msgpack.ExtraData) as error:
            raise ValueError(str(error)) from error


class Json:
    """Instants as RFC 3339, in text frames."""

    def one(self, wire: Wire) -> bytes:
        return json.dumps(wire, separators=(",", ":"), default=_instant).encode()

    def array(self, parts: Sequence[bytes]) -> str:
        return (b"[" + b",".join(parts) + b"]").decode()

    def read(self, frame: bytes | str) -> Any:
        return json.loads(frame)


def _instant(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{value!r} is no part of a message")
    return stamp(value)


PACKED, JSON = Packed(), Json()


@dataclass(frozen=True, eq=False)
class Message:
    """One piece of news: the channel and symbol it is subscribed to by, and its letters."""

    channel: str
    symbol: str
    wire: Wire
    is_torn: bool = False
    _written: dict[Codec, bytes] = field(default_factory=dict)

    def written(self, codec: Codec) -> bytes:
        """Encoded at the first call."""
        if codec not in self._written:
            self._written[codec] = codec.one(self.wire)
        return self._written[codec]


def frames(messages: Sequence[Message], codec: Codec) -> list[bytes | str]:
    """Arrays of messages in their order; a torn message is a frame of its own that breaks off in the middle."""
    found: list[bytes | str] = []
    whole: list[bytes] = []
    for message in messages:
        if message.is_torn:
            torn = codec.array([message.written(codec)])
            found.append(torn[: len(torn) // 2])
            continue
        whole.append(message.written(codec))
    return found + [codec.array(whole[n : n + ARRAY_LIMIT]) for n in range(0, len(whole), ARRAY_LIMIT)]
