"""The schema: built by migrations, equal to the models, on SQLite and PostgreSQL."""

from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, Inspector, create_engine, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters import migrations
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.adapters.tables import APPEND_ONLY, Base
from trading_pipeline.domain.errors import LedgerConflict, LedgerError
from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.postgres import postgres

OPEN = "import sys; from trading_pipeline.adapters.ledger import SqlLedger; SqlLedger.open(sys.argv[1])"


Seen = list[tuple[object, ...]]


def shape(engine: Engine) -> dict[str, dict[str, Seen]]:
    """Tables, columns, keys, checks and indexes of a database, each in an order of its own."""
    seen = inspect(engine)
    return {table: _table_shape(seen, table) for table in Base.metadata.tables}


def _table_shape(seen: Inspector, table: str) -> dict[str, Seen]:
    def sort(rows: Iterable[tuple[object, ...]]) -> Seen:
        return sorted(rows, key=repr)

    return {
        "columns": sort((c["name"], str(c["type"]), c["nullable"]) for c in seen.get_columns(table)),
        "primary key": [(*seen.get_pk_constraint(table)["constrained_columns"],)],
        "foreign keys": sort(
            (k["name"], *k["constrained_columns"], k["referred_table"], *k["referred_columns"])
            for k in seen.get_foreign_keys(table)
        ),
        "unique": sort((u["name"], *u["column_names"]) for u in seen.get_unique_constraints(table)),
        "checks": sort((c["name"],) for c in seen.get_check_constraints(table)),
        "indexes": sort(
            (i["name"], i["unique"], *i["column_names"], str(i["dialect_options"].get(f"{seen.dialect.name}_where")))
            for i in seen.get_indexes(table)
        ),
    }  # fmt: skip


def triggers(engine: Engine) -> set[str]:
    """Names of all triggers."""
    query = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }[engine.dialect.name]
    with engine.connect() as connection:
        return set(connection.execute(text(query)).scalars())


def released(url: str, revision: str) -> None:
    """A ledger as a released version left it, with a row of each kind it knew."""
    engine = SqlLedger(url)._engine
    migrations.upgrade(engine, revision)
    with engine.begin() as connection:
        for kind, record, further in OLD_ROWS:
            known = {column["name"] for column in inspect(connection).get_columns(kind.table.name)}
            values = {**kind.values(record), **further}
            connection.execute(kind.table.insert(), {name: values[name] for name in values if name in known})
    engine.dispose()


ASKED = {"asked_quantity": samples.ORDER.quantity, "asked_limit_price": samples.ORDER.limit_price}
STOP = replace(samples.ORDER, client_order_id="stop-1", leg=Leg.STOP, parent_id="order-1")
CLOSED = replace(samples.ORDER, client_order_id="closed-1", status=OrdStatus.CANCELED)
OLD_ROWS: tuple[tuple[kinds.Kind[Any], Any, dict[str, Any]], ...] = (
    (kinds.SNAPSHOTS, samples.SNAPSHOT, {}),
    (kinds.SETUPS, samples.SETUP, {}),
    (kinds.REGIMES, samples.REGIME, {}),
    (kinds.PLANS, samples.PLAN, {}),
    (kinds.DECISIONS, samples.DECISION, {}),
    (kinds.INTENTS, samples.INTENT, {}),
    (kinds.ORDERS, samples.ORDER, ASKED),
    (kinds.ORDERS, STOP, ASKED),
    (kinds.ORDERS, CLOSED, ASKED),
    (kinds.REPORTS, samples.REPORT, {"broker": "simulated"}),
    (kinds.FILLS, samples.FILL, {}),
    (kinds.POSITIONS, samples.POSITION, {}),
    (kinds.TRADES, samples.TRADE, {}),
    (kinds.EQUITY, samples.EQUITY, {}),
    (kinds.DAILY, samples.DAILY, {}),
    (kinds.RISK_EVENTS, samples.RISK_EVENT, {}),
    (kinds.SESSIONS, samples.SESSION_RECORD, {}),
)


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_every_released_ledger_is_brought_up_to_date_with_its_rows(bare_url: str, revision: str) -> None:
    released(bare_url, revision)

    ledger = SqlLedger.open(bare_url)

    with ledger.transaction() as tx:
        assert tx.order("order-1") == samples.ORDER
        assert tx.order("stop-1") == STOP
        assert tx.trades(samples.ACCOUNT) == [samples.TRADE]
        assert tx.positions(samples.ACCOUNT) == [samples.POSITION]
        assert tx.snapshots(samples.SESSION) == [samples.SNAPSHOT]
        with pytest.raises(LedgerConflict, match="already working"):
            tx.add_order(replace(samples.ORDER, client_order_id="entry-2"))
    with ledger.transaction() as tx:
        samples.record_trade(tx)  # the same rows again: recorded once
        tx.save_order(replace(samples.ORDER, status=OrdStatus.CANCELED))
        assert tx.add_order(replace(samples.ORDER, client_order_id="entry-2", intent_id=None))
        counts = tx.row_counts()
    assert counts["orders"] == len([kind for kind, *_ in OLD_ROWS if kind is kinds.ORDERS]) + 1
    assert counts["trades"] == counts["fills"] == counts["setups"] == 1
    ledger.close()


