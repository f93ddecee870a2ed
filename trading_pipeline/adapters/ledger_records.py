"""Records as rows: how each is stored, found again and compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Dialect, Insert, Select, Table, and_, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import JSON

from trading_pipeline.adapters import tables
from trading_pipeline.adapters.ledger_statements import (
    Parameters,
    Prepared,
    Statement,
    Values,
    conversions,
    insert_new_of,
    insert_of,
    written_out,
)
from trading_pipeline.adapters.ledger_wire import Wire
from trading_pipeline.domain.breaker import SessionPeak
from trading_pipeline.domain.control import Alert, AuditEntry, Block, Lease, TradingStateRecord
from trading_pipeline.domain.corporate import CashActivity, Split
from trading_pipeline.domain.errors import LedgerConflict
from trading_pipeline.domain.orders import ExecutionReport, Fill, Order
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.trading_session import Intent, RiskEvent, SessionRecord

R = TypeVar("R")

DIALECTS = ("sqlite", "postgresql")

# What an order is after it was asked for; the rest of it never changes.
ORDER_STATE = (
    "updated_at",
    "status",
    "quantity",
    "limit_price",
    "stop_price",
    "trail_amount",
    "venue_order_id",
    "submitted_at",
    "cum_qty",
    "avg_px",
    "commission",
    "text",
)
ASKED = {"asked_quantity": "quantity", "asked_limit_price": "limit_price", "asked_stop_price": "stop_price"}


@dataclass(frozen=True)
class OnlyOne:
    """At most one row with the flag set for each value of `names`."""

    flag: str
    names: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Kind(Generic[R]):
    """One kind of record and its table.

    identities: the unique keys, the record's own first. bookkeeping: fields that may differ between two runs that
    did the same, so that they are not compared; the first recorded value stays. only_one: for rows with this flag set,
    what identifies them too, and how to say so. derived: columns that are no field of the record, and the attribute of
    it that a new row keeps there. further: those whose values are given beside the record.
    """

    record: type[R]
    row: type[tables.Base]
    identities: tuple[tuple[str, ...], ...]
    bookkeeping: frozenset[str] = frozenset()
    only_one: OnlyOne | None = None
    derived: Mapping[str, str] = field(default_factory=dict)
    further: tuple[str, ...] = ()

    @cached_property
    def table(self) -> Table:
        """The table as SQLAlchemy Core knows it."""
        table = self.row.__table__
        assert isinstance(table, Table)
        return table

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The record's fields, each a column of the same name."""
        return tuple(field.name for field in fields(self.record))  # type: ignore[arg-type]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of a new row, in the order of its values."""
        return (*self.names, *self.derived, *self.further)

    def values(self, record: R) -> Values:
        """The record as column values."""
        return {name: getattr(record, name) for name in self.names}

    def row_values(self, record: R, further: Parameters) -> Values:
        """A new row as column values."""
        derived = {name: getattr(record, attribute) for name, attribute in self.derived.items()}
        return {**self.values(record), **derived, **dict(zip(self.further, further, strict=True))}

    def select(self) -> Select[Any]:
        """A query of whole records."""
        return self._select

    @cached_property
    def _select(self) -> Select[Any]:
        return select(*(self.table.c[name] for name in self.names))

    @cached_property
    def select_one(self) -> Select[Any]:
        """A query of the record with one identity, given as `identity`; made once."""
        (name,) = self.identities[0]
        return self.select().where(self.table.c[name] == bindparam("identity"))

    @cached_property
    def fields(self) -> Callable[[R], tuple[Any, ...]]:
        """The record's values in the order of `names`."""
        return attrgetter(*self.names)

    def stored(self, record: R, dialect: Dialect) -> Parameters:
        """The record's values as the database keeps them, in the order of `names`."""
        return (self._in_sql.get(dialect.name) or self._sql(dialect)).stored(record)

    def always(self, dialect: Dialect) -> Insertion:
        """How rows are inserted that cannot be there already."""
        return (self._in_sql.get(dialect.name) or self._sql(dialect)).always

    def unless_there(self, dialect: Dialect) -> Insertion:
        """How rows are inserted that may be there already: those stay as they are."""
        return (self._in_sql.get(dialect.name) or self._sql(dialect)).unless_there

    def _sql(self, dialect: Dialect) -> InSql[R]:
        return self._in_sql.setdefault(dialect.name, InSql(self, dialect))

    @cached_property
    def _in_sql(self) -> dict[str, InSql[R]]:
        return {}

    def found(self, wire: Wire, query: Select[Any], values: Values) -> list[R]:
        """The same for a query that lives as long as the program."""
        return [self.record(**dict(zip(self.names, row, strict=True))) for row in wire.rows(query, values)]

    @cached_property
    def select_session(self) -> Select[Any]:
        """A query of an account's records of one session, in the order they were recorded; made once."""
        columns = self.table.c
        of_session = (columns.account == bindparam("account"), columns.session == bindparam("session"))
        return self.select().where(*of_session).order_by(columns.record_no)

    @cached_property
    def insert(self) -> Insert:
        """A plain insertion of records; made once."""
        return self.table.insert()

    def records(self, connection: Connection, query: Select[Any], values: Values | None = None) -> list[R]:
        """The records a query of `select` finds."""
        return [self.record(**dict(zip(self.names, row, strict=True))) for row in connection.execute(query, values)]

    def where(self, values: Values, identity: Sequence[str]) -> ColumnElement[bool]:
        """The condition that picks the row with this identity."""
        return and_(*(self.table.c[name] == values[name] for name in identity))


