"""What the audit outbox keeps of a record: written straight as JSON, it says what the record's entry says."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.adapters.ledger_audit import TOLD, StatusChange
from trading_pipeline.adapters.ledger_outbox import ENTRY_OF, entry_of
from trading_pipeline.domain.orders import Order, OrdStatus
from trading_pipeline_tests.adapters import ledger_samples as samples

MOVED = replace(samples.ORDER, status=OrdStatus.NEW, venue_order_id="v-1", text='a "word"')
RECORDS = (
    samples.INTENT, samples.ORDER, StatusChange(OrdStatus.PENDING_NEW, MOVED), samples.FILL, samples.CASH,
    samples.SPLIT, samples.BLOCK,
)  # fmt: skip
TOLD_OF = {told.record: told for told in TOLD}
HOSTILE = st.text() | st.sampled_from(['"', "'''", "{symbol}", "\\", "\n", "}}", "\u2028", ""])
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9)


def test_all_that_is_told_by_its_fields_has_a_sample() -> None:
    assert {type(record) for record in RECORDS} == set(TOLD_OF)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_the_text_is_what_json_writes_of_the_entry(record: object) -> None:
    assert TOLD_OF[type(record)].document(record) == json.dumps(entry_of(record).data, ensure_ascii=False)


@given(HOSTILE, HOSTILE, HOSTILE | st.none(), NUMBERS, NUMBERS | st.none())
def test_no_text_and_no_number_can_break_out_of_its_place(
    symbol: str, word: str, parent: str | None, quantity: Decimal, price: Decimal | None
) -> None:
    order = replace(MOVED, symbol=symbol, text=word, quantity=quantity, limit_price=price, parent_id=parent)

    for record in (order, StatusChange(OrdStatus.PENDING_NEW, order)):
        assert json.loads(TOLD_OF[type(record)].document(record)) == entry_of(record).data


def test_a_recorded_order_is_told_as_its_entry_says(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_trade(tx)
        read = tx.order(samples.ORDER.client_order_id)
        assert read is not None
        changed = replace(read, status=OrdStatus.CANCELED)
        tx.save_order(changed)

    with ledger.read() as tx:
        told = [entry for _, entry in tx.audit_entries()]
    assert entry_of(samples.ORDER) in told
    assert entry_of(samples.INTENT) in told
    assert entry_of(samples.FILL) in told
    assert told[-1] == entry_of(StatusChange(read.status, changed))
    assert (told[-1].kind, told[-1].subject) == ("order_status", samples.ORDER.client_order_id)
    assert told[-1].data == {
        "symbol": "AAPL", "before": read.status.value, "after": "Canceled", "quantity": "100",
        "cum_qty": str(read.cum_qty), "avg_px": str(read.avg_px), "text": read.text,
        **({"venue_order_id": read.venue_order_id} if read.venue_order_id else {}),
    }  # fmt: skip


def test_every_entry_has_one_way_to_be_told() -> None:
    assert set(TOLD_OF) < set(ENTRY_OF)
    assert len(TOLD_OF) == len(TOLD)
    assert Order in TOLD_OF
