"""How Alpaca writes things: instants to the nanosecond, numbers as text, ids as UUIDs, and its words for FIX's."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import NewType
from zoneinfo import ZoneInfo

from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import OrderType, Side, TimeInForce

NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMESPACE = uuid.UUID("6f1d3a52-8a3c-5f0e-9b7d-2d1c4e5f6a70")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?)?")

Nanos = NewType("Nanos", int)
"""Nanoseconds since the epoch: no two of a venue's reports share one, as at Alpaca."""

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
LIVES = {life.value.lower(): life for life in TimeInForce}
TYPES = {order_type.value.lower(): order_type for order_type in OrderType}


def uuid_of(*parts: object) -> str:
    """The same parts, the same UUID: ids outlive the process that gave them."""
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, parts))))


@cache
def asset_id(symbol: str) -> str:
    return uuid_of("asset", symbol)


def nanos(instant: datetime, number: int = 0) -> Nanos:
    """An instant (aware), told apart from others of the same microsecond by `number` modulo 1000."""
    return Nanos(((instant - EPOCH) // timedelta(microseconds=1)) * 1000 + number % 1000)


def instant_of(at: Nanos) -> datetime:
    """To the microsecond, UTC."""
    return EPOCH + timedelta(microseconds=at // 1000)


def stamp(at: Nanos) -> str:
    """RFC 3339 in UTC, as Go writes it: no trailing zeros ("2025-06-10T13:30:00.000000042Z")."""
    fraction = f"{at % 1_000_000_000:09d}".rstrip("0")
    return f"{instant_of(at):%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}Z"


def stamp_in_new_york(instant: datetime) -> str:
    """RFC 3339 with New York's offset, as the clock tells it."""
    return instant.astimezone(NEW_YORK).isoformat()


def read_stamp(text: str) -> Nanos | None:
    """An instant, or a date's beginning, as clients send it (UTC when no offset is given); None for what is none."""
    found = _INSTANT.fullmatch(text.strip().replace(" ", "+") if "T" in text else text.strip())
    if found is None:
        return None
    day, clock, fraction, offset = found.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock or '00:00'}{offset or '+00:00'}")
    except ValueError:
        return None
    return Nanos(nanos(whole) + int((fraction or ".0")[1:].ljust(9, "0")))


def text_of(number: Decimal | None) -> str | None:
    """A number as JSON text; None stays."""
    return None if number is None else plain(number)
