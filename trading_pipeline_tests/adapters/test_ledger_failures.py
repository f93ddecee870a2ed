"""When things go wrong: nothing half written, and a message that says what to do."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from trading_pipeline.adapters import ledger as ledger_module
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.errors import LedgerError
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters.ledger_samples import ACCOUNT

KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from dataclasses import replace
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline_tests.adapters import ledger_samples as samples

with SqlLedger(sys.argv[1]).transaction() as tx:
    for number in range(2000):
        tx.add_fill(replace(samples.FILL, exec_id=f"lost-{number}"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def ledger(ledger: SqlLedger) -> SqlLedger:
    """A ledger with a row in every table."""
    with ledger.transaction() as tx:
        samples.record_trade(tx)
    return ledger


def test_an_error_in_the_block_leaves_nothing_behind(ledger: SqlLedger) -> None:
    def fail_in_the_middle() -> None:
        with ledger.transaction() as tx:
            samples.record_orders(tx, "order-2")
            tx.add_fill(replace(samples.FILL, exec_id="exec-2", client_order_id="order-2"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle()

    with ledger.read() as tx:
        assert tx.row_counts()["orders"] == 1
        assert tx.row_counts()["fills"] == 1


def test_e25_a_process_killed_in_a_transaction_leaves_the_last_commit_intact(ledger: SqlLedger, url: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_THE_MIDDLE, url], timeout=60)
    assert killed.returncode == -signal.SIGKILL

    reopened = SqlLedger.open(url)
    with reopened.transaction() as tx:
        assert [fill.exec_id for fill in tx.fills(ACCOUNT)] == ["exec-1"]
        assert tx.order("order-1") == samples.ORDER
        assert tx.positions(ACCOUNT) == [samples.POSITION]
        assert tx.add_fill(replace(samples.FILL, exec_id="lost-0"))


def test_a_locked_ledger_says_so_and_works_again_afterwards(
    ledger: SqlLedger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BUSY_TIMEOUT_MS", 50)
    hasty = SqlLedger(url)

    with ledger.transaction():
        with pytest.raises(LedgerError, match=r"ledger\.sqlite3 is locked by another process\. Wait"):
            hasty.transaction().__enter__()
        with hasty.read() as tx:  # readers never wait for the writer
            assert tx.row_counts()["orders"] == 1
    with hasty.transaction() as tx:
        assert not tx.add_fill(samples.FILL)


def test_a_full_disk_is_reported_and_nothing_is_half_written(ledger: SqlLedger, url: str) -> None:
    full = SqlLedger(url)
    event.listen(full._engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1"))

    def fill_the_disk() -> None:
        with full.transaction() as tx:
            for number in range(5000):
                tx.add_fill(replace(samples.FILL, exec_id=f"exec-{number}-{'x' * 100}"))

    with pytest.raises(LedgerError, match=r"disk is full\. Free some space"):
        fill_the_disk()

    with ledger.read() as tx:
        assert tx.row_counts()["fills"] == 1


@pytest.mark.parametrize("content", [b"this is not a database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_ledger_is_named_and_kept(tmp_path: Path, url: str, content: bytes) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(content)

    with pytest.raises(LedgerError, match=r"ledger\.sqlite3 (is not a ledger|is damaged)"):
        SqlLedger.open(url)

    assert (tmp_path / "ledger.sqlite3").read_bytes() == content


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(LedgerError, match=r"folder .*file.* cannot be made"):
        SqlLedger.open(default_url(tmp_path / "file" / "home"))


def test_a_ledger_that_is_a_folder_is_named(tmp_path: Path, url: str) -> None:
    (tmp_path / "ledger.sqlite3").mkdir()

    with pytest.raises(LedgerError, match=r"ledger\.sqlite3 cannot be opened"):
        SqlLedger.open(url)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only files")
def test_a_read_only_ledger_is_named(ledger: SqlLedger, tmp_path: Path, url: str) -> None:
    ledger.close()
    (tmp_path / "ledger.sqlite3").chmod(0o444)

    with pytest.raises(LedgerError, match=r"ledger\.sqlite3 is read-only"), SqlLedger(url).transaction() as tx:
        tx.add_fill(replace(samples.FILL, exec_id="exec-2"))


@pytest.mark.parametrize("url", ["", "not a url", "mysql://localhost/ledger"])
def test_an_unknown_database_is_refused(url: str) -> None:
    with pytest.raises(LedgerError, match="sqlite"):
        SqlLedger(url)


def test_writing_is_durable_and_keys_are_enforced_on_every_connection(ledger: SqlLedger) -> None:
    with ledger._engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "recursive_triggers")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10_000,
        "recursive_triggers": 1,
    }


def test_a_transaction_without_writes_touches_no_file(ledger: SqlLedger, tmp_path: Path) -> None:
    ledger.close()
    with ledger.transaction() as tx:
        before = (tmp_path / "ledger.sqlite3-wal").stat().st_size
        tx.orders(ACCOUNT, samples.SESSION)
        assert not tx.add_fill(samples.FILL)
    assert (tmp_path / "ledger.sqlite3-wal").stat().st_size == before == 0


def test_a_replacing_insert_from_a_ledger_connection_is_refused(ledger: SqlLedger) -> None:
    with pytest.raises(LedgerError, match="never changed or deleted"), ledger._engine.begin() as connection:
        connection.exec_driver_sql("INSERT OR REPLACE INTO fills SELECT * FROM fills")


def test_the_file_is_plain_sqlite(ledger: SqlLedger, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as foreign:
        assert foreign.execute("SELECT price FROM fills").fetchall() == [(10_009_370_000,)]
        assert foreign.execute("PRAGMA integrity_check").fetchone() == ("ok",)