class Insertion(NamedTuple):
    """How rows of a kind are inserted: the statement, and what makes a row of a record and its further values."""

    statement: Prepared
    row: Callable[..., Parameters]


class InSql(Generic[R]):
    """How one kind is kept in one database; made once."""

    def __init__(self, kind: Kind[R], dialect: Dialect) -> None:
        to = conversions([kind.table.c[name].type for name in kind.columns], dialect)
        of_record = [f"given.{attribute}" for attribute in (*kind.names, *kind.derived.values())]
        values = [*of_record, *(f"further[{n}]" for n in range(len(kind.further)))]
        parts = dict(zip(kind.columns, zip(values, to, strict=True), strict=True))
        self.stored: Callable[[R], Parameters] = written_out([parts[name] for name in kind.names])
        self._kind, self._dialect, self._parts = kind, dialect, parts

    @cached_property
    def always(self) -> Insertion:
        """Of rows that cannot be there already."""
        return self._insertion(insert_of(self._kind.table, self._kind.columns))

    @cached_property
    def unless_there(self) -> Insertion:
        """Of rows that may be there already."""
        return self._insertion(insert_new_of(self._kind.table, self._kind.columns, self._dialect.name))

    def _insertion(self, statement: Statement) -> Insertion:
        made = Prepared(statement, self._dialect, self._kind.columns)
        return Insertion(made, written_out([self._parts[name] for name in made.order]))


