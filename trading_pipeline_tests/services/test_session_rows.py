"""Rows for people: an average price is told in the digits a person reads."""

from __future__ import annotations

import pytest

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.services.session_rows import session_rows
from trading_pipeline_tests.builders import an_order


@pytest.mark.parametrize(
    ("average", "told"), [("24.51886351351351351351351351", "24.518864"), ("35.14", "35.14"), ("9.995", "9.995")]
)
def test_an_average_price_is_told_in_six_digits_at_most(ledger: SqlLedger, average: str, told: str) -> None:
    order = an_order(intent_id=None, avg_px=average)
    with ledger.transaction() as tx:
        tx.add_order(order)

    with ledger.read() as tx:
        (row,) = session_rows(tx, order.account, order.session, "orders")

    assert row["avg_px"] == told
