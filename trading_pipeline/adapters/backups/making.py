"""Making a backup while everything runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from trading_pipeline.adapters.backups import copying
from trading_pipeline.adapters.backups.manifest import (
    LEDGER,
    MANIFEST,
    Backup,
    Manifest,
    folder_of,
    next_free,
    read_backup,
    sha256_of,
)
from trading_pipeline.adapters.durable import make_durable
from trading_pipeline.adapters.ledger_engine import ledger_address, ledger_engine
from trading_pipeline.adapters.ledger_errors import place_of
from trading_pipeline.adapters.migrations import NEWEST, upgrade
from trading_pipeline.domain.errors import DataFileError, InputError

BESIDE = ("alpaca-ids.sqlite3", "ib-ids.sqlite3", "ib-reports.sqlite3", "venue.sqlite3")
"""What the home keeps beside the ledger; copied after it, so that every order of the ledger is in there."""


def make_backup(home: Path, url: str, root: Path, at: datetime, code_version: str) -> Backup:
    """Copy the ledger and what is beside it, verify, and only then call it a backup. Others may write meanwhile.

    A second one of the same second counts as made in the next.
    Raises InputError when there is nothing to back up, LedgerUnavailable, DataFileError when a copy is not sound.
    """
    at = next_free(root, at)
    folder = folder_of(root, at)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        _fill(part, home, url, at, code_version)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part)
        raise
    make_durable(root)
    return read_backup(folder)


def _fill(part: Path, home: Path, url: str, at: datetime, code_version: str) -> None:
    """All of a backup, on the disk."""
    counts = _copy_ledger(url, part / LEDGER)
    names = [LEDGER, *_copy_beside(home, part)]
    manifest = Manifest(
        made_at=at, source=place_of(ledger_address(url)), revision=copying.revision_of(part / LEDGER),
        code_version=code_version, counts=counts,
        files={name: sha256_of(part / name) for name in names},
    )  # fmt: skip
    (part / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    for path in [*part.iterdir(), part]:
        make_durable(path)


def _copy_ledger(url: str, target: Path) -> dict[str, int]:
    """Returns rows per table."""
    address = ledger_address(url)
    if address.get_backend_name() == "sqlite":
        return _copy_file(Path(str(address.database)), target)
    return _copy_database(url, target)


def _copy_file(source: Path, target: Path) -> dict[str, int]:
    if not source.exists():
        raise InputError(f"there is no ledger at {source} yet: nothing to back up")
    before = copying.count_file(source)
    copying.copy_pages(source, target)
    after = copying.count_file(source)
    copying.require_sound(target)
    found = copying.count_file(target)
    wrong = [name for name, count in found.items() if not _between(before.get(name, 0), count, after.get(name, 0))]
    if wrong:
        raise DataFileError(f"the copy of {source} has other row counts in {', '.join(wrong)}: run the command again")
    return found


def _between(one: int, count: int, other: int) -> bool:
    return min(one, other) <= count <= max(one, other)


def _copy_database(url: str, target: Path) -> dict[str, int]:
    """One snapshot of all tables, row by row; read again from the copy and compared."""
    with reading(url) as source:
        copying.require_newest(source, NEWEST)
        with opened(_url_of(target)) as engine:
            upgrade(engine)
            with engine.begin() as copy:
                read = copying.copy_rows(source, copy)
            with engine.connect().execution_options(ledger_reading=True) as copy:
                copying.require_same(read, copying.fingerprints(copy))
                counts = copying.count_rows(copy)
            _leave_one_file(engine)
    copying.require_sound(target)
    return counts


def _leave_one_file(engine: Engine) -> None:
    with engine.connect().execution_options(ledger_reading=True) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        connection.rollback()
        driver.execute("PRAGMA journal_mode=DELETE")


def _copy_beside(home: Path, folder: Path) -> list[str]:
    names = [name for name in BESIDE if (home / name).exists()]
    for name in names:
        copying.copy_pages(home / name, folder / name)
        copying.require_sound(folder / name)
    return names


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """An engine for the block."""
    engine = ledger_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """One consistent state, read only."""
    with opened(url) as engine, engine.connect() as connection:
        options: dict[str, Any] = {"ledger_reading": True}
        if engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        yield connection.execution_options(**options)


def _url_of(file: Path) -> str:
    return f"sqlite:///{file}"
