"""Connections to the ledger's database: durable, one writer at a time, every error explained."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DisconnectionError

from trading_pipeline.adapters import ledger_errors
from trading_pipeline.adapters.ledger_records import DIALECTS
from trading_pipeline.adapters.ledger_wire import BEFORE_WRITING, BEGIN_READING, BEGIN_WRITING, BEGUN, REST_SECONDS
from trading_pipeline.adapters.tables.types import document_text
from trading_pipeline.domain.errors import LedgerError, LedgerUnavailable

LOCK_WAIT_SECONDS = 10.0
CONNECT_SECONDS = 10
LOOK_HOLDS_SECONDS = 0.002
"""A look whether the file is still there holds for the transactions of one order. Longer would gain nothing, and within
that time a file can also go between a look and the commit that follows it."""
WRITERS = 7_526_754_702_413_095_271  # PostgreSQL's advisory lock of whoever writes: any number that is always the same

# A writer waits for the one before it, as on SQLite: what it reads stays true until it commits. A process that was
# stopped in the middle loses its transaction, so that whoever leads next can go on.
BEGIN_ON_POSTGRESQL = (
    "SELECT set_config('lock_timeout', '{wait}ms', true), "
    "set_config('idle_in_transaction_session_timeout', '{wait}ms', true), pg_advisory_xact_lock({writers})"
)

BEGIN_ON_SQLITE = {BEGIN_WRITING: "BEGIN IMMEDIATE", BEGIN_READING: "BEGIN DEFERRED"}


def ledger_engine(url: str, lock_wait_seconds: float = LOCK_WAIT_SECONDS) -> Engine:
    """An engine whose every transaction is durable and whose every error is a LedgerError.

    lock_wait_seconds: how long a writer waits for another one before LedgerUnavailable.
    """
    address = ledger_address(url)
    wait_ms = round(lock_wait_seconds * 1000)
    if address.get_backend_name() == "sqlite":
        engine = create_engine(address, json_serializer=document_text, execution_options=BEGIN_ON_SQLITE)
        _watch_file(engine, address)
        event.listen(engine, "connect", partial(_prepare_sqlite, wait_ms))
    else:
        timeout = {"connect_timeout": CONNECT_SECONDS}
        begin = {BEGIN_WRITING: BEGIN_ON_POSTGRESQL.format(wait=wait_ms, writers=WRITERS)}
        engine = create_engine(
            address, json_serializer=document_text, connect_args=timeout, execution_options=begin,
            executemany_mode="values_plus_batch",  # many changes in one message
        )  # fmt: skip
        _ping_the_idle(engine)
    event.listen(engine, "begin", _begin)
    _explain_errors(engine, address)
    return engine


def ledger_address(url: str) -> URL:
    """The URL with its driver; raises LedgerError for what is not SQLite or PostgreSQL, without repeating it."""
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise LedgerError("the ledger's URL cannot be read: use sqlite:///PATH or postgresql://...") from error
    if address.drivername in {"postgres", "postgresql"}:
        address = address.set(drivername="postgresql+psycopg2")
    if address.get_backend_name() not in DIALECTS:
        raise LedgerError(f"the ledger runs on {' or '.join(DIALECTS)}, not on {address.get_backend_name()}.")
    return address


def make_folder(address: URL) -> None:
    """The folder of a SQLite file."""
    if _is_file(address):
        folder = Path(str(address.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerUnavailable(f"the ledger's folder {folder} cannot be made: {error.strerror}.") from error


def require_no_lone_log(address: URL) -> None:
    """Raises LedgerUnavailable where the file is gone and its log is there: SQLite would begin anew and delete it.

    The log holds the newest changes, some megabytes of them; with the file put back they are there again.
    """
    path = Path(str(address.database))
    if _is_file(address) and not path.exists() and Path(f"{path}-wal").exists():
        raise LedgerUnavailable(
            f"the ledger {path} is gone, and {path.name}-wal with its newest changes is there, which a new ledger "
            "would delete. Put the file back; or restore the newest backup: trading-pipeline db restore latest. To "
            f"begin anew, move {path.name}-wal away first. Nothing was written."
        )


def _explain_errors(engine: Engine, address: URL) -> None:
    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> None:
        error = ledger_errors.translate(context, address)
        if error is not None:
            raise error from context.original_exception


def _prepare_sqlite(wait_ms: int, connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's recipe: we say BEGIN ourselves
    for pragma in (
        f"busy_timeout = {wait_ms}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "recursive_triggers = ON",  # REPLACE deletes: let the append-only triggers see it
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    begin = options.get(BEGIN_READING if options.get("ledger_reading") else BEGIN_WRITING)
    if begin and not options.get(BEGUN):
        connection.exec_driver_sql(begin)


def _ping_the_idle(engine: Engine) -> None:
    """Look whether a connection still lives when it has rested; one just used tells by itself.

    SQLAlchemy's own pre-ping asks each time, which costs a writer of many short transactions one answer in four.
    """

    @event.listens_for(engine, "checkin")
    def rest(_connection: Any, record: Any) -> None:
        record.info["resting_since"] = monotonic()

    @event.listens_for(engine, "checkout")
    def look(connection: Any, record: Any, _proxy: object) -> None:
        if monotonic() - record.info.get("resting_since", monotonic()) < REST_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error  # the pool makes a new one


def _is_file(address: URL) -> bool:
    return address.get_backend_name() == "sqlite" and address.database not in {None, "", ":memory:"}


def _watch_file(engine: Engine, address: URL) -> None:
    """SQLite would go on in a deleted file, or begin an empty one in its place: look before each transaction."""
    if not _is_file(address):
        return
    path, opened, looked_at = str(address.database), list[tuple[int, int]](), [-LOOK_HOLDS_SECONDS]

    def require_same(*_: object) -> None:
        now = monotonic()
        if not opened or now - looked_at[0] < LOOK_HOLDS_SECONDS:
            return
        looked_at[0] = now
        if _file_number(path) != opened[0]:
            looked_at[0] = -LOOK_HOLDS_SECONDS
            raise LedgerUnavailable(
                f"the ledger {path} is gone: the file was deleted, moved or replaced while it was open. Stop every "
                "process that uses it, put the file (or the newest backup) back, then start again. Nothing was written."
            )

    def remember(*_: object) -> None:
        if not opened:
            opened.extend(number for number in [_file_number(path)] if number is not None)

    event.listen(engine, "do_connect", require_same)
    event.listen(engine, "connect", remember)
    event.listen(engine, "begin", require_same)
    engine.update_execution_options(**{BEFORE_WRITING: require_same})


def _file_number(path: str) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  looked at before each transaction: a Path takes twice as long
    except OSError:
        return None
    return found.st_dev, found.st_ino
