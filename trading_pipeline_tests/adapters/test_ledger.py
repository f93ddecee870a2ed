"""The laws of the record: written once, never changed, claimed by one, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.adapters.tables import APPEND_ONLY, Base
from trading_pipeline.domain.errors import LedgerConflict, LedgerError
from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.domain.risk import Code, Finding, Verdict
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters.ledger_samples import ACCOUNT, NOW, SESSION

Write = Callable[[LedgerTransaction, Any], object]

ADDED: dict[str, tuple[Any, Write, dict[str, Any], str]] = {
    "scan_snapshots": (samples.SNAPSHOT, lambda tx, r: tx.add_snapshot(r, [samples.SETUP]), {"scored": 2}, "scan-1"),
    "setups": (samples.SETUP, lambda tx, r: tx.add_snapshot(samples.SNAPSHOT, [r]), {"score": 10.0}, "setup-1"),
    "regime_snapshots": (samples.REGIME, lambda tx, r: tx.add_regime(r), {"parts": {}}, "regime-1"),
    "trade_plans": (samples.PLAN, lambda tx, r: tx.add_plan(r), {"entry": Decimal(99)}, "plan-1"),
    "risk_decisions": (samples.DECISION, lambda tx, r: tx.add_decision(r), {"findings": ()}, "decision-1"),
    "intents": (samples.INTENT, lambda tx, r: tx.add_intent(r), {"quantity": Decimal(1)}, "intent-1"),
    "orders": (samples.ORDER, lambda tx, r: tx.add_order(r), {"limit_price": Decimal(99)}, "order-1"),
    "execution_reports": (
        samples.REPORT,
        lambda tx, r: tx.add_report("simulated", r),
        {"last_px": Decimal(99)},
        "exec-1",
    ),
    "fills": (samples.FILL, lambda tx, r: tx.add_fill(r), {"price": Decimal("100.0938")}, "exec-1"),
    "trades": (samples.TRADE, lambda tx, r: tx.add_trade(r), {"r_multiple": Decimal(1)}, "order-1"),
    "equity_points": (samples.EQUITY, lambda tx, r: tx.add_equity_point(r), {"positions": 2}, ACCOUNT),
    "cash_activities": (samples.CASH, lambda tx, r: tx.add_cash_activity(r), {"amount_usd": Decimal(1)}, "cash-1"),
    "splits": (samples.SPLIT, lambda tx, r: tx.add_split(r), {"ratio": Decimal(2)}, "AAPL"),
    "blocks": (samples.BLOCK, lambda tx, r: tx.add_block(r), {"symbol": "MSFT"}, "block-1"),
    "alerts": (samples.ALERT, lambda tx, r: tx.add_alert(r), {"message": "other"}, "alert-1"),
    "reconciliations": (samples.RECONCILIATION, lambda tx, r: tx.add_reconciliation(r), {"breaks": ()}, ACCOUNT),
    "risk_events": (samples.RISK_EVENT, lambda tx, r: tx.add_risk_event(r), {"data": {}}, "event-1"),
}


@pytest.fixture
def ledger(ledger: SqlLedger) -> SqlLedger:
    """A ledger with a row in every table."""
    with ledger.transaction() as tx:
        samples.record_trade(tx)
    return ledger


def test_every_table_has_its_row_and_a_second_run_adds_none(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        before = tx.row_counts()
        samples.record_trade(tx)
        assert tx.row_counts() == before
    told_by_themselves = {"alerts": 2, "audit_outbox": 11}
    assert before == {table: told_by_themselves.get(table, 1) for table in before}


@pytest.mark.parametrize("table", ADDED)
def test_the_same_identity_with_other_content_is_a_conflict_that_names_it(ledger: SqlLedger, table: str) -> None:
    record, write, change, identity = ADDED[table]
    (field,) = change

    with (
        pytest.raises(LedgerConflict, match=f"{table} already has .*{identity}.*: (asked_)?{field} is .* there and"),
        ledger.transaction() as tx,
    ):
        write(tx, replace(record, **change))


def test_two_runs_may_differ_in_who_ran_them_and_when(ledger: SqlLedger) -> None:
    later: dict[str, Any] = {"run_id": "second run", "created_at": NOW + timedelta(days=1)}

    with ledger.transaction() as tx:
        assert not tx.add_snapshot(replace(samples.SNAPSHOT, **later), [samples.SETUP])
        assert not tx.add_intent(replace(samples.INTENT, **later))
        first = tx.intent("intent-1")
    assert first == samples.INTENT


def test_a_second_intent_for_the_same_snapshot_and_symbol_is_refused(ledger: SqlLedger) -> None:
    other = replace(samples.INTENT, intent_id="intent-2")

    with (
        pytest.raises(LedgerConflict, match="intent_id is 'intent-1' there and 'intent-2'"),
        ledger.transaction() as tx,
    ):
        tx.add_intent(other)


def test_a_snapshot_cannot_lose_or_gain_setups(ledger: SqlLedger) -> None:
    more = [samples.SETUP, replace(samples.SETUP, setup_id="setup-2", symbol="MSFT")]

    for setups in ([], more):
        with pytest.raises(LedgerConflict, match="with other setups: 1 are in only one"), ledger.transaction() as tx:
            tx.add_snapshot(samples.SNAPSHOT, setups)


def test_an_order_asked_for_again_is_the_same_order_whatever_became_of_it(ledger: SqlLedger) -> None:
    moved = replace(samples.ORDER, status=OrdStatus.NEW, venue_order_id="v-1", limit_price=Decimal(101))
    with ledger.transaction() as tx:
        tx.save_order(moved)

    with ledger.transaction() as tx:
        assert not tx.add_order(samples.ORDER)
        assert tx.order("order-1") == moved


def test_filled_shares_never_leave_an_order(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        tx.save_order(replace(samples.ORDER, cum_qty=Decimal(60), status=OrdStatus.PARTIALLY_FILLED))

    with pytest.raises(LedgerError, match="60 shares filled on record and 59"), ledger.transaction() as tx:
        tx.save_order(replace(samples.ORDER, cum_qty=Decimal(59), status=OrdStatus.CANCELED))


def test_an_order_never_added_cannot_be_saved(ledger: SqlLedger) -> None:
    with pytest.raises(LedgerError, match="order-9 was never added"), ledger.transaction() as tx:
        tx.save_order(replace(samples.ORDER, client_order_id="order-9"))


def test_what_was_asked_of_an_order_cannot_be_rewritten(ledger: SqlLedger) -> None:
    with pytest.raises(LedgerConflict, match="symbol is 'AAPL' there and 'MSFT' here"), ledger.transaction() as tx:
        tx.save_order(replace(samples.ORDER, symbol="MSFT"))


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_the_database_itself_refuses_to_change_what_is_recorded(ledger: SqlLedger, table: str) -> None:
    column = Base.metadata.tables[table].columns.keys()[0]
    truncate = [f"TRUNCATE {table} CASCADE"] if ledger._engine.dialect.name == "postgresql" else []

    for change in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}", *truncate):  # noqa: S608  ours
        with (
            pytest.raises(LedgerError, match=f"never changed or deleted.*{table} is append-only"),
            ledger._engine.begin() as connection,
        ):
            connection.exec_driver_sql(change)


@pytest.mark.parametrize(("field", "value"), [("quantity", Decimal(0)), ("price", Decimal(-1)), ("price", Decimal(0))])
def test_e39_a_fill_has_shares_and_a_price(ledger: SqlLedger, field: str, value: Decimal) -> None:
    change: dict[str, Any] = {"exec_id": "exec-2", field: value}

    with pytest.raises(LedgerError, match="out of bounds"), ledger.transaction() as tx:
        tx.add_fill(replace(samples.FILL, **change))


def test_e39_an_order_keeps_each_of_its_partial_fills(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        tx.add_fill(replace(samples.FILL, exec_id="exec-2", quantity=Decimal(40), price=Decimal("100.11")))
        found = [(fill.exec_id, fill.quantity, fill.price) for fill in tx.fills(ACCOUNT, session=SESSION)]
    assert found == [("exec-1", Decimal(100), Decimal("100.0937")), ("exec-2", Decimal(40), Decimal("100.11"))]


def test_a_row_whose_cause_is_not_recorded_is_refused(ledger: SqlLedger) -> None:
    with pytest.raises(LedgerError, match="record what caused it first"), ledger.transaction() as tx:
        tx.add_fill(replace(samples.FILL, exec_id="exec-2", client_order_id="order-9"))


def test_e28_two_trades_of_one_symbol_stay_two(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        tx.save_order(replace(samples.ORDER, status=OrdStatus.FILLED, cum_qty=Decimal(100)))
        samples.record_orders(tx, "order-2")
        tx.save_position(replace(samples.POSITION, quantity=Decimal(0), sold_qty=Decimal(100)))
        tx.save_position(replace(samples.POSITION, trade_id="order-2", avg_px=Decimal(101)))
        tx.add_trade(replace(samples.TRADE, trade_id="order-2", exit_px=Decimal(99)))
        tx.save_position(replace(samples.POSITION, trade_id="order-2", stop=Decimal(100)))

    with ledger.read() as tx:
        assert [(t.trade_id, t.exit_px) for t in tx.trades(ACCOUNT)] == [
            ("order-1", Decimal(105)),
            ("order-2", Decimal(99)),
        ]
        assert [(p.trade_id, p.stop) for p in tx.positions(ACCOUNT)] == [("order-2", Decimal(100))]
        assert tx.row_counts()["positions"] == 2


def test_e30_every_trade_carries_its_commission_and_net(ledger: SqlLedger) -> None:
    with ledger.read() as tx:
        (trade,) = tx.trades(ACCOUNT)
    assert trade.net_usd == trade.gross_usd - trade.commission_usd

    with pytest.raises(LedgerError, match="a value is missing"), ledger.transaction() as tx:
        tx.add_trade(replace(samples.TRADE, commission_usd=None))  # type: ignore[arg-type]


def test_e38_performance_of_a_session_is_replaced_only_when_it_differs(ledger: SqlLedger) -> None:
    computed_again = replace(samples.DAILY, computed_at=NOW + timedelta(hours=1))
    corrected = replace(computed_again, net_usd=Decimal(1))

    with ledger.transaction() as tx:
        assert not tx.put_daily_performance(computed_again)
        assert tx.daily_performance(ACCOUNT) == [samples.DAILY]
        assert tx.put_daily_performance(corrected)
        assert tx.daily_performance(ACCOUNT) == [corrected]


def test_the_newest_snapshot_of_an_instant_is_the_one_recorded_last(ledger: SqlLedger) -> None:
    earlier = replace(samples.SNAPSHOT, snapshot_id="scan-0", as_of=NOW - timedelta(minutes=15))
    again = replace(samples.SNAPSHOT, snapshot_id="a-rerun", code_version="2")

    with ledger.transaction() as tx:
        tx.add_snapshot(again, [])
        tx.add_snapshot(earlier, [])
        assert [snapshot.snapshot_id for snapshot in tx.snapshots(SESSION)] == ["scan-0", "a-rerun"]
        assert tx.snapshot_by_id("scan-1") == samples.SNAPSHOT
        assert tx.snapshots(date(2025, 3, 11)) == []


def test_research_is_found_by_the_code_and_configuration_it_was_made_under(ledger: SqlLedger) -> None:
    newer = replace(samples.SNAPSHOT, snapshot_id="newer", code_version="2")
    other = replace(samples.SNAPSHOT, snapshot_id="other", config_hash="what-if")
    regime = replace(samples.REGIME, regime_id="other", config_hash="what-if")

    with ledger.transaction() as tx:
        tx.add_snapshot(newer, [])
        tx.add_snapshot(other, [])
        tx.add_regime(regime)
        own = {"config_hash": samples.SNAPSHOT.config_hash}
        assert [s.snapshot_id for s in tx.snapshots(SESSION, **own)] == ["newer"]
        version = samples.SNAPSHOT.code_version
        assert [s.snapshot_id for s in tx.snapshots(SESSION, **own, code_version=version)] == ["scan-1"]
        assert [s.snapshot_id for s in tx.snapshots(SESSION, config_hash="what-if")] == ["other"]
        assert tx.regimes(SESSION, config_hash=samples.REGIME.config_hash) == [samples.REGIME]
        assert tx.regimes(SESSION, config_hash="what-if") == [regime]


def test_unsent_orders_are_pending_claimed_or_not_oldest_first(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_orders(tx, "z-second", "a-third")
        assert tx.claim_order("z-second", "loop", 1)
        tx.save_order(replace(samples.ORDER, status=OrdStatus.IN_DOUBT))

        assert [order.client_order_id for order in tx.unsent_orders(ACCOUNT)] == ["z-second", "a-third"]
        assert [o.client_order_id for o in tx.open_orders(ACCOUNT)] == ["order-1", "z-second", "a-third"]
        assert tx.unsent_orders("other") == []


def test_an_order_that_moved_on_cannot_be_claimed(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        tx.save_order(replace(samples.ORDER, status=OrdStatus.NEW))
        assert not tx.claim_order("order-1", "loop", 1)
        assert not tx.claim_order("never added", "loop", 1)


def test_of_many_who_claim_an_order_exactly_one_wins(url: str, ledger: SqlLedger) -> None:
    def claim(number: int) -> bool:
        own: Ledger = SqlLedger(url)
        with own.transaction() as tx:
            return tx.claim_order("order-1", "same owner", number)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(claim, range(8))) == [False] * 7 + [True]


def test_a_reader_cannot_write(ledger: SqlLedger) -> None:
    with pytest.raises(LedgerError, match="only reads"), ledger.read() as tx:
        tx.add_fill(replace(samples.FILL, exec_id="exec-2"))


def test_legs_are_found_by_their_parent(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        tx.add_order(replace(samples.ORDER, client_order_id="leg", leg=Leg.STOP, parent_id="order-1"))
        assert [leg.client_order_id for leg in tx.children("order-1")] == ["leg"]


def test_a_decision_on_a_number_that_is_none_is_recorded_once(ledger: SqlLedger) -> None:
    measured = Finding(Verdict.DENIAL, Code.NON_FINITE_INPUT, Decimal("NaN"), "finite", "entry")
    denied = replace(samples.DECISION, decision_id="decision-2", approved=False, findings=(measured,))

    with ledger.transaction() as tx:
        assert tx.add_decision(denied)
        assert not tx.add_decision(denied)
        assert str(tx.decisions(ACCOUNT, SESSION)[1].findings[0].measured) == "NaN"


def test_what_came_of_a_decision_is_recorded_together_as_one_by_one(ledger: SqlLedger) -> None:
    plan = replace(samples.PLAN, plan_id="plan-2", account="other")
    decision = replace(samples.DECISION, decision_id="decision-2", plan_id="plan-2")
    intent = replace(
        samples.INTENT, intent_id="intent-2", account="other", plan_id="plan-2", decision_id="decision-2"
    )  # fmt: skip
    orders = [
        replace(samples.ORDER, client_order_id=f"leg-{leg}", intent_id="intent-2", account="other", leg=leg)
        for leg in (Leg.ENTRY, Leg.STOP, Leg.TARGET)
    ]
    event = replace(samples.RISK_EVENT, event_id="event-2", account="other", severity="INFO")
    block = replace(samples.BLOCK, block_id="block-2", account="other")

    with ledger.transaction() as tx:
        told = len(tx.audit_entries())
        answers = tx.add_all([plan, decision, intent, *orders, event, orders[0], samples.ORDER, samples.PLAN, block])
        subjects = [entry.subject for _, entry in tx.audit_entries()[told:]]

    assert answers == [True, True, True, True, True, True, True, False, False, False, True]
    legs = [order.client_order_id for order in orders]
    assert subjects == ["decision-2", "intent-2", *legs, "event-2", "block-2"]
    with ledger.read() as tx:
        assert tx.plan("plan-2") == plan
        assert tx.decisions("other", SESSION) == [decision]
        assert tx.intent("intent-2") == intent
        assert tx.orders("other", SESSION) == orders
        assert tx.risk_event("event-2") == event
        assert tx.blocks("other") == [block]


def test_one_conflict_among_many_keeps_all_of_them_out(ledger: SqlLedger) -> None:
    new = replace(samples.ORDER, client_order_id="order-9", symbol="NEW")

    def record() -> None:
        with ledger.transaction() as tx:
            tx.add_all([new, replace(samples.ORDER, limit_price=Decimal(99))])

    with pytest.raises(LedgerConflict, match="limit_price is"):
        record()
    with ledger.read() as tx:
        assert tx.order("order-9") is None
