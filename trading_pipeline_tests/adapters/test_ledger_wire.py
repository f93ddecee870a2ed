"""The short way to the driver: heard by who listens, kept between transactions, never used again when broken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import create_engine, event, make_url, text

from trading_pipeline.adapters import ledger_wire
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.adapters.ledger_statements import INSERTED_ROWS, in_parts, insert_of, prepared
from trading_pipeline.adapters.tables import AuditRow
from trading_pipeline.domain.orders import OrdStatus
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters.ledger_samples import ACCOUNT


@pytest.fixture
def ledger(ledger: SqlLedger) -> SqlLedger:
    """A ledger with a row in every table."""
    with ledger.transaction() as tx:
        samples.record_trade(tx)
    return ledger


def test_who_listens_to_the_engine_hears_every_statement(ledger: SqlLedger) -> None:
    heard: list[str] = []
    event.listen(ledger._engine, "before_cursor_execute", lambda *sent: heard.append(sent[2].split()[0]))

    with ledger.transaction() as tx:
        tx.add_fill(replace(samples.FILL, exec_id="exec-2"))

    assert heard[-2:] == ["INSERT", "INSERT"]
    assert heard[0] in {"BEGIN", "SELECT"}
    with ledger.read() as tx:
        assert len(tx.fills(ACCOUNT)) == 2


def test_an_interrupt_in_the_middle_undoes_everything_and_the_ledger_goes_on(ledger: SqlLedger) -> None:
    def interrupted() -> None:
        with ledger.transaction() as tx:
            tx.add_fill(replace(samples.FILL, exec_id="exec-2"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with ledger.transaction() as tx:
        assert [fill.exec_id for fill in tx.fills(ACCOUNT)] == ["exec-1"]
        assert tx.add_fill(replace(samples.FILL, exec_id="exec-2"))


def test_a_connection_that_was_cut_while_it_rested_is_replaced(
    ledger: SqlLedger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if make_url(url).get_backend_name() == "sqlite":
        pytest.skip("no server that could cut it")
    monkeypatch.setattr(ledger_wire, "REST_SECONDS", 0.0)
    other = create_engine(url)
    with other.begin() as connection:
        mine = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}"))  # noqa: S608
    other.dispose()

    with ledger.transaction() as tx:
        assert tx.add_fill(replace(samples.FILL, exec_id="exec-2"))


def test_an_order_saved_twice_in_a_transaction_is_compared_with_its_newest_state(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        read = tx.order("order-1")
        assert read is not None
        sent = replace(read, status=OrdStatus.NEW, venue_order_id="v-1")
        tx.save_order(sent)
        tx.save_order(replace(sent, text="word"))
        told = [entry.data["after"] for _, entry in tx.audit_entries() if entry.kind == "order_status"]

    assert told[-1:] == ["New"]
    assert told.count("New") == 1
    with ledger.read() as tx:
        assert tx.order("order-1") == replace(sent, text="word")


def test_a_missing_parameter_is_found_when_the_statement_is_made(ledger: SqlLedger) -> None:
    table = AuditRow.metadata.tables["audit_outbox"]
    insert, names = insert_of(table, ("kind", "account"), 2)

    with pytest.raises(KeyError, match="kind_1"):
        prepared(insert, ledger._engine.dialect, names[:2])


@pytest.mark.parametrize("count", [0, 1, 7, 8, 61])
def test_rows_keep_their_order_in_parts_of_known_sizes(count: int) -> None:
    parts = list(in_parts(range(count)))

    assert [row for part in parts for row in part] == list(range(count))
    assert {len(part) for part in parts} <= set(INSERTED_ROWS)
