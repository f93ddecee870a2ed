"""One transaction's way to the database: what is sent often goes straight to the driver, the rest through SQLAlchemy.

SQLAlchemy's own way from a statement to the driver costs more processor time than SQLite needs to run it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from time import monotonic
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, PoolProxiedConnection, Table
from sqlalchemy.engine.interfaces import DBAPICursor

from trading_pipeline.adapters.ledger_errors import ledger_error, place_of
from trading_pipeline.adapters.ledger_statements import (
    Parameters,
    Statement,
    Values,
    in_parts,
    insert_new_of,
    insert_of,
    prepared,
)

REST_SECONDS = 1.0
"""After resting so long a connection is asked whether it still lives; one just used tells by itself."""
BEGUN, BEFORE_WRITING = "ledger_begun", "ledger_before_writing"
BEGIN_WRITING, BEGIN_READING = "ledger_begin_writing", "ledger_begin_reading"
"""Execution options: that a transaction was begun already; what to call before one; what begins one."""


class Wire:
    """The connection of one transaction. Whoever listens to the engine hears every statement all the same."""

    def __init__(self, engine: Engine, driver: PoolProxiedConnection, connection: Connection | None = None) -> None:
        """connection: SQLAlchemy's view of the driver's connection, where it began the transaction."""
        self.dialect = engine.dialect
        self._engine, self._driver, self._connection = engine, driver, connection
        assert driver.dbapi_connection is not None
        self._raw = driver.dbapi_connection
        self._cursor: DBAPICursor = self._raw.cursor()
        self._is_heard = bool(engine.dispatch.before_cursor_execute)
        self._before = engine.get_execution_options().get(BEFORE_WRITING)
        self._driver_error = engine.dialect.loaded_dbapi.Error

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's view of the same transaction."""
        if self._connection is None:
            self._connection = Connection(self._engine, self._driver).execution_options(**{BEGUN: True})
        if not self._connection.in_transaction():
            self._connection.begin()
        return self._connection

    def change(self, statement: Statement, names: Sequence[str], values: Sequence[Any]) -> int:
        """Send it with these parameters; how many rows it inserted or changed."""
        made = prepared(statement, self.dialect, names)
        return int(self._send(made.sql, made.parameters(values)).rowcount)

    def change_stored(self, statement: Statement, names: Sequence[str], stored: Sequence[Any]) -> int:
        """The same with values as they are stored."""
        made = prepared(statement, self.dialect, names)
        return int(self._send(made.sql, made.placed(stored)).rowcount)

    def rows(self, statement: Statement, values: Values) -> list[list[Any]]:
        """The rows a query finds; the same query always with its values in the same order."""
        return self.rows_and_stored(statement, values)[0]

    def rows_and_stored(self, statement: Statement, values: Values) -> tuple[list[list[Any]], list[Sequence[Any]]]:
        """The rows a query finds, and the same as they are stored."""
        made = prepared(statement, self.dialect, tuple(values))
        found = self._send(made.sql, made.parameters(tuple(values.values())))
        description = getattr(found, "cursor", found).description
        stored = found.fetchall()
        return made.decoded(stored, description), stored

    def stored_row(self, statement: Statement, values: Values) -> Sequence[Any] | None:
        """The first row a query finds, as it is stored."""
        made = prepared(statement, self.dialect, tuple(values))
        found = self._send(made.sql, made.parameters(tuple(values.values()))).fetchall()
        return found[0] if found else None

    def append(self, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows of these columns, many in one statement."""
        for part in in_parts(rows):
            insert, numbered = insert_of(table, names, len(part))
            self.change(insert, numbered, tuple(chain.from_iterable(part)))

    def append_new(self, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> set[Any]:
        """Insert those rows that are not there; the first values of the new ones."""
        found = set[Any]()
        for part in in_parts(rows):
            insert, numbered = insert_new_of(table, names, len(part), self.dialect.name, tell=True)
            made = prepared(insert, self.dialect, numbered)
            sent = self._send(made.sql, made.parameters(tuple(chain.from_iterable(part))))
            found.update(row[0] for row in sent.fetchall())
        return found

    def begin(self) -> None:
        """Begin to write: waits for the writer before."""
        if self._before is not None:
            self._before()
        self._is_heard = bool(self._engine.dispatch.before_cursor_execute)
        self._send(self._engine.get_execution_options()[BEGIN_WRITING])

    def commit(self) -> None:
        """Make it durable."""
        if self._connection is not None and self._connection.in_transaction():
            self._connection.commit()
            return
        try:
            self._raw.commit()
        except self._driver_error as error:
            self._explain(error)

    def lives(self) -> bool:
        """Whether the server still answers; a connection that does not is thrown away."""
        try:
            return self.dialect.do_ping(self._raw)
        except self._driver_error as error:
            self.give_up(error)
            return False

    def give_up(self, error: BaseException) -> None:
        """Undo everything; a connection interrupted in the middle of something is not used again."""
        if not isinstance(error, Exception) or isinstance(error, self._driver_error):
            (self._connection or self._driver).invalidate()
        self.close()

    def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        (self._connection or self._driver).close()

    def _send(self, sql: str, parameters: Parameters = ()) -> Any:
        if self._is_heard:
            return self.connection.exec_driver_sql(sql, parameters)
        try:
            self._cursor.execute(sql, parameters)
        except self._driver_error as error:
            self._explain(error)
        return self._cursor

    def _explain(self, error: Exception) -> NoReturn:
        is_gone = self.dialect.is_disconnect(error, self._raw, self._cursor)  # type: ignore[arg-type]
        if is_gone:
            (self._connection or self._driver).invalidate(error)
            self._engine.dispose()  # what rests in the pool is as old
        raise ledger_error(error, place_of(self._engine.url), is_disconnect=is_gone) from error


class Wires:
    """The connections of an engine's writers: one that committed waits for the next transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._resting = list[tuple[Wire, float]]()

    @contextmanager
    def writing(self) -> Iterator[Wire]:
        """A transaction that writes: commits when the block ends, is undone when it raises."""
        wire = self._take()
        try:
            wire.begin()
            yield wire
            wire.commit()
        except BaseException as error:
            wire.give_up(error)
            raise
        self._resting.append((wire, monotonic()))

    def close(self) -> None:
        """Give them all back."""
        while self._resting:
            self._resting.pop()[0].close()

    def _take(self) -> Wire:
        while self._resting:
            wire, since = self._resting.pop()
            if monotonic() - since < REST_SECONDS or wire.lives():
                return wire
        return Wire(self._engine, self._checked_out())

    def _checked_out(self) -> PoolProxiedConnection:
        try:
            return self._engine.raw_connection()
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise ledger_error(error, place_of(self._engine.url)) from error
