"""One transaction's way to the database: what is sent often goes straight to the driver, the rest through SQLAlchemy.

SQLAlchemy's own way from a statement to the driver costs more processor time than SQLite needs to run it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from time import monotonic
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, PoolProxiedConnection
from sqlalchemy.engine.interfaces import DBAPICursor

from trading_pipeline.adapters.ledger_errors import ledger_error, place_of
from trading_pipeline.adapters.ledger_statements import (
    Parameters,
    Prepared,
    Statement,
    Values,
    in_parts,
    prepared,
)

REST_SECONDS = 1.0
"""After resting so long a connection is asked whether it still lives; one just used tells by itself."""
BEGUN, BEFORE_WRITING = "ledger_begun", "ledger_before_writing"
BEGIN_WRITING, BEGIN_READING = "ledger_begin_writing", "ledger_begin_reading"
"""Execution options: that a transaction was begun already; what to call before one; what begins one (PostgreSQL's
driver begins one that reads by itself)."""


class Wire:
    """The connection of one transaction. Whoever listens to the engine hears every statement all the same."""

    def __init__(self, engine: Engine, driver: PoolProxiedConnection) -> None:
        self.dialect = engine.dialect
        self._engine, self._driver = engine, driver
        self._connection: Connection | None = None
        self._in_use: Connection | None = None
        """The same, once this transaction used it."""
        assert driver.dbapi_connection is not None
        self._raw = driver.dbapi_connection
        self._cursor: DBAPICursor = self._raw.cursor()
        self._events = engine.dispatch
        self._is_heard = bool(self._events.before_cursor_execute)
        self.resting_since: float | None = None
        self._options = engine.get_execution_options()
        self._before = self._options.get(BEFORE_WRITING)
        self._driver_error = engine.dialect.loaded_dbapi.Error
        self._commits_itself = self.dialect.name != "sqlite"

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's view of the same transaction."""
        if self._connection is None:
            self._connection = Connection(self._engine, self._driver).execution_options(**{BEGUN: True})
        if not self._connection.in_transaction():
            self._connection.begin()
        self._in_use = self._connection
        return self._connection

    def change(self, statement: Statement, names: Sequence[str], values: Sequence[Any]) -> int:
        """Send it with these parameters; how many rows it inserted or changed."""
        made = prepared(statement, self.dialect, names)
        return int(self._send(made.sql, made.parameters(values)).rowcount)

    def answers(self, statement: Statement, names: Sequence[str], values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The rows that a query finds, or a change returns, as they are stored."""
        made = prepared(statement, self.dialect, names)
        rows: Sequence[Sequence[Any]] = self._send(made.sql, made.parameters(values)).fetchall()
        return rows

    def rows(self, statement: Statement, values: Values) -> list[Parameters]:
        """The rows a query finds; the same query always with its values in the same order."""
        return self.rows_and_stored(statement, values)[0]

    def rows_and_stored(self, statement: Statement, values: Values) -> tuple[list[Parameters], list[Parameters]]:
        """The rows a query finds, and the same as they are stored."""
        made = prepared(statement, self.dialect, tuple(values))
        found = self._send(made.sql, made.parameters(tuple(values.values())))
        description = getattr(found, "cursor", found).description
        stored = found.fetchall()
        return made.decoded(stored, description), stored

    def change_all(self, statement: Statement, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Send it once for each row of values as they are stored, together."""
        if not rows:
            return
        made = prepared(statement, self.dialect, names)
        if len(rows) == 1:
            self._send(made.sql, made.placed(rows[0]))
            return
        parameters = [made.placed(row) for row in rows]
        if self._is_heard:
            self.connection.exec_driver_sql(made.sql, parameters)
            return
        try:
            self.dialect.do_executemany(self._cursor, made.sql, parameters)
        except self._driver_error as error:
            self._explain(error)

    def append(self, insertion: Prepared, rows: Sequence[Parameters]) -> None:
        """Insert rows, as they are stored and in the order of the insertion, many in one statement."""
        for part in in_parts(rows):
            self._insert(insertion, part)

    def append_new(self, insertion: Prepared, rows: Sequence[Parameters]) -> list[Any]:
        """The same with those rows that are not there; what the insertion returns of each new one."""
        new = list[Any]()
        for part in in_parts(rows):
            new += self._insert(insertion, part).fetchall()
        return new

    def begin(self, option: str) -> None:
        """Begin to write, which waits for the writer before, or to read (BEGIN_WRITING, BEGIN_READING)."""
        if self._before is not None:
            self._before()
        self._in_use, listening = None, self._events.before_cursor_execute
        self._is_heard = bool(listening.listeners or listening.parent_listeners)  # its own truth takes a slow call
        sql = self._options.get(option)
        if sql:
            self._send(sql)

    def commit(self) -> None:
        """Make it durable."""
        if self._in_use is not None and self._in_use.in_transaction():
            self._in_use.commit()
            return
        try:
            if self._commits_itself:
                self._raw.commit()
            else:
                self._cursor.execute("COMMIT")  # remembered by the driver, whose own way reads the word anew each time
        except self._driver_error as error:
            self._explain(error)

    def undo(self) -> None:
        """End the transaction without a trace: what only read has nothing to keep."""
        if self._in_use is not None and self._in_use.in_transaction():
            self._in_use.rollback()
            return
        try:
            self._raw.rollback()
        except self._driver_error as error:
            self._explain(error)

    def only_read(self) -> None:
        """From now on see one consistent state in each transaction, and write nothing."""
        if self.dialect.name == "postgresql":
            self.dialect.set_isolation_level(self._raw, "REPEATABLE READ")
            self.dialect.set_readonly(self._raw, True)  # type: ignore[attr-defined]

    def discard(self) -> None:
        """Throw the connection away."""
        if self._driver.is_valid:
            (self._connection or self._driver).invalidate()
        self.close()

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

    def _insert(self, insertion: Prepared, rows: Sequence[Parameters]) -> Any:
        if len(rows) == 1:
            return self._send(insertion.sql, rows[0])
        return self._send(insertion.of_rows(len(rows)), tuple(chain.from_iterable(rows)))

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
    """The connections of an engine: one that ended its transaction waits for the next of its sort."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._has_server = engine, engine.dialect.name != "sqlite"
        self.writers, self.readers = list[Wire](), list[Wire]()

    def take(self, resting: list[Wire]) -> Wire:
        """One of the `writers` or `readers`; given back by `rest` after its transaction, or it gives up."""
        while True:
            try:
                wire = resting.pop()
            except IndexError:  # none rests, or another thread was quicker
                break
            since = wire.resting_since
            if since is None or monotonic() - since < REST_SECONDS or wire.lives():
                return wire
        wire = Wire(self._engine, self._checked_out())
        if resting is self.readers:
            wire.only_read()
        return wire

    def rest(self, wire: Wire, resting: list[Wire]) -> None:
        """It ended its transaction and waits for the next of its sort."""
        if self._has_server:  # which may end it meanwhile
            wire.resting_since = monotonic()
        resting.append(wire)

    @contextmanager
    def reading(self) -> Iterator[Wire]:
        """A transaction that sees one consistent state and writes nothing."""
        wire = self.take(self.readers)
        try:
            wire.begin(BEGIN_READING)
            yield wire
            wire.undo()
        except BaseException:
            wire.discard()  # it must not go where somebody would write with it
            raise
        self.rest(wire, self.readers)

    def close(self) -> None:
        """Give them all back; none of them is used again."""
        while self.writers:
            self.writers.pop().close()
        while self.readers:
            self.readers.pop().discard()

    def _checked_out(self) -> PoolProxiedConnection:
        try:
            return self._engine.raw_connection()
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise ledger_error(error, place_of(self._engine.url)) from error
