"""The TWS socket's text protocol: frames of NUL-ended fields, each frame preceded by its length (4 bytes, big-endian).

Layouts are those of server version 176, the newest that both ib_insync and ib_async speak. Source: the vendor's client
sources and messages recorded from a gateway.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.money import plain

SERVER_VERSION = 176
OLDEST_CLIENT = 157
LARGEST_FRAME = 1 << 20
HELLO = b"API\0"
UNSET = "1.7976931348623157E308"
"""A double nobody set: the largest there is."""
UNSET_INT = "2147483647"
NEW_YORK = ZoneInfo("America/New_York")
ZONE_NAME = "US/Eastern"

Field = str | int | float | bool | Decimal | None
Message = tuple[Field, ...]


def encoded(message: Message) -> bytes:
    """A message as one frame."""
    body = "".join(f"{text_of(field)}\0" for field in message).encode()
    return struct.pack(">I", len(body)) + body


def text_of(field: Field) -> str:
    """A field as the wire carries it: empty for None, 0 or 1 for a flag, no exponent in a Decimal."""
    if field is None:
        return ""
    if isinstance(field, bool):
        return "1" if field else "0"
    return plain(field) if isinstance(field, Decimal) else str(field)


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame's body. Raises IncompleteReadError at the end, InputError for a frame no client sends."""
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    if length > LARGEST_FRAME:
        raise InputError(f"a frame of {length} bytes is none of this protocol")
    return await reader.readexactly(length)


def fields_of(body: bytes) -> list[str]:
    """The fields of a frame."""
    return body.decode(errors="replace").split("\0")[:-1]


class Fields:
    """A client's message, read in order or by position; what is missing reads as empty.

    Raises InputError for text where a number belongs.
    """

    def __init__(self, fields: Sequence[str], at: int = 0) -> None:
        self._fields, self._at = fields, at

    def text(self) -> str:
        self._at += 1
        return self[self._at - 1]

    def whole(self) -> int:
        """An integer; an empty field is zero."""
        return int(self.number() or 0)

    def number(self) -> Decimal | None:
        """A number; None for an empty field and for the double nobody set."""
        text = self.text()
        try:
            found = Decimal(text) if text else None
        except InvalidOperation as error:
            raise InputError(f"field {self._at - 1} of the message is no number: {text!r}") from error
        return None if found is None or found == Decimal(UNSET) else found

    def flag(self) -> bool:
        return self.text() == "1"

    def skip(self, count: int = 1) -> None:
        self._at += count

    def to(self, position: int) -> Fields:
        """Read on from another position."""
        return Fields(self._fields, position)

    def __getitem__(self, position: int) -> str:
        return self._fields[position] if position < len(self._fields) else ""


def local_time(instant: datetime) -> str:
    """An instant as TWS writes it: "20250610 09:30:00 US/Eastern"."""
    return f"{instant.astimezone(NEW_YORK):%Y%m%d %H:%M:%S} {ZONE_NAME}"


def parsed_time(text: str) -> datetime | None:
    """An instant as clients write it: "yyyymmdd hh:mm:ss [zone]", a dash for the blank meaning UTC; None when empty.

    Raises InputError for any other text.
    """
    if not text.strip():
        return None
    words = text.replace("-", " ").split()
    try:
        zone = ZoneInfo(words[2]) if len(words) > 2 else (UTC if "-" in text[:9] else NEW_YORK)
        naive = "%Y%m%d %H:%M:%S" if len(words) > 1 else "%Y%m%d"
        return datetime.strptime(" ".join(words[:2]), naive).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, KeyError) as error:
        raise InputError(f"{text!r} is no time of this protocol (yyyymmdd hh:mm:ss zone)") from error
