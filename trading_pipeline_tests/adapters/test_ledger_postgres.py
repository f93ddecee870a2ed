"""What may happen to a PostgreSQL server: stopped, restarted, unreachable, and a client that stands still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.errors import LedgerUnavailable
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters.ledger_samples import ACCOUNT
from trading_pipeline_tests.postgres import OwnServer, postgres


@pytest.fixture
def url(empty_database: str) -> Iterator[str]:
    made = postgres().database(empty_database)
    yield made
    postgres().drop(made)


@pytest.mark.parametrize("url", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_the_usual_ways_to_name_a_database_all_work(url: str) -> None:
    engine = SqlLedger(f"{url}://host/ledger")._engine

    assert engine.url.drivername == "postgresql+psycopg2"


def test_a_server_that_stops_in_the_middle_loses_nothing_recorded_and_works_again() -> None:
    server = OwnServer()
    url = server.database()
    ledger = SqlLedger.open(url)
    with ledger.transaction() as tx:
        samples.record_trade(tx)

    def write_while_it_stops() -> None:
        with ledger.transaction() as tx:
            tx.add_fill(replace(samples.FILL, exec_id="exec-2"))
            server.stop()
            tx.add_fill(replace(samples.FILL, exec_id="exec-3"))

    with pytest.raises(LedgerUnavailable, match=r"Start PostgreSQL again, then run the command again"):
        write_while_it_stops()
    for block in (ledger.transaction, ledger.read):
        with pytest.raises(LedgerUnavailable, match=r"cannot be reached\. Start PostgreSQL"), block():
            pass

    server.start()
    with ledger.transaction() as tx:
        assert [fill.exec_id for fill in tx.fills(ACCOUNT)] == ["exec-1"]
        assert tx.add_fill(replace(samples.FILL, exec_id="exec-2"))
    ledger.close()
    server.stop()


def test_a_writer_that_stands_still_loses_its_transaction_and_the_next_one_goes_on(url: str) -> None:
    stopped, other = SqlLedger(url, lock_wait_seconds=0.2), SqlLedger(url)
    with other.transaction() as tx:
        samples.record_trade(tx)

    def stand_still() -> None:
        with stopped.transaction() as tx:
            tx.add_fill(replace(samples.FILL, exec_id="exec-2"))
            time.sleep(0.6)
            tx.add_fill(replace(samples.FILL, exec_id="exec-3"))

    with pytest.raises(LedgerUnavailable, match=r"stood still for too long|lost its connection"):
        stand_still()
    with other.transaction() as tx:
        assert [fill.exec_id for fill in tx.fills(ACCOUNT)] == ["exec-1"]


def test_a_reader_sees_one_state_however_long_it_reads(url: str) -> None:
    ledger = SqlLedger(url)
    with ledger.transaction() as tx:
        samples.record_trade(tx)

    with ledger.read() as reading:
        before = reading.row_counts()
        with ledger.transaction() as tx:
            tx.add_fill(replace(samples.FILL, exec_id="exec-2"))
        assert reading.row_counts() == before
    ledger.close()


def test_an_unknown_database_is_named(url: str) -> None:
    missing = SqlLedger(url.replace("/test_", "/no_such_"))

    with pytest.raises(LedgerUnavailable, match=r"does not exist|cannot be reached"), missing.read():
        pass
