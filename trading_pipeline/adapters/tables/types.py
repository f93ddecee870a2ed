"""Column types: exact numbers, UTC instants, finite floats, named values and small documents."""

# ruff: noqa: ARG002  SQLAlchemy passes the dialect to every conversion, needed or not

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from json.encoder import encode_basestring
from typing import Any

from sqlalchemy import JSON, BigInteger, Date, DateTime, Dialect, Double, Numeric, String
from sqlalchemy.types import TypeDecorator, TypeEngine

from trading_pipeline.adapters.tables.stored_forms import (
    EXACT_PLACES,
    Conversion,
    day_text,
    digits_or_none,
    exact_number,
    in_utc,
    in_utc_or_none,
    instant_of_text,
    instant_text,
    number_of_digits,
    number_of_steps,
    steps_or_none,
)
from trading_pipeline.domain.errors import LedgerError
from trading_pipeline.domain.reconciliation import Break, BreakKind
from trading_pipeline.domain.risk import Code, Finding, Verdict


class Exact(TypeDecorator[Decimal]):
    """A Decimal of at most 8 decimals, kept exactly: whole steps of 10^-8 on SQLite, NUMERIC(24, 8) elsewhere."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else Numeric(24, EXACT_PLACES))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | Decimal | None:
        return steps_or_none(value) if dialect.name == "sqlite" else exact_number(value)

    def bind_processor(self, dialect: Dialect) -> Conversion:
        """The conversion itself: SQLAlchemy would wrap it twice."""
        return steps_or_none if dialect.name == "sqlite" else exact_number

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return number_of_steps(value) if dialect.name == "sqlite" else exact_number(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Conversion:
        """The conversion itself."""
        return number_of_steps if dialect.name == "sqlite" else exact_number


class Derived(TypeDecorator[Decimal]):
    """A computed Decimal (an average, a ratio, a result) with every digit: text on SQLite, NUMERIC elsewhere."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | Decimal | None:
        return digits_or_none(value) if dialect.name == "sqlite" else number_of_digits(digits_or_none(value))

    def bind_processor(self, dialect: Dialect) -> Conversion:
        """The conversion itself: SQLAlchemy would wrap it twice."""
        return digits_or_none if dialect.name == "sqlite" else lambda value: number_of_digits(digits_or_none(value))

    def process_result_value(self, value: str | Decimal | None, dialect: Dialect) -> Decimal | None:
        return number_of_digits(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Conversion:
        """The conversion itself."""
        return number_of_digits


class UtcInstant(TypeDecorator[datetime]):
    """An aware instant, to the microsecond, in UTC; a naive one raises NaiveDatetimeError."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        instant = in_utc(value)
        return instant.replace(tzinfo=None) if dialect.name == "sqlite" else instant  # SQLite keeps no zone

    def bind_processor(self, dialect: Dialect) -> Conversion:
        """On SQLite the text that SQLAlchemy writes, made faster."""
        return instant_text if dialect.name == "sqlite" else in_utc_or_none

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Conversion | None:
        """On SQLite from the text at once."""
        return instant_of_text if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


class Day(TypeDecorator[date]):
    """A date."""

    impl = Date
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> date | None:
        return value

    def bind_processor(self, dialect: Dialect) -> Conversion | None:
        """On SQLite the text that SQLAlchemy writes, made faster."""
        return day_text if dialect.name == "sqlite" else None


class Finite(TypeDecorator[float]):
    """A float64 that is a number: SQLite would turn NaN into NULL without a word."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        if value is not None and not math.isfinite(value):
            raise LedgerError(f"{value} cannot be recorded: it is not a finite number. Check the bars it came from.")
        return None if value is None else float(value)


class Named(TypeDecorator[StrEnum]):
    """A member of one enumeration, stored by its value."""

    impl = String
    cache_ok = True

    def __init__(self, names: type[StrEnum] = StrEnum) -> None:
        super().__init__()
        self.names = names

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.names(value).value

    def bind_processor(self, dialect: Dialect) -> Conversion:
        """The same without a look at the value of what is a member already."""
        names = self.names

        def text(member: StrEnum | None) -> str | None:
            if type(member) is names:
                return member._value_  # `value` is a function
            return None if member is None else names(member).value

        return text

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.names(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Conversion:
        """The same from a table of the names."""
        return _Table({None: None, **{name.value: name for name in self.names}}, self.names).of


class _Table(dict[Any, Any]):
    """Conversions known beforehand; `otherwise` answers, or refuses, what is not among them."""

    def __init__(self, known: Mapping[Any, Any], otherwise: Conversion) -> None:
        super().__init__(known)
        self._otherwise = otherwise
        self.of: Conversion = self.__getitem__

    def __missing__(self, key: Any) -> Any:
        return self._otherwise(key)


class Strings(TypeDecorator[tuple[str, ...]]):
    """A tuple of texts, stored as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> list[str] | None:
        return None if value is None else list(value)

    def process_result_value(self, value: list[str] | None, dialect: Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(value)


class Findings(TypeDecorator[tuple[Finding, ...]]):
    """What the risk checks found, as a JSON list; numbers keep every digit."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[Finding, ...] | None, dialect: Dialect) -> list[dict[str, Any]] | None:
        return None if value is None else [_finding_document(finding) for finding in value]

    def process_result_value(self, value: list[dict[str, Any]] | None, dialect: Dialect) -> tuple[Finding, ...] | None:
        return None if value is None else tuple(_finding(document) for document in value)


class Breaks(TypeDecorator[tuple[Break, ...]]):
    """What a reconciliation found, as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[Break, ...] | None, dialect: Dialect) -> list[dict[str, Any]] | None:
        return None if value is None else [_break_document(one) for one in value]

    def process_result_value(self, value: list[dict[str, Any]] | None, dialect: Dialect) -> tuple[Break, ...] | None:
        return None if value is None else tuple(_break(document) for document in value)


def _break_document(one: Break) -> dict[str, Any]:
    return {**asdict(one), "kind": one.kind.value, "since": one.since.isoformat() if one.since else None}


def _break(document: dict[str, Any]) -> Break:
    since = datetime.fromisoformat(document["since"]) if document.get("since") else None
    return Break(**{**document, "kind": BreakKind(document["kind"]), "since": since})


class Details(TypeDecorator[dict[str, Any]]):
    """A small JSON document."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> dict[str, Any] | None:
        return value

    def bind_processor(self, dialect: Dialect) -> Conversion:
        """Its text at once."""
        return document_text


_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False)


def document_text(value: object) -> str:
    """JSON text; raises LedgerError for NaN and for what JSON has no word for."""
    try:
        return _text_of_texts(value) if type(value) is dict else _ENCODER.encode(value)
    except TypeError:
        pass
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise LedgerError(
            f"details cannot be recorded as JSON ({error}): use finite numbers, texts, None, lists and dicts."
        ) from error


def _text_of_texts(document: dict[str, str]) -> str:
    """What the encoder would write, in half the time; raises TypeError when anything in it is no text."""
    pairs = [f"{encode_basestring(name)}: {encode_basestring(text)}" for name, text in document.items()]
    return "{" + ", ".join(pairs) + "}"


def _finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "verdict": finding.verdict.value,
        "code": finding.code.value,
        "measured": _amount_document(finding.measured),
        "limit": _amount_document(finding.limit),
        "limit_name": finding.limit_name,
        "message": finding.message,
        "quantity": None if finding.quantity is None else str(finding.quantity),
    }


def _finding(document: dict[str, Any]) -> Finding:
    return Finding(
        verdict=Verdict(document["verdict"]),
        code=Code(document["code"]),
        measured=_amount(document["measured"]),
        limit=_amount(document["limit"]),
        limit_name=document["limit_name"],
        message=document["message"],
        quantity=None if document["quantity"] is None else Decimal(document["quantity"]),
    )


def _amount_document(amount: Decimal | str) -> dict[str, str] | str:
    return {"number": str(amount)} if isinstance(amount, Decimal) else amount


def _amount(document: dict[str, str] | str) -> Decimal | str:
    return document if isinstance(document, str) else Decimal(document["number"])