@pytest.mark.parametrize("revision", ["0001", "0002", None])
def test_every_way_up_ends_in_the_tables_of_the_models(bare_url: str, revision: str | None, tmp_path: Path) -> None:
    if revision is not None:
        released(bare_url, revision)

    engine = SqlLedger.open(bare_url)._engine

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    made = made_from_models(bare_url, tmp_path)
    assert shape(engine) == shape(made)
    per_table = ("refuses_change",) if engine.dialect.name == "postgresql" else ("refuses_update", "refuses_delete")
    assert triggers(engine) == {f"{table}_{name}" for table in APPEND_ONLY for name in per_table}
    made.dispose()
    engine.dispose()


def made_from_models(url: str, folder: Path) -> Engine:
    """The same tables, made by SQLAlchemy without any migration."""
    other = f"sqlite:///{folder / 'models.sqlite3'}" if url.startswith("sqlite") else postgres().database()
    engine = create_engine(other)
    Base.metadata.create_all(engine)
    return engine


def test_a_ledger_whose_rows_have_lost_their_cause_is_not_upgraded(tmp_path: Path) -> None:
    url = default_url(tmp_path)
    released(url, "0001")
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as foreign:  # as by a tool that enforces no keys
        foreign.execute("DELETE FROM fills")
        foreign.execute("DELETE FROM trade_plans")
        foreign.commit()

    with pytest.raises(LedgerError, match=r"would leave 2 rows without what caused them.*Restore the newest backup"):
        SqlLedger.open(url)

    with SqlLedger(url)._engine.connect() as connection:
        assert migrations.schema_version(connection) == "0001"


def test_the_newest_version_is_the_one_opening_expects() -> None:
    assert ScriptDirectory.from_config(migrations.alembic_config()).get_heads() == [migrations.NEWEST]


def test_opening_again_changes_nothing_and_does_not_load_alembic(tmp_path: Path) -> None:
    url = default_url(tmp_path / "a home")
    SqlLedger.open(url).close()
    before = (tmp_path / "a home" / "ledger.sqlite3").read_bytes()

    without_alembic = f"{OPEN}; assert 'alembic' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", without_alembic, url], timeout=60).returncode == 0
    assert (tmp_path / "a home" / "ledger.sqlite3").read_bytes() == before


def test_processes_that_open_a_new_ledger_at_once_all_succeed(bare_url: str) -> None:
    started = [subprocess.Popen([sys.executable, "-c", OPEN, bare_url]) for _ in range(3)]

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
            str(CreateIndex(index).compile(dialect=dialect)).startswith(("CREATE INDEX", "CREATE UNIQUE INDEX uq_"))
            for index in table.indexes
        )


def test_e36_the_same_ddl_runs_on_both_databases(bare_url: str) -> None:
    ledger = SqlLedger.open(bare_url)

    with ledger.transaction() as tx:
        samples.record_trade(tx)
        assert min(tx.row_counts().values()) == 1
    ledger.close()


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
