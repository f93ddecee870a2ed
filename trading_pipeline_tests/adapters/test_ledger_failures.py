"""When things go wrong: nothing half written, and a message that says what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.adapters.ledger_errors import ledger_error
from trading_pipeline.domain.errors import LedgerError, LedgerUnavailable
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


@pytest.mark.parametrize("url", ["", "not a url", "mysql://localhost/ledger"])
def test_an_unknown_database_is_refused(url: str) -> None:
    with pytest.raises(LedgerError, match="sqlite"):
        SqlLedger(url)


def test_a_ledger_locked_for_longer_than_we_wait_says_what_to_do(ledger: SqlLedger, url: str) -> None:
    hasty = SqlLedger(url, lock_wait_seconds=0.05)

    with ledger.transaction():
        with pytest.raises(LedgerUnavailable, match=r"is being written by another process.*See which one works on it"):
            hasty.transaction().__enter__()
        with hasty.read() as tx:  # readers never wait for the writer
            assert tx.row_counts()["orders"] == 1
    with hasty.transaction() as tx:
        assert not tx.add_fill(samples.FILL)


def test_a_writer_waits_for_the_one_before_it(ledger: SqlLedger, url: str) -> None:
    patient = SqlLedger(url)

    with ThreadPoolExecutor(1) as pool:
        with ledger.transaction() as tx:
            waiting = pool.submit(_add_fill, patient)
            time.sleep(0.2)
            assert not waiting.done()
            tx.add_fill(replace(samples.FILL, exec_id="exec-2"))
        waiting.result(timeout=10)

    with ledger.read() as tx:
        assert [fill.exec_id for fill in tx.fills(ACCOUNT)] == ["exec-1", "exec-2", "exec-3"]


def _add_fill(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        tx.add_fill(replace(samples.FILL, exec_id="exec-3"))


def test_a_ledger_of_a_newer_release_is_refused_and_left_alone(ledger: SqlLedger, url: str) -> None:
    with ledger._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(LedgerUnavailable, match=r"schema version 9999.*newer release: install that one"):
        SqlLedger.open(url)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("53100", "the disk is full. Free some space"),
        ("53300", "accepts no more connections"),
        ("25006", "Name the primary server in storage.database_url"),
        ("28P01", "refuses this user or password"),
        ("3D000", "does not exist. Create it"),
        ("42501", "Make the user the owner"),
        ("40P01", "Run the command again"),
        ("57P01", "Start PostgreSQL again"),
        ("08006", "Start PostgreSQL again"),
    ],
)
def test_what_postgresql_refuses_is_explained(code: str, words: str) -> None:
    refused = type("OperationalError", (Exception,), {"pgcode": code})("said the server")

    error = ledger_error(refused, "postgresql://host/ledger")

    assert isinstance(error, LedgerUnavailable)
    assert words in str(error)
    assert str(error).endswith("(said the server). Nothing was half written.")


def test_the_password_is_never_shown() -> None:
    ledger = SqlLedger("postgresql://somebody:secret@127.0.0.1:1/ledger")

    with pytest.raises(LedgerUnavailable, match=r"cannot be reached\. Start PostgreSQL") as raised, ledger.read():
        pass

    assert "secret" not in str(raised.value)
    assert "somebody:***@127.0.0.1:1/ledger" in str(raised.value)
