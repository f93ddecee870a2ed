"""How the sections of a ledger transaction write and find rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam

from trading_pipeline.adapters.ledger_outbox import Outbox
from trading_pipeline.adapters.ledger_records import Kind, insert_or_verify, upsert
from trading_pipeline.adapters.ledger_wire import Wire
from trading_pipeline.domain.errors import LedgerError

R = TypeVar("R")
Condition = ColumnElement[bool]


class Rows:
    """Reads and writes inside one transaction; what was written is told to the outbox, flushed before the commit."""

    def __init__(self, wire: Wire, outbox: Outbox, *, writable: bool) -> None:
        self._wire, self._outbox, self._writable = wire, outbox, writable
        self._plan_accounts: dict[str, str] = {}
        self._known: dict[str, Sequence[Any]] = {}
        """Orders as they are stored, read here: nobody else writes before this transaction ends."""

    @property
    def _connection(self) -> Connection:
        return self._wire.connection

    def flush(self) -> None:
        """Write the audit entries and alerts of what was changed so far."""
        self._outbox.flush(self._wire)

    def _require_writable(self) -> None:
        if not self._writable:
            raise LedgerError("this block only reads the ledger: write inside `with ledger.transaction()`.")

    def _add(self, kind: Kind[R], record: R, *further: str) -> bool:
        self._require_writable()
        is_new = insert_or_verify(self._wire, kind, record, further)
        if is_new:
            self._outbox.recorded(record)
        return is_new

    def _put(self, kind: Kind[R], record: R) -> None:
        self._require_writable()
        upsert(self._connection, kind, record)

    def _one(self, kind: Kind[R], identity: str) -> R | None:
        found = kind.found(self._wire, kind.select_one, {"identity": identity})
        return found[0] if found else None

    def _all(self, kind: Kind[R], *wanted: Condition, order: Sequence[ColumnElement[Any]] = ()) -> list[R]:
        return kind.records(self._connection, kind.select().where(*wanted).order_by(*order))

    def _equal(self, kind: Kind[R], order: Sequence[ColumnElement[Any]], **given: Any) -> list[R]:
        """The records whose columns are as given; what is None is not asked for."""
        values = {name: value for name, value in given.items() if value is not None}
        query = equal_of(kind.table, kind.select(), tuple(values), tuple(order))
        return kind.found(self._wire, query, values)

    def _of_session(self, kind: Kind[R], account: str, session: date) -> list[R]:
        return kind.found(self._wire, kind.select_session, {"account": account, "session": session})

    def _between(
        self, kind: Kind[R], account: str, first: date | None, last: date | None, order: Sequence[ColumnElement[Any]]
    ) -> list[R]:
        given = {"account": account, "first": first, "last": last}
        values = {name: value for name, value in given.items() if value is not None}
        query = between_of(kind.table, kind.select(), tuple(values), tuple(order))
        return kind.found(self._wire, query, values)


@cache
def between_of(
    table: Table, records: Select[Any], names: tuple[str, ...], order: tuple[ColumnElement[Any], ...]
) -> Select[Any]:
    """A query of an account's records, with `first` and `last` among the names from and to those sessions."""
    conditions = {
        "account": table.c.account == bindparam("account"),
        "first": table.c.session >= bindparam("first"),
        "last": table.c.session <= bindparam("last"),
    }
    return records.where(*(conditions[name] for name in names)).order_by(*order)


@cache
def equal_of(
    table: Table, records: Select[Any], names: tuple[str, ...], order: tuple[ColumnElement[Any], ...]
) -> Select[Any]:
    """A query of the records whose columns of these names are as given."""
    return records.where(*(table.c[name] == bindparam(name) for name in names)).order_by(*order)
