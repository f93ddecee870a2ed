"""What may happen to a SQLite file: full, locked, read-only, damaged, gone."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest
from sqlalchemy import event

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.adapters.ledger_engine import LOOK_HOLDS_SECONDS
from trading_pipeline.domain.errors import LedgerError, LedgerUnavailable
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters.ledger_samples import ACCOUNT


@pytest.fixture
def url(tmp_path: Path) -> str:
    return default_url(tmp_path)


@pytest.fixture
def ledger(url: str) -> SqlLedger:
    """A ledger with a row in every table."""
    ledger = SqlLedger.open(url)
    with ledger.transaction() as tx:
        samples.record_trade(tx)
    return ledger


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


@pytest.mark.parametrize("fate", ["deleted", "moved", "replaced", "folder removed"])
def test_a_file_that_goes_away_is_noticed_before_anything_is_written(tmp_path: Path, fate: str) -> None:
    home = tmp_path / "home"
    ledger = SqlLedger.open(default_url(home))
    with ledger.transaction() as tx:
        samples.record_trade(tx)
    file = home / "ledger.sqlite3"
    if fate == "folder removed":
        shutil.rmtree(home)
    elif fate == "deleted":
        file.unlink()
    else:
        file.rename(home / "elsewhere")
    if fate == "replaced":
        file.write_bytes(b"")
    sleep(2 * LOOK_HOLDS_SECONDS)

    for block in (ledger.transaction, ledger.read):
        with pytest.raises(LedgerUnavailable, match=r"is gone: .*Stop every process.*put the file"), block():
            pass
    assert not file.exists() or file.read_bytes() == b""


def test_a_transaction_that_the_database_ended_by_itself_is_never_taken_for_committed(ledger: SqlLedger) -> None:
    def write() -> None:
        with ledger.transaction() as tx:
            tx.add_audit(samples.AUDIT)
            tx.flush()
            tx._wire._raw.rollback()  # as SQLite does on some errors of the disk

    with pytest.raises(LedgerError):
        write()

    with ledger.read() as tx:
        assert samples.AUDIT not in [entry for _, entry in tx.audit_entries(limit=1_000)]


def test_a_write_ahead_log_that_cannot_grow_is_reported_and_nothing_is_half_written(url: str) -> None:
    ledger = SqlLedger.open(url)
    with ledger.transaction() as tx:
        samples.record_trade(tx)
    pid = os.fork()  # the limit holds for a whole process, and raising it again needs privileges
    if pid == 0:
        os._exit(_fails_on_a_full_disk(url))

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with ledger.transaction() as tx:
        assert [fill.exec_id for fill in tx.fills(ACCOUNT)] == ["exec-1"]
        assert tx.add_fill(replace(samples.FILL, exec_id="exec-2"))


def _fails_on_a_full_disk(url: str) -> int:
    """0 when writing more than a file may hold raises LedgerUnavailable."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
    try:
        with SqlLedger(url).transaction() as tx:
            for number in range(5000):
                tx.add_fill(replace(samples.FILL, exec_id=f"exec-{number}-{'x' * 100}"))
    except LedgerUnavailable:
        return 0
    except BaseException:  # noqa: BLE001  a child never returns into the test
        return 2
    return 1


def test_a_ledger_that_is_gone_is_not_begun_anew_beside_its_log(tmp_path: Path, ledger: SqlLedger, url: str) -> None:
    file, log, aside = (tmp_path / name for name in ("ledger.sqlite3", "ledger.sqlite3-wal", "aside"))
    file.rename(aside)
    before = log.read_bytes()

    with pytest.raises(LedgerUnavailable, match=r"is gone, and ledger\.sqlite3-wal with its newest changes is there"):
        SqlLedger.open(url)

    assert (file.exists(), log.read_bytes()) == (False, before)
    aside.rename(file)
    with SqlLedger.open(url).read() as tx, ledger.read() as known:
        assert tx.row_counts() == known.row_counts()
        assert tx.row_counts()["fills"] == 1
