"""How the sections of a ledger transaction write and find rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection

from trading_pipeline.adapters.ledger_outbox import Outbox
from trading_pipeline.adapters.ledger_records import Kind, insert_or_verify, upsert
from trading_pipeline.adapters.ledger_wire import Wire
from trading_pipeline.domain.errors import LedgerError

R = TypeVar("R")
Condition = ColumnElement[bool]


class Rows:
    """Reads and writes inside one transaction; what was written is told to the outbox, flushed before the commit."""

    def __init__(self, wire: Wire, *, writable: bool) -> None:
        self._wire = wire
        self._writable = writable
        self._outbox = Outbox()

    @property
    def _connection(self) -> Connection:
        return self._wire.connection

    def flush(self) -> None:
        """Write the audit entries and alerts of what was changed so far."""
        self._outbox.flush(self._wire)

    def _require_writable(self) -> None:
        if not self._writable:
            raise LedgerError("this block only reads the ledger: write inside `with ledger.transaction()`.")

    def _add(self, kind: Kind[R], record: R, *further: tuple[str, Any]) -> bool:
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

    def _of_session(self, kind: Kind[R], account: str, session: date) -> list[R]:
        return kind.found(self._wire, kind.select_session, {"account": account, "session": session})

    def _between(
        self, kind: Kind[R], account: str, first: date | None, last: date | None, order: Sequence[ColumnElement[Any]]
    ) -> list[R]:
        columns = kind.table.c
        wanted = [columns.account == account]
        wanted += [columns.session >= first] if first is not None else []
        wanted += [columns.session <= last] if last is not None else []
        return self._all(kind, *wanted, order=order)
