"""The ledger's schema, version by version, applied through Alembic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from trading_pipeline.domain.errors import LedgerError, LedgerUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0008"  # a test holds it to the newest file in versions/, so that opening need not load Alembic


def bring_up_to_date(engine: Engine) -> None:
    """Create or upgrade the tables; costs one query when there is nothing to do."""
    with engine.connect().execution_options(ledger_reading=True) as connection:
        version = schema_version(connection)
    if version != NEWEST:
        upgrade(engine)


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Apply the missing versions in one transaction; raises LedgerError when the schema is newer than this code."""
    from alembic import command

    with engine.connect() as connection, _keys_unchecked(connection), connection.begin():
        _require_known(schema_version(connection), engine)
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        _require_kept_keys(connection)


@contextmanager
def _keys_unchecked(connection: Connection) -> Iterator[None]:
    """SQLite rebuilds a table to change it, which foreign keys on it forbid; they can only be set before BEGIN."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


def _require_kept_keys(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if lost:
            raise LedgerError(
                f"the upgrade would leave {len(lost)} rows without what caused them (first in {lost[0][0]}). Nothing "
                "was changed. Restore the newest backup; its integrity was lost before."
            )


def alembic_config() -> Config:
    """Alembic pointed at the versions inside this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def schema_version(connection: Connection) -> str | None:
    """The version the database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _require_known(version: str | None, engine: Engine) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if version is not None and version not in known:
        raise LedgerUnavailable(
            f"the ledger {engine.url.render_as_string(hide_password=True)} has schema version {version}; this program "
            f"knows versions up to {NEWEST}. It was written by a newer release: install that one. Nothing was changed."
        )
