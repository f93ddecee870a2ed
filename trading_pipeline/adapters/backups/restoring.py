"""Putting a ledger of a backup in the place of the present one, which is kept aside; all of it or nothing.

Whoever leads must have been stopped before. What must never go back is raised afterwards: fencing tokens, order ids.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select, text, update

from trading_pipeline.adapters.backups import copying
from trading_pipeline.adapters.backups.making import opened
from trading_pipeline.adapters.backups.manifest import NAME, Backup
from trading_pipeline.adapters.durable import make_durable
from trading_pipeline.adapters.ledger_engine import ledger_address
from trading_pipeline.adapters.migrations import NEWEST, alembic_config, bring_up_to_date
from trading_pipeline.adapters.tables import Base
from trading_pipeline.domain.errors import DataFileError, InputError, LeaseHeld, LedgerError

TOKEN_MARGIN = 1_000
"""Takings of the lease that may have happened after the backup was made."""
LEASES = Base.metadata.tables["leases"]


def require_known(backup: Backup) -> None:
    """Raise InputError for a backup of a newer release, DataFileError for one that is not as it was written."""
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if backup.manifest.revision not in known:
        raise InputError(
            f"the backup {backup.folder} has schema version {backup.manifest.revision}; this program knows versions up "
            f"to {NEWEST}. It was made by a newer release: install that one. Nothing was restored"
        )
    backup.require_whole()


def restore_ledger(backup: Backup, url: str, at: datetime) -> str:
    """Put the backup's ledger in the place of the one at `url`; returns where the one before is kept, or what is left
    of it; empty where there was nothing.

    Raises LedgerError when the database cannot be written, LeaseHeld when a leader has come up meanwhile,
    DataFileError when the copy is not sound; nothing has changed then.
    """
    address = ledger_address(url)
    if address.get_backend_name() == "sqlite":
        return _swap_file(backup, Path(str(address.database)), at)
    return _swap_tables(backup, url, at)


def _swap_file(backup: Backup, ledger: Path, at: datetime) -> str:
    """At no instant is there no ledger, or a new one beside an old log."""
    coming, aside = ledger.with_name(f"{ledger.name}.restoring"), ledger.with_name(f"{ledger.name}.{at:{NAME}}.before")
    ledger.parent.mkdir(parents=True, exist_ok=True)
    coming.unlink(missing_ok=True)
    copying.copy_pages(backup.ledger, coming)
    copying.require_sound(coming)
    make_durable(coming)
    if ledger.exists():
        _fold_in_log(ledger)
    logs = [*_set_aside(ledger, aside)]  # of a file that is damaged or gone: they belong to it
    if not ledger.exists():
        coming.replace(ledger)
        make_durable(ledger.parent)
        return logs[0] if logs else ""
    os.link(ledger, aside)
    coming.replace(ledger)
    make_durable(ledger.parent)
    return str(aside)


def _set_aside(ledger: Path, aside: Path) -> Iterator[str]:
    for suffix in ("-wal", "-shm"):
        log, kept = ledger.with_name(f"{ledger.name}{suffix}"), aside.with_name(f"{aside.name}{suffix}")
        if log.exists():
            log.replace(kept)
            yield str(kept)


def _fold_in_log(ledger: Path) -> None:
    with suppress(sqlite3.Error), closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _swap_tables(backup: Backup, url: str, at: datetime) -> str:
    """In one transaction: new tables in a schema of their own, filled, read again, and then the schemas change."""
    aside, coming = f"ledger_before_{at:{NAME}}".lower(), f"ledger_restoring_{os.getpid()}"
    with _as_of_now(backup) as source, opened(url) as engine, engine.begin() as target:
        target.execute(text("SELECT set_config('idle_in_transaction_session_timeout', '0', true)"))
        _require_no_leader(target, at)  # writers wait for this transaction: who does not lead now cannot before its end
        home = str(target.execute(text("SELECT current_schema()")).scalar_one())
        present = _present(target, home)
        _fill(source, target, coming)
        target.execute(text(f'CREATE SCHEMA "{aside}"'))
        _move(target, home, aside, present)
        _move(target, coming, home, _present(target, coming))
        target.execute(text(f'DROP SCHEMA "{coming}"'))
    return f"schema {aside}" if present[0] else ""


@contextmanager
def _as_of_now(backup: Backup) -> Iterator[Connection]:
    """The backup's ledger with the tables of this program; the backup itself stays as it is."""
    with tempfile.TemporaryDirectory(prefix="trading-pipeline-") as folder:
        file = Path(folder) / backup.ledger.name
        copying.copy_pages(backup.ledger, file)
        with opened(f"sqlite:///{file}") as engine:
            bring_up_to_date(engine)
            with engine.connect().execution_options(ledger_reading=True) as connection:
                yield connection


def _require_no_leader(target: Connection, at: datetime) -> None:
    if not inspect(target).has_table(LEASES.name):
        return
    held = target.execute(select(LEASES.c.holder, LEASES.c.expires_at).where(LEASES.c.expires_at > at)).first()
    if held is not None:
        raise LeaseHeld(f"{held.holder} leads until {held.expires_at:%H:%M:%S} UTC: stop it, then restore again")


