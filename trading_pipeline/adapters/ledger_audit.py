"""How a record is told: declared once, and written straight into a row of the audit outbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from json.encoder import encode_basestring
from operator import attrgetter
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from sqlalchemy import Dialect

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_statements import Parameters, conversions, written_out
from trading_pipeline.domain.control import AuditEntry, Block
from trading_pipeline.domain.corporate import CashActivity, Split
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import Fill, Order, OrdStatus
from trading_pipeline.domain.trading_session import Intent

ACTOR = "trading-pipeline"
"""Who acts when nobody is named."""

TEXTS: Mapping[type, Callable[[Any], str]] = {
    str: str,
    int: str,
    Decimal: plain,
    bool: lambda value: str(value).lower(),
    date: date.isoformat,
    datetime: datetime.isoformat,
}
"""How values write themselves into a document; named ones (StrEnum) are texts."""


def texts(**values: object) -> dict[str, str]:
    """A document; what is None is left out."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: object) -> str:
    return TEXTS.get(type(value), str)(value)


class StatusChange(NamedTuple):
    """An order went from one status to another."""

    before: OrdStatus
    order: Order


@dataclass(frozen=True)
class Told:
    """How records of a type are told: under which kind, of whom, when, and in which fields.

    A path leads through what the record holds (order.symbol). fields: each value's name in the entry, and its path.
    """

    record: type
    kind: str
    subject: str
    at: str
    fields: Mapping[str, str]
    account: str = "account"

    def __call__(self, record: object) -> AuditEntry:
        """The entry of one record."""
        at, account, subject, *values = self._values(record)
        data = texts(**dict(zip(self.fields, values, strict=True)))
        return AuditEntry(occurred_at=at, kind=self.kind, account=account, subject=subject, actor=ACTOR, data=data)

    def row(self, dialect: Dialect) -> Callable[[Any], Parameters]:
        """A function that makes the entry's row at once, as the database keeps it."""
        (instant,) = conversions([kinds.AUDIT.table.c.occurred_at.type], dialect)
        parts = {
            "occurred_at": (f"given.{self.at}", instant), "kind": (repr(self.kind), None),
            "account": (f"given.{self.account}", None), "subject": (f"given.{self.subject}", None),
            "actor": (repr(ACTOR), None), "data": ("given", self.document),
        }  # fmt: skip
        return written_out([parts[name] for name in kinds.AUDIT.always(dialect).statement.order])

    @cached_property
    def document(self) -> Callable[[Any], str]:
        """A function that writes the fields as JSON; the first of them is never None.

        It is written out, as `dataclass` writes out its methods: a loop over the fields takes four times as long.
        """
        quotes, parts = dict[str, Callable[[Any], str]](), list[str]()
        for name, path in self.fields.items():
            of, is_optional = _declared(self.record, path)
            quotes[f"quote_{name}"] = _quoting(of)
            label = f'{", " if parts else ""}"{name}": '
            text = f"{label}{{quote_{name}(given.{path})}}"
            parts.append(f"{{f'{text}' if given.{path} is not None else ''}}" if is_optional else text)
        made: Callable[[Any], str] = eval(f"lambda given: f'''{{{{{''.join(parts)}}}}}'''", quotes)  # noqa: S307
        return made

    @cached_property
    def _values(self) -> attrgetter[Any]:
        return attrgetter(self.at, self.account, self.subject, *self.fields.values())


def _declared(record: type, path: str) -> tuple[type, bool]:
    """The type of what a path leads to, and whether it may be None."""
    of = record
    for name in path.split("."):
        of = get_type_hints(of)[name]
    either = get_args(of)
    return (either[0], True) if NoneType in either else (of, False)


def _quoting(of: type) -> Callable[[Any], str]:
    """How values of a type are written as JSON texts. Numbers and instants repeat: an order, its legs, their ends."""
    if issubclass(of, str):
        return encode_basestring
    return _QUOTING.get(of, lambda value: encode_basestring(TEXTS[of](value)))


@lru_cache(1024)
def _quoted_number(number: Decimal) -> str:
    return encode_basestring(plain(number))


def _quoted_instant(instant: datetime) -> str:
    return _quoted_utc(instant) if instant.tzinfo is UTC else encode_basestring(instant.isoformat())


@lru_cache(1024)  # of UTC only: elsewhere the two instants of an hour that comes twice are equal to Python
def _quoted_utc(instant: datetime) -> str:
    return encode_basestring(instant.isoformat())


_QUOTING: Mapping[type, Callable[[Any], str]] = {Decimal: _quoted_number, datetime: _quoted_instant}


def _named(*names: str) -> Mapping[str, str]:
    """Fields that keep their names."""
    return {name: name for name in names}


TOLD = (
    Told(
        Intent, "intent", subject="intent_id", at="created_at",
        fields=_named("symbol", "strategy", "quantity", "decision_id", "reserved_risk_usd", "expires_at"),
    ),
    Told(
        Order, "order", subject="client_order_id", at="created_at",
        fields=_named(
            "symbol", "side", "leg", "order_type", "quantity", "limit_price", "stop_price", "trail_amount",
            "time_in_force", "status", "intent_id", "parent_id",
        ),
    ),
    Told(
        StatusChange, "order_status", subject="order.client_order_id", at="order.updated_at", account="order.account",
        fields={
            "symbol": "order.symbol", "before": "before", "after": "order.status", "quantity": "order.quantity",
            "cum_qty": "order.cum_qty", "avg_px": "order.avg_px", "venue_order_id": "order.venue_order_id",
            "text": "order.text",
        },
    ),
    Told(
        Fill, "fill", subject="exec_id", at="executed_at",
        fields=_named(
            "symbol", "side", "quantity", "price", "commission", "client_order_id", "broker", "is_reversal",
        ),
    ),
    Told(
        CashActivity, "cash_activity", subject="activity_id", at="occurred_at",
        fields=_named("kind", "amount_usd", "symbol", "broker", "text"),
    ),
    Told(Split, "split", subject="symbol", at="effective_at", fields=_named("ex_date", "ratio")),
    Told(Block, "block_set", subject="block_id", at="since", fields=_named("symbol", "kind", "reason")),
)  # fmt: skip
"""What is told of by its fields alone."""
