"""The schema: built by migrations, equal to the models, on SQLite and PostgreSQL."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from trading_pipeline.adapters import migrations
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.adapters.tables import APPEND_ONLY, Base
from trading_pipeline.domain.errors import LedgerError

OPEN = "import sys; from trading_pipeline.adapters.ledger import SqlLedger; SqlLedger.open(sys.argv[1])"


def test_the_migrations_make_exactly_the_tables_of_the_models(tmp_path: Path) -> None:
    ledger = SqlLedger.open(default_url(tmp_path))

    with ledger._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_migrations_keep_the_checks_of_the_models(tmp_path: Path) -> None:
    migrated, made = SqlLedger.open(default_url(tmp_path))._engine, create_engine("sqlite://")
    Base.metadata.create_all(made)

    for table in Base.metadata.tables:
        found = [
            sorted(check["name"] or "" for check in inspect(e).get_check_constraints(table)) for e in (migrated, made)
        ]
        assert found[0] == found[1]


def test_the_newest_version_is_the_one_opening_expects() -> None:
    assert ScriptDirectory.from_config(migrations.alembic_config()).get_heads() == [migrations.NEWEST]


def test_opening_again_changes_nothing_and_does_not_load_alembic(tmp_path: Path) -> None:
    url = default_url(tmp_path / "a home")
    SqlLedger.open(url).close()
    before = (tmp_path / "a home" / "ledger.sqlite3").read_bytes()

    without_alembic = f"{OPEN}; assert 'alembic' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", without_alembic, url], timeout=60).returncode == 0
    assert (tmp_path / "a home" / "ledger.sqlite3").read_bytes() == before


def test_a_ledger_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    ledger = SqlLedger.open(default_url(tmp_path))
    with ledger._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(LedgerError, match=r"schema version 9999.*newer release: install that one"):
        SqlLedger.open(default_url(tmp_path))


def test_an_older_ledger_is_upgraded_and_keeps_its_rows(tmp_path: Path) -> None:
    ledger = SqlLedger(default_url(tmp_path))
    migrations.upgrade(ledger._engine, "0001")
    with ledger._engine.begin() as connection:
        connection.execute(
            text("INSERT INTO risk_events VALUES ('e', 'a', '2025-03-10', '2025-03-10', 'k', 's', 'm', '{}', 1)")
        )

    with SqlLedger.open(default_url(tmp_path)).read() as tx:
        assert tx.risk_event("e") is not None


def test_processes_that_open_a_new_ledger_at_once_all_succeed(tmp_path: Path) -> None:
    url = default_url(tmp_path)

    started = [subprocess.Popen([sys.executable, "-c", OPEN, url]) for _ in range(3)]

    assert [process.wait(timeout=60) for process in started] == [0] * 3


def test_e36_the_tables_compile_for_postgresql_without_dialect_words() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in Base.metadata.sorted_tables:
        ddl = str(CreateTable(table).compile(dialect=dialect))
        assert " INDEX " not in ddl
        assert "FLOAT(" not in ddl
        for column in table.columns:
            if column.name in {"price", "quantity", "limit_price"}:
                assert f"{column.name} NUMERIC(24, 8)" in ddl
            if column.name.endswith("_at") or column.name in {"as_of", "at"}:
                assert f"{column.name} TIMESTAMP WITH TIME ZONE" in ddl
        assert all(
            str(CreateIndex(index).compile(dialect=dialect)).startswith("CREATE INDEX") for index in table.indexes
        )


def test_e36_the_migrations_write_postgresql_with_triggers_on_every_append_only_table() -> None:
    script = postgresql_script()

    assert all(f"CREATE TABLE {table}" in script for table in Base.metadata.tables)
    assert script.count("CREATE FUNCTION refuse_change") == 1
    for table in APPEND_ONLY:
        assert f"BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT" in script
    assert "RAISE(ABORT" not in script


def postgresql_script() -> str:
    """All migrations as PostgreSQL text (Alembic's offline mode)."""
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written, "target_metadata": Base.metadata}
    )
    versions = reversed(list(ScriptDirectory.from_config(migrations.alembic_config()).walk_revisions()))
    with Operations.context(context):
        for version in versions:
            version.module.upgrade()
    return written.getvalue()


@pytest.mark.parametrize(
    ("table", "columns"),
    [("trades", {"entry_at"}), ("trades", {"symbol"}), ("trades", {"exit_at"}), ("fills", {"account", "session"})],
)
def test_what_is_looked_up_often_has_an_index(table: str, columns: set[str]) -> None:
    assert columns in [set(index.columns.keys()) for index in Base.metadata.tables[table].indexes]
