"""The short way to the driver: heard by who listens, kept between transactions, never used again when broken."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, make_url, text

from trading_pipeline.adapters import ledger_wire
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.adapters.ledger_statements import (
    NAMED_IDENTITIES,
    arranged,
    in_lists,
    insert_of,
    prepared,
    written_out,
)
from trading_pipeline.adapters.tables import AuditRow
from trading_pipeline.adapters.tables.stored_forms import REMEMBERED, STEPS_PER_UNIT
from trading_pipeline.adapters.tables.types import Derived, Exact, document_text
from trading_pipeline.domain.control import AuditEntry
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
    insert = insert_of(table, ("kind", "account"))

    with pytest.raises(KeyError, match="account"):
        prepared(insert, ledger._engine.dialect, ("kind",))


@pytest.mark.parametrize("count", [1, 2, 100, 101, 250])
def test_rows_inserted_together_keep_their_order(ledger: SqlLedger, count: int) -> None:
    subjects = [f"subject {number}" for number in range(count)]
    with ledger.transaction() as tx:
        for subject in subjects:
            tx.add_audit(
                AuditEntry(occurred_at=samples.NOW, kind="test", account=ACCOUNT, subject=subject, actor="me", data={})
            )
        told = [entry for _, entry in tx.audit_entries() if entry.kind == "test"]

    assert [entry.subject for entry in told] == subjects


@pytest.mark.parametrize("count", [0, 1, 2, 10, 11, 100, 101, 250])
def test_names_come_in_lists_of_known_sizes_and_none_is_lost(count: int) -> None:
    lists = list(in_lists([str(number) for number in range(count)]))

    assert list(dict.fromkeys(name for one in lists for name in one)) == [str(number) for number in range(count)]
    assert {len(one) for one in lists} <= set(NAMED_IDENTITIES)


@pytest.mark.parametrize("number", [Exact(), Derived()])
def test_a_float_is_refused_even_where_its_decimal_was_just_stored(ledger: SqlLedger, number: Exact | Derived) -> None:
    store = number.bind_processor(ledger._engine.dialect)
    store(Decimal(100))

    with pytest.raises(AttributeError):
        store(100.0)


def test_records_are_found_by_whatever_was_asked_for(ledger: SqlLedger) -> None:
    other = replace(samples.FILL, exec_id="exec-2", symbol="OTHER", session=samples.SESSION + timedelta(days=1))
    with ledger.transaction() as tx:
        tx.add_fill(other)

    with ledger.read() as tx:
        found = [
            [fill.exec_id for fill in tx.fills(ACCOUNT, session=session, symbol=symbol)]
            for session in (None, other.session)
            for symbol in (None, "OTHER", samples.FILL.symbol)
        ]
    assert found == [["exec-1", "exec-2"], ["exec-2"], ["exec-1"], ["exec-2"], ["exec-2"], []]


@given(st.dictionaries(st.text(), st.text() | st.none() | st.booleans() | st.integers()))
def test_a_document_is_the_text_that_json_writes_whether_it_holds_only_texts_or_not(document: dict[str, Any]) -> None:
    assert document_text(document) == json.dumps(document, ensure_ascii=False)


def test_each_value_goes_through_the_conversion_of_its_own_place_in_the_order_asked_for() -> None:
    assert arranged([None, str, len], order=[2, 0, 1, 0])(("a", 1, "three")) == (5, "a", "1", "a")
    assert arranged([])(()) == ()


def test_what_is_taken_twice_through_one_conversion_is_converted_once() -> None:
    converted: list[int] = []

    def twice(number: int) -> int:
        converted.append(number)
        return 2 * number

    row = written_out([("given.real", twice), ("given.imag", None), ("given.real", twice), ("given.real", str)])

    assert row(3) == (6, 0, 6, "3")
    assert converted == [3]


def test_more_numbers_than_are_remembered_are_stored_like_the_first() -> None:
    store = Exact().bind_processor(create_engine("sqlite://").dialect)

    for _ in range(2):
        steps = [store(Decimal(number)) for number in range(REMEMBERED + 2)]
        assert steps == [number * STEPS_PER_UNIT for number in range(REMEMBERED + 2)]