def _present(target: Connection, schema: str) -> tuple[list[str], list[str]]:
    """Tables and functions of ours in a schema."""
    ours = {*Base.metadata.tables, "alembic_version"}
    found = [name for name in inspect(target).get_table_names(schema=schema) if name in ours]
    functions = target.execute(
        text("SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace(:schema) AND proname = 'refuse_change'"),
        {"schema": f'"{schema}"'},
    )
    return found, list(functions.scalars()) if found else []


def _fill(source: Connection, target: Connection, coming: str) -> None:
    from alembic import command

    target.execute(text(f'CREATE SCHEMA "{coming}"'))
    path = str(target.execute(text("SELECT current_setting('search_path')")).scalar_one())
    target.execute(text(f'SET LOCAL search_path TO "{coming}"'))
    config = alembic_config()
    config.attributes["connection"] = target
    command.upgrade(config, "head")
    copying.require_same(copying.copy_rows(source, target), copying.fingerprints(target))
    for table in copying.tables():
        if "record_no" in table.c:
            newest = target.execute(select(func.max(table.c.record_no))).scalar()
            target.execute(
                text("SELECT setval(pg_get_serial_sequence(:name, 'record_no'), :newest, :is_used)"),
                {"name": f'"{coming}"."{table.name}"', "newest": newest or 1, "is_used": newest is not None},
            )
    target.execute(text("SELECT set_config('search_path', :path, true)"), {"path": path})


def _move(target: Connection, source: str, goal: str, present: tuple[list[str], list[str]]) -> None:
    for table in present[0]:
        target.execute(text(f'ALTER TABLE "{source}"."{table}" SET SCHEMA "{goal}"'))
    for function in present[1]:
        target.execute(text(f'ALTER FUNCTION "{source}"."{function}" SET SCHEMA "{goal}"'))


def is_there(url: str) -> bool:
    """False for a file that does not exist: looking into it would make one."""
    address = ledger_address(url)
    return address.get_backend_name() != "sqlite" or Path(str(address.database)).exists()


def newest_token(url: str) -> int:
    """The highest fencing token of the present ledger; 0 when nobody can tell."""
    if not is_there(url):
        return 0
    try:
        with opened(url) as engine, engine.connect().execution_options(ledger_reading=True) as connection:
            return connection.execute(select(func.max(LEASES.c.token))).scalar() or 0
    except LedgerError:
        return 0


def raise_tokens(url: str, known: int, at: datetime) -> None:
    """Every lease is over, and whoever takes it next has a token above all that were ever given out."""
    with opened(url) as engine, engine.begin() as connection:
        highest = max(known, connection.execute(select(func.max(LEASES.c.token))).scalar() or 0)
        connection.execute(update(LEASES).values(token=highest + TOKEN_MARGIN, expires_at=at))


def restore_ids(backup: Backup, home: Path, name: str, at: datetime, margin: int) -> str:
    """What a broker's adapter keeps of its orders. A file that is there and sound stays: it knows all that the backup
    knows, and more. Else the backup's comes, but as one that knows nothing of orders sent after it: its floor of order
    ids is raised by `margin`, and it no longer says since when it is complete. Returns what was done, in words.
    """
    present = home / name
    if copying.is_sound(present):
        return f"{name}: stays as it is"
    if name not in backup.manifest.files:
        return f"{name}: not in the backup; open orders are looked up at the broker"
    if present.exists():
        present.replace(present.with_name(f"{name}.{at:{NAME}}.before"))
    for suffix in ("-wal", "-shm"):
        present.with_name(f"{name}{suffix}").unlink(missing_ok=True)
    copying.copy_pages(backup.folder / name, present)
    _forget_what_came_later(present, margin)
    return f"{name}: from the backup; open orders are looked up at the broker"


def _forget_what_came_later(file: Path, margin: int) -> None:
    try:
        with closing(sqlite3.connect(file)) as connection, connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone():
                connection.execute("DELETE FROM facts WHERE name = 'kept_since'")
                connection.execute("UPDATE facts SET value = value + ? WHERE name = 'floor'", (margin,))
    except sqlite3.Error as error:
        raise DataFileError(f"{file} was restored but cannot be changed: {error}. Move it away") from error


def restore_venue(backup: Backup, home: Path, name: str, at: datetime) -> str:
    """The simulated venue's account goes back with the ledger: it is nobody else's."""
    if name not in backup.manifest.files:
        return f"{name}: not in the backup"
    present = home / name
    return f"{name}: from the backup; the one before: {_swap_in(backup.folder / name, present, at)}"


def _swap_in(source: Path, present: Path, at: datetime) -> str:
    coming = present.with_name(f"{present.name}.restoring")
    coming.unlink(missing_ok=True)
    copying.copy_pages(source, coming)
    aside = "none"
    if present.exists():
        _fold_in_log(present)
        kept = present.with_name(f"{present.name}.{at:{NAME}}.before")
        os.link(present, kept)
        aside = kept.name
    for suffix in ("-wal", "-shm"):
        present.with_name(f"{present.name}{suffix}").unlink(missing_ok=True)
    coming.replace(present)
    return aside