SNAPSHOTS = Kind(
    ScanSnapshot, tables.ScanSnapshotRow, (("snapshot_id",),), bookkeeping=frozenset({"created_at", "run_id"})
)
SETUPS = Kind(Setup, tables.SetupRow, (("setup_id",), ("snapshot_id", "symbol")))
REGIMES = Kind(
    RegimeSnapshot, tables.RegimeSnapshotRow, (("regime_id",),), bookkeeping=frozenset({"created_at", "run_id"})
)
PLANS = Kind(TradePlan, tables.TradePlanRow, (("plan_id",),))
DECISIONS = Kind(RiskDecision, tables.RiskDecisionRow, (("decision_id",),))
INTENTS = Kind(
    Intent,
    tables.IntentRow,
    (("intent_id",), ("account", "strategy", "snapshot_id", "symbol")),
    bookkeeping=frozenset({"created_at", "run_id"}),
)
ORDERS = Kind(
    Order,
    tables.OrderRow,
    (("client_order_id",),),
    bookkeeping=frozenset({"created_at", "is_working_entry", *ORDER_STATE}),
    only_one=OnlyOne("is_working_entry", ("account", "symbol"), "an entry is already working in this symbol"),
    derived={**ASKED, "is_working_entry": "is_working_entry"},
)  # quantity and prices are compared as asked: see ASKED
REPORTS = Kind(ExecutionReport, tables.ExecutionReportRow, (("broker", "exec_id"),), further=("broker",))
FILLS = Kind(Fill, tables.FillRow, (("broker", "exec_id"),))
POSITIONS = Kind(Position, tables.PositionRow, (("trade_id",),))
TRADES = Kind(Trade, tables.TradeRow, (("trade_id",),))
DAILY = Kind(
    DailyPerformance,
    tables.DailyPerformanceRow,
    (("account", "session"),),
    bookkeeping=frozenset({"computed_at"}),
)
EQUITY = Kind(EquityPoint, tables.EquityPointRow, (("account", "at"),))
RISK_EVENTS = Kind(RiskEvent, tables.RiskEventRow, (("event_id",),))
SESSIONS = Kind(SessionRecord, tables.SessionRecordRow, (("account", "session"),))
CASH = Kind(CashActivity, tables.CashActivityRow, (("broker", "activity_id"),))
SPLITS = Kind(Split, tables.SplitRow, (("account", "symbol", "ex_date"),))
LEASES = Kind(Lease, tables.LeaseRow, (("name",),))
STATES = Kind(TradingStateRecord, tables.TradingStateRow, (("account",),))
PEAKS = Kind(SessionPeak, tables.SessionPeakRow, (("account", "session"),))
BLOCKS = Kind(
    Block,
    tables.BlockRow,
    (("block_id",),),
    bookkeeping=frozenset({"since", "reason", "cleared_at", "cleared_by"}),  # the first reason stays
)
AUDIT = Kind(AuditEntry, tables.AuditRow, (("record_no",),))
ALERTS = Kind(Alert, tables.AlertRow, (("alert_id",),))
RECONCILIATIONS = Kind(Reconciliation, tables.ReconciliationRow, (("account", "at"),))


def insert_or_verify(wire: Wire, kind: Kind[R], record: R, further: Parameters = ()) -> bool:
    """True when the row is new, False when the identical row exists; raises LedgerConflict otherwise.

    further: values of the kind's further columns.
    """
    statement, row = kind.unless_there(wire.dialect)
    if wire.append_new(statement, [row(record, further)]):
        return True
    _verify_recorded(wire, kind, record, further)
    return False


def insert_or_verify_all(wire: Wire, kind: Kind[R], records: Sequence[R], further: Parameters = ()) -> list[bool]:
    """The same for many records of a kind whose first field identifies them, in as few statements as it takes."""
    statement, row = kind.unless_there(wire.dialect)
    added = wire.append_new(statement, [row(one, further) for one in records])
    if len(added) == len(records):
        return [True] * len(records)
    new, answers = {identity for (identity,) in added}, list[bool]()
    for record in records:
        identity = getattr(record, kind.names[0])
        answers.append(identity in new)
        new.discard(identity)  # the second of two that are the same is not new
        if not answers[-1]:
            _verify_recorded(wire, kind, record, further)
    return answers


def _verify_recorded(wire: Wire, kind: Kind[R], record: R, further: Parameters) -> None:
    values = kind.row_values(record, further)
    verify(kind, find(wire.connection, kind, values), values, wire.dialect)


def insert_new(wire: Wire, kind: Kind[R], record: R) -> bool:
    """True when the row is new; False when one with its identity exists, whatever its content."""
    statement, row = kind.unless_there(wire.dialect)
    return bool(wire.append_new(statement, [row(record)]))


