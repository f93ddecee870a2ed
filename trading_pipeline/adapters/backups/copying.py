"""Copies of a ledger: page by page on SQLite, row by row between databases; each is verified."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from trading_pipeline.adapters.migrations import schema_version
from trading_pipeline.adapters.tables import Base
from trading_pipeline.domain.errors import DataFileError, InputError, LedgerUnavailable

BATCH = 1000
Fingerprint = tuple[int, int]
"""Rows of a table, and the sum of their hashes: the same in whatever order they are read."""


def copy_pages(source: Path, target: Path) -> None:
    """A consistent copy while others write, as one file without a log beside it.

    Raises LedgerUnavailable when the source cannot be read or the target not be written.
    """
    try:
        with (
            closing(looked_into(source)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise LedgerUnavailable(
            f"{source} cannot be copied to {target}: {error}. Check the disk's space and permissions, and whether the "
            "file is sound: trading-pipeline db restore latest puts the newest backup in its place"
        ) from error


def looked_into(file: Path) -> sqlite3.Connection:
    """A connection that makes and changes nothing."""
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)


def require_sound(file: Path) -> None:
    """Raise DataFileError unless SQLite finds nothing wrong with the file, down to its indexes and foreign keys."""
    try:
        with closing(looked_into(file)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            lost = connection.execute("PRAGMA foreign_key_check").fetchmany(3)
    except sqlite3.Error as error:
        found, lost = [str(error)], []
    if found != ["ok"] or lost:
        raise DataFileError(f"{file} is damaged: {'; '.join(map(str, [*found, *lost]))[:300]}")


def is_sound(file: Path) -> bool:
    """True when it is there and SQLite finds nothing wrong with it."""
    try:
        require_sound(file)
    except DataFileError:
        return False
    return True


def require_newest(connection: Connection, newest: str) -> None:
    """Raise InputError unless the ledger has the tables this program knows."""
    found = schema_version(connection)
    if found != newest:
        raise InputError(
            f"the ledger has schema version {found}, this program copies version {newest}: "
            "trading-pipeline db upgrade first, or use the release that wrote it"
        )


def count_rows(connection: Connection) -> dict[str, int]:
    """Rows per table."""
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables()
    }  # fmt: skip


def count_file(file: Path) -> dict[str, int]:
    """The same of a ledger in a file of any version, which is left exactly as it is. Raises LedgerUnavailable."""
    try:
        with closing(looked_into(file)) as connection:
            connection.execute("BEGIN")
            named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            names = [name for (name,) in connection.execute(named) if name != "alembic_version"]
            counted = (f'SELECT count(*) FROM "{name}"' for name in names)  # noqa: S608  named by the file itself
            return {name: connection.execute(one).fetchone()[0] for name, one in zip(names, counted, strict=True)}
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"{file} cannot be read: {error}") from error


def revision_of(file: Path) -> str:
    """The schema version of a ledger in a file; raises DataFileError when it is no ledger."""
    try:
        with closing(looked_into(file)) as connection:
            return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    except (sqlite3.Error, TypeError) as error:
        raise DataFileError(f"{file} is no ledger: it names no schema version") from error


def tables() -> Sequence[Table]:
    """All of the ledger's, causes before what they caused."""
    return Base.metadata.sorted_tables


def copy_rows(source: Connection, target: Connection) -> dict[str, Fingerprint]:
    """Copy every row of every table, through the types of this program; what was read, by table."""
    return {table.name: _copy_table(source, target, table) for table in tables()}


def _copy_table(source: Connection, target: Connection, table: Table) -> Fingerprint:
    count, total = 0, 0
    for rows in _batches(source, table):
        target.execute(insert(table), [row._asdict() for row in rows])
        count, total = count + len(rows), total + _sum(rows)
    return count, total


def fingerprints(connection: Connection) -> dict[str, Fingerprint]:
    """What is there, by table."""
    return {table.name: _fingerprint(connection, table) for table in tables()}


def _fingerprint(connection: Connection, table: Table) -> Fingerprint:
    count, total = 0, 0
    for rows in _batches(connection, table):
        count, total = count + len(rows), total + _sum(rows)
    return count, total


def _batches(connection: Connection, table: Table) -> Iterator[Sequence[Any]]:
    key = list(table.primary_key.columns)
    found = connection.execute(select(table).order_by(*key).execution_options(yield_per=BATCH))
    yield from found.partitions(BATCH)


def _sum(rows: Iterable[Any]) -> int:
    return sum(int.from_bytes(hashlib.sha256(repr(tuple(row)).encode()).digest()[:16]) for row in rows)


def require_same(read: dict[str, Fingerprint], written: dict[str, Fingerprint]) -> None:
    """Raise DataFileError naming every table whose copy differs."""
    different = sorted(name for name in read if read[name] != written.get(name))
    if different:
        raise DataFileError(
            f"the copy differs from its source in {', '.join(different)}: it is not used. Run the command again"
        )
