"""The decision log of a session: what was planned, decided, ordered, filled and closed, in canonical text."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

import rfc8785

from trading_pipeline.domain.money import plain
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.readiness import OF_THE_HOST

BOOKKEEPING = frozenset({"run_id", "code_version", "config_hash", "venue_order_id"})
"""Fields that say who decided or how a venue numbers, not what was decided: a replay that decides the same has the
same log, by newer code or at a venue that has numbered other orders before."""

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def decision_log(tx: LedgerTransaction, account: str, session: date) -> list[str]:
    """One canonical JSON line (RFC 8785, decimals as text) per record, in the order of the kinds below, then by id."""
    kinds: Sequence[tuple[str, Iterable[object]]] = (
        ("plan", tx.plans(account, session)),
        ("decision", tx.decisions(account, session)),
        ("intent", tx.intents(account, session)),
        ("order", tx.orders(account, session)),
        ("fill", tx.fills(account, session=session)),
        ("event", _decisive(tx, account, session)),
        ("trade", tx.trades(account, session, session)),
        ("equity", tx.equity_points(account, session, session)),
    )
    return [line for kind, records in kinds for line in sorted(_line(kind, record) for record in records)]


def decided_before(tx: LedgerTransaction, account: str, session: date, until: datetime) -> list[str]:
    """The lines of the log that are of before an instant. Orders change later and are left out: intents tell them."""
    kinds: Sequence[tuple[str, str, Iterable[object]]] = (
        ("plan", "planned_at", tx.plans(account, session)),
        ("decision", "decided_at", tx.decisions(account, session)),
        ("intent", "created_at", tx.intents(account, session)),
        ("fill", "executed_at", tx.fills(account, session=session)),
        ("event", "occurred_at", _decisive(tx, account, session)),
        ("trade", "exit_at", tx.trades(account, session, session)),
        ("equity", "at", tx.equity_points(account, session, session)),
    )
    return [
        line for kind, instant, records in kinds
        for line in sorted(_line(kind, record) for record in records if getattr(record, instant) < until)
    ]  # fmt: skip


def _decisive(tx: LedgerTransaction, account: str, session: date) -> list[RiskEvent]:
    return [event for event in tx.risk_events(account, session) if event.kind not in OF_THE_HOST]


def log_hash(lines: Sequence[str]) -> str:
    """SHA-256 over the lines, each ended by a newline."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _line(kind: str, record: object) -> str:
    return rfc8785.dumps({"kind": kind, **as_json(record)}).decode()


def as_json(record: object) -> dict[str, Json]:
    """A record's fields as plain JSON values, bookkeeping left out; decimals and instants as text."""
    if not dataclasses.is_dataclass(record):
        raise TypeError(f"{record!r} is not a record")
    names = (field.name for field in dataclasses.fields(record))
    return {name: _value(getattr(record, name)) for name in names if name not in BOOKKEEPING}


def _value(value: object) -> Json:
    match value:
        case None | bool() | int() | float():
            return value
        case Enum():
            return str(value.value)
        case str():
            return value
        case Decimal():
            return plain(value)
        case datetime() | date():
            return value.isoformat()
        case Mapping():
            return {str(key): _value(item) for key, item in value.items()}
        case list() | tuple() | frozenset():
            return [_value(item) for item in value]
    if dataclasses.is_dataclass(value):
        return as_json(value)
    raise TypeError(f"{value!r} has no canonical text")
