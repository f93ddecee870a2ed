"""The durable record, on SQLite (embedded, the default) or PostgreSQL, chosen by one URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError

from trading_pipeline.adapters import ledger_errors
from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.ledger_control import require_held
from trading_pipeline.adapters.ledger_records import DIALECTS
from trading_pipeline.adapters.ledger_transaction import SqlTransaction
from trading_pipeline.adapters.migrations import bring_up_to_date
from trading_pipeline.adapters.tables.types import document_text
from trading_pipeline.domain.control import Lease
from trading_pipeline.domain.errors import LedgerError
from trading_pipeline.ports import LedgerTransaction

BUSY_TIMEOUT_MS = 10_000
REAL_CLOCK = SystemClock()
READ_ONLY = {"ledger_reading": True, "postgresql_readonly": True}


def default_url(home: Path) -> str:
    """The embedded ledger of a home folder."""
    return URL.create("sqlite", database=str(home / "ledger.sqlite3")).render_as_string(hide_password=False)


class SqlLedger:
    """ports.Ledger on SQLAlchemy. One writer at a time on SQLite: a transaction inside another one waits in vain."""

    def __init__(self, url: str, *, now: Callable[[], datetime] = REAL_CLOCK.now) -> None:
        """now: the real clock, by which leases expire, whatever clock the session runs on."""
        self._engine = ledger_engine(url)
        self._now = now
        self._fence: Lease | None = None

    @classmethod
    def open(cls, url: str) -> SqlLedger:
        """The ledger with the tables this code knows; creates or upgrades them when needed."""
        ledger = cls(url)
        _make_folder(ledger._engine.url)
        bring_up_to_date(ledger._engine)
        return ledger

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """Read and write: commits when the block ends, rolls back when it raises."""
        with self._engine.begin() as connection:
            if self._fence is not None:
                require_held(connection, self._fence, self._now())
            transaction = SqlTransaction(connection, writable=True)
            yield transaction
            transaction.flush()

    @contextmanager
    def read(self) -> Iterator[LedgerTransaction]:
        """Read one consistent state; never waits for a writer."""
        with self._engine.connect().execution_options(**READ_ONLY) as connection, connection.begin():
            yield SqlTransaction(connection, writable=False)

    def fenced(self, lease: Lease) -> SqlLedger:
        """The same ledger for the holder of a lease: once it is lost, writing raises LeaseLost and changes nothing."""
        fenced = copy(self)
        fenced._fence = lease
        return fenced

    def close(self) -> None:
        """Give the connections back to the operating system."""
        self._engine.dispose()


def ledger_engine(url: str) -> Engine:
    """An engine whose every transaction is durable and whose every error is a LedgerError."""
    address = _address(url)
    engine = create_engine(address, json_serializer=document_text)
    if address.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> None:
        error = ledger_errors.translate(context, address)
        if error is not None:
            raise error from context.original_exception

    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's recipe: we say BEGIN ourselves
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "recursive_triggers = ON",  # REPLACE deletes: let the append-only triggers see it
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get("ledger_reading", False)
    connection.exec_driver_sql("BEGIN DEFERRED" if is_reading else "BEGIN IMMEDIATE")


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise LedgerError("the ledger's URL cannot be read: use sqlite:///PATH or postgresql://...") from error
    if address.get_backend_name() not in DIALECTS:
        raise LedgerError(f"the ledger runs on {' or '.join(DIALECTS)}, not on {address.get_backend_name()}.")
    return address


def _make_folder(address: URL) -> None:
    if address.get_backend_name() == "sqlite" and address.database not in {None, "", ":memory:"}:
        folder = Path(str(address.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"the ledger's folder {folder} cannot be made: {error.strerror}.") from error
