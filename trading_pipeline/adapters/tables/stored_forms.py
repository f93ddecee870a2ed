"""How exact numbers and instants are stored: conversions, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from trading_pipeline.domain.errors import LedgerError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.money import plain

Conversion = Callable[[Any], Any]
WITHOUT_ZONE = len("2025-03-10 14:15:00.000000")
REMEMBERED = 4096
"""Numbers and instants whose stored form is kept: an order, its legs and what is told of them repeat a few."""

EXACT_PLACES = 8
STEPS_PER_UNIT = 100_000_000
LARGEST_STEPS = 2**63 - 1  # SQLite's integer; PostgreSQL keeps to the same range so that a ledger can move


def exact_steps(number: Decimal) -> int:
    """The number in steps of 10^-8; raises LedgerError when it does not fit, and never rounds."""
    if not number.is_finite():
        raise LedgerError(f"{number} cannot be recorded: it is not a finite number. Check what it was computed from.")
    numerator, denominator = number.as_integer_ratio()
    steps, remainder = divmod(numerator * STEPS_PER_UNIT, denominator)
    if remainder:
        raise LedgerError(
            f"{number} has more than {EXACT_PLACES} decimals and the ledger never rounds: "
            "round it where it is computed, in a stated direction."
        )
    if abs(steps) > LARGEST_STEPS:
        raise LedgerError(f"{plain(number)} is outside ±{plain(from_steps(LARGEST_STEPS))}, the range of the ledger.")
    return steps


def from_steps(steps: int) -> Decimal:
    """The shortest Decimal of that many steps of 10^-8: 100, 12.5, 0.00000001."""
    units, rest = divmod(steps, STEPS_PER_UNIT)
    return Decimal(units) if rest == 0 else Decimal(steps).scaleb(-EXACT_PLACES).normalize()


def all_digits(number: Decimal) -> str:
    """Plain text of a finite Decimal, however many digits it has: no exponent, no trailing zeros, no minus zero."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


class _Remembered(dict[Any, Any]):
    """What a conversion made of each value; all forgotten when they are too many. `lru_cache` takes twice as long."""

    def __init__(self, convert: Conversion) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, value: Any) -> Any:
        made = self._convert(value)
        if len(self) >= REMEMBERED:
            self.clear()
        self[value] = made
        return made


def steps_or_none(number: Decimal | None) -> int | None:
    if type(number) is Decimal:  # a float equal to a Decimal is refused
        steps: int = _STEPS[number]
        return steps
    return None if number is None else exact_steps(number)


_STEPS = _Remembered(exact_steps)


@lru_cache(REMEMBERED)
def number_of_steps(steps: int | None) -> Decimal | None:
    return None if steps is None else from_steps(steps)


@lru_cache(REMEMBERED, typed=True)
def exact_number(number: Decimal | None) -> Decimal | None:
    return None if number is None else from_steps(exact_steps(number))


def digits_or_none(number: Decimal | None) -> str | None:
    if type(number) is Decimal:
        digits: str = _DIGITS[number]
        return digits
    return None if number is None else _finite_digits(number)


def _finite_digits(number: Decimal) -> str:
    if not number.is_finite():
        raise LedgerError(f"{number} cannot be recorded: it is not a finite number. Check what it came from.")
    return all_digits(number)


_DIGITS = _Remembered(_finite_digits)


@lru_cache(REMEMBERED)
def number_of_digits(digits: str | Decimal | None) -> Decimal | None:
    return None if digits is None else Decimal(all_digits(Decimal(digits)))


@lru_cache(REMEMBERED, typed=True)
def day_text(day: date | None) -> str | None:
    return None if day is None else date.isoformat(day)


def in_utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo is UTC else require_aware(instant, "ledger instant").astimezone(UTC)


def in_utc_or_none(instant: datetime | None) -> datetime | None:
    return None if instant is None else in_utc(instant)


def instant_text(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    text: str = _UTC_TEXTS[instant if instant.tzinfo is UTC else in_utc(instant)]
    return text


def _utc_text(instant: datetime) -> str:
    return instant.isoformat(" ", "microseconds")[:WITHOUT_ZONE]


_UTC_TEXTS = _Remembered(_utc_text)
"""Of UTC only: elsewhere the two instants of an hour that comes twice are equal to Python."""


@lru_cache(REMEMBERED)
def instant_of_text(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