def find(connection: Connection, kind: Kind[Any], values: Values) -> Values:
    """The recorded row that shares one of the identities."""
    for identity in kind.identities:
        row = connection.execute(select(kind.table).where(kind.where(values, identity))).mappings().first()
        if row is not None:
            return dict(row)
    _require_only_one(connection, kind, values)
    raise LedgerConflict(f"{kind.table.name} refused {_key(kind, values)}: it was recorded and is gone. Run it again.")


def _require_only_one(connection: Connection, kind: Kind[Any], values: Values) -> None:
    only = kind.only_one
    if only is None or not values[only.flag]:
        return
    identity = kind.table.c[kind.identities[0][0]]
    standing = select(identity).where(kind.table.c[only.flag], kind.where(values, only.names))
    other = connection.execute(standing).scalar()
    if other is not None:
        raise LedgerConflict(
            f"{kind.table.name} refused {_key(kind, values)}: {only.words} "
            f"({', '.join(str(values[name]) for name in only.names)}: {other}). Wait for it to end, or cancel it."
        )


def verify(kind: Kind[Any], recorded: Values, values: Values, dialect: Dialect) -> None:
    """Raise LedgerConflict naming each field that differs from the recorded row."""
    compared = {name: value for name, value in values.items() if name not in kind.bookkeeping}
    differing = differing_fields(kind, recorded, compared, dialect)
    if not differing:
        return
    details = "; ".join(f"{name} is {recorded[name]!r} there and {values[name]!r} here" for name in differing)
    raise LedgerConflict(
        f"{kind.table.name} already has {_key(kind, values)} with other content: {details}. A recorded row never "
        "changes: find out why the same identity was made twice with different content. Nothing was overwritten."
    )


def differing_fields(kind: Kind[Any], recorded: Values, values: Values, dialect: Dialect) -> list[str]:
    """Fields whose stored form differs (two NaN a check measured are the same stored text)."""
    columns = (kind.table.c[name] for name in values)
    return [
        column.name
        for column in columns
        if recorded[column.name] != values[column.name]  # cheap, and mostly enough
        and _stored(column, recorded[column.name], dialect) != _stored(column, values[column.name], dialect)
    ]


def insert_many(connection: Connection, kind: Kind[R], records: Iterable[R]) -> None:
    """Insert new rows in one round; a row that exists is a LedgerConflict."""
    rows = [kind.values(record) for record in records]
    if rows:
        connection.execute(kind.insert, rows)


def insert_missing(connection: Connection, kind: Kind[R], records: Iterable[R]) -> None:
    """Insert in one round the rows whose identity is new; the others stay as they are."""
    rows = [kind.values(record) for record in records]
    if rows:
        connection.execute(_insert(kind.table, connection.dialect.name).on_conflict_do_nothing(), rows)


def upsert(connection: Connection, kind: Kind[R], record: R) -> None:
    """Insert the row, or replace the one with the same identity."""
    statement = _upsert(kind.table, kind.identities[0], kind.names, connection.dialect.name)
    connection.execute(statement, kind.values(record))


@cache
def _upsert(
    table: Table, identity: tuple[str, ...], names: tuple[str, ...], dialect: str
) -> sqlite.Insert | postgresql.Insert:
    insert = _insert(table, dialect)
    changed = {name: insert.excluded[name] for name in names if name not in identity}
    return insert.on_conflict_do_update(index_elements=identity, set_=changed)


def _insert(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def _stored(column: Column[Any], value: object, dialect: Dialect) -> object:
    bind = getattr(column.type, "process_bind_param", None)
    stored = bind(value, dialect) if bind is not None else value
    is_document = isinstance(column.type, JSON) or isinstance(stored, dict | list)
    return json.dumps(stored, sort_keys=True, default=str) if is_document else stored


def _key(kind: Kind[Any], values: Values) -> str:
    return ", ".join(f"{name} {values[name]}" for name in kind.identities[0])
