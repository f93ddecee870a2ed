"""Leases and the fence, trading state, blocks; what is told to others; what the database allows only once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.control import Lease, TradingState
from trading_pipeline.domain.errors import LeaseLost, LedgerConflict, LedgerError
from trading_pipeline.domain.orders import EXTERNAL, ExecType, ExecutionReport, Leg, OrdStatus
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters.ledger_samples import ACCOUNT, NOW, SESSION

SECOND = timedelta(seconds=1)
NAME = "leader"


def take(ledger: SqlLedger, holder: str, at: int, seconds: int = 10) -> Lease | None:
    with ledger.transaction() as tx:
        return tx.take_lease(NAME, holder, NOW + at * SECOND, seconds)


def taken(ledger: SqlLedger, holder: str, at: int, seconds: int = 10) -> Lease:
    lease = take(ledger, holder, at, seconds)
    assert lease is not None
    return lease


# leases


def test_a_lease_has_one_holder_until_it_expires_and_then_a_larger_token(ledger: SqlLedger) -> None:
    first = taken(ledger, "a", 0)

    assert (first.token, first.expires_at) == (1, NOW + 10 * SECOND)
    assert take(ledger, "b", 9) is None
    assert taken(ledger, "b", 10).token == 2
    assert take(ledger, "a", 11) is None


def test_the_holder_may_take_its_own_lease_again_and_keeps_its_token(ledger: SqlLedger) -> None:
    first = taken(ledger, "a", 0)

    again = taken(ledger, "a", 5)

    assert again == replace(first, heartbeat_at=NOW + 5 * SECOND, expires_at=NOW + 15 * SECOND)


def test_an_expired_lease_cannot_be_renewed_and_its_next_token_is_larger_even_for_the_same_holder(
    ledger: SqlLedger,
) -> None:
    first = taken(ledger, "a", 0)
    with ledger.transaction() as tx:
        renewed = tx.renew_lease(first, NOW + 9 * SECOND, 10)
        assert renewed is not None
        assert tx.lease(NAME) == renewed
        assert tx.renew_lease(renewed, NOW + 19 * SECOND, 10) is None

    assert taken(ledger, "a", 20).token == 2


def test_a_released_lease_is_free_at_once_and_only_its_holder_releases_it(ledger: SqlLedger) -> None:
    first = taken(ledger, "a", 0)
    with ledger.transaction() as tx:
        tx.release_lease(first, NOW + SECOND)
    second = taken(ledger, "b", 1)

    with ledger.transaction() as tx:
        tx.release_lease(first, NOW + 2 * SECOND)
        assert tx.renew_lease(first, NOW + 2 * SECOND, 10) is None
        assert tx.lease(NAME) == second
        assert tx.lease("another") is None


def test_writes_of_a_stale_holder_are_refused_by_the_database(ledger: SqlLedger, url: str) -> None:
    now = [NOW]
    watched = SqlLedger(url, now=lambda: now[0])
    fenced = watched.fenced(taken(ledger, "a", 0))
    with fenced.transaction() as tx:
        tx.add_equity_point(samples.EQUITY)

    now[0] = NOW + 10 * SECOND
    with pytest.raises(LeaseLost, match=r"leader that a holds with token 1 expired"), fenced.transaction() as tx:
        tx.add_risk_event(samples.RISK_EVENT)
    taken(ledger, "b", 10)
    now[0] = NOW + 11 * SECOND
    with pytest.raises(LeaseLost, match="was taken over: nothing was written"), fenced.transaction() as tx:
        tx.add_risk_event(samples.RISK_EVENT)

    with fenced.read() as tx:  # reading is free
        assert tx.risk_events(ACCOUNT, SESSION) == []
        assert len(tx.equity_points(ACCOUNT)) == 1
    watched.close()


def test_the_fence_of_an_old_token_never_opens_again_for_the_same_holder(ledger: SqlLedger, url: str) -> None:
    watched = SqlLedger(url, now=lambda: NOW + 21 * SECOND)
    old = watched.fenced(taken(ledger, "a", 0))
    taken(ledger, "b", 10)
    new = watched.fenced(taken(ledger, "a", 20))

    with pytest.raises(LeaseLost, match="token 1 was taken over"), old.transaction():
        pass
    with new.transaction() as tx:
        assert tx.add_risk_event(samples.RISK_EVENT)
    watched.close()


def test_the_lease_cannot_change_hands_while_its_holder_writes(ledger: SqlLedger, url: str) -> None:
    fenced = SqlLedger(url, now=lambda: NOW).fenced(taken(ledger, "a", 0))
    hasty = SqlLedger(url, lock_wait_seconds=0.05)

    with fenced.transaction() as tx:
        tx.add_risk_event(samples.RISK_EVENT)
        with pytest.raises(LedgerError, match="written by another process"):
            take(hasty, "b", 99)

    assert taken(ledger, "b", 99).token == 2


# trading state and blocks


def test_the_trading_state_is_the_last_one_set(ledger: SqlLedger) -> None:
    halted = replace(samples.TRADING_STATE, state=TradingState.HALTED, set_by="a person", reason="enough")

    with ledger.transaction() as tx:
        assert tx.trading_state(ACCOUNT) is None
        tx.set_trading_state(samples.TRADING_STATE)
        tx.set_trading_state(halted)
        tx.set_trading_state(halted)
        assert tx.trading_state(ACCOUNT) == halted
        told = [(e.actor, e.data) for _, e in tx.audit_entries() if e.kind == "trading_state"]
    assert told == [
        ("loop", {"after": "REDUCING", "reason": "5 refusals in a row"}),
        ("a person", {"before": "REDUCING", "after": "HALTED", "reason": "enough"}),
    ]


def test_blocks_hold_for_their_symbol_or_all_until_cleared_once(ledger: SqlLedger) -> None:
    whole = replace(samples.BLOCK, block_id="block-2", symbol="", since=NOW + SECOND)
    other = replace(samples.BLOCK, block_id="block-3", symbol="MSFT")

    with ledger.transaction() as tx:
        for block in (whole, other, samples.BLOCK):
            assert tx.add_block(block)
        assert [b.block_id for b in tx.blocks(ACCOUNT)] == ["block-3", "block-1", "block-2"]
        assert [b.block_id for b in tx.blocks(ACCOUNT, symbol="AAPL")] == ["block-1", "block-2"]
        assert tx.clear_block("block-1", NOW + SECOND, "a person")
        assert not tx.clear_block("block-1", NOW + SECOND, "somebody else")
        assert not tx.add_block(replace(samples.BLOCK, reason="again"))
        assert [b.block_id for b in tx.blocks(ACCOUNT, symbol="AAPL")] == ["block-2"]
        assert tx.blocks("another") == []


# told by itself


def test_every_change_leaves_its_entry_in_the_same_transaction(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_trade(tx)
        tx.save_order(replace(samples.ORDER, status=OrdStatus.FILLED, cum_qty=Decimal(100)))
        tx.save_order(replace(samples.ORDER, status=OrdStatus.FILLED, cum_qty=Decimal(100), text="no news"))
        tx.clear_block("block-1", NOW, "a person")
        lease = tx.lease(NAME)
        assert lease is not None
        tx.release_lease(lease, NOW)
        tx.add_audit(samples.AUDIT)
        entries = [entry for _, entry in tx.audit_entries()]

    assert [(entry.kind, entry.subject) for entry in entries] == [
        ("decision", "decision-1"),
        ("intent", "intent-1"),
        ("order", "order-1"),
        ("fill", "exec-1"),
        ("risk_event", "event-1"),
        ("cash_activity", "cash-1"),
        ("split", "AAPL"),
        ("block_set", "block-1"),
        ("trading_state", ACCOUNT),
        ("lease_taken", NAME),
        ("alert", "alert-1"),
        ("order_status", "order-1"),
        ("block_cleared", "block-1"),
        ("lease_released", NAME),
        ("operator", "AAPL"),
    ]
    status = entries[11]
    assert (status.data["before"], status.data["after"], status.data["cum_qty"]) == ("PendingNew", "Filled", "100")
    assert entries[2].data["limit_price"] == "100.1"
    assert entries[0].data["approved"] == "true"


def test_a_cause_raises_one_alert_with_one_entry_whatever_its_words(ledger: SqlLedger) -> None:
    first, again = samples.ALERT, replace(samples.ALERT, message="other words")
    for raised, is_new in ((first, True), (first, False), (again, False)):
        with ledger.transaction() as tx:
            assert tx.raise_alert(raised) is is_new

    with ledger.read() as tx:
        assert tx.alerts(ACCOUNT) == [first]
        (entry,) = [entry for _, entry in tx.audit_entries() if entry.kind == "alert"]
    assert (entry.subject, entry.data["message"]) == (first.alert_id, first.message)
    with pytest.raises(LedgerError, match="only reads"), ledger.read() as tx:
        tx.raise_alert(again)


def test_what_is_rolled_back_is_not_told(ledger: SqlLedger) -> None:
    def fail() -> None:
        with ledger.transaction() as tx:
            samples.record_trade(tx)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with ledger.read() as tx:
        assert tx.audit_entries() == []
        assert tx.alerts(ACCOUNT) == []


def test_entries_are_read_on_from_where_one_stopped(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        for number in range(5):
            tx.add_audit(replace(samples.AUDIT, subject=str(number)))

    with ledger.read() as tx:
        first = tx.audit_entries(limit=2)
        rest = tx.audit_entries(after=first[-1][0])
        assert [entry.subject for _, entry in (*first, *rest)] == ["0", "1", "2", "3", "4"]
        assert [number for number, _ in first] == [1, 2]


@pytest.mark.parametrize(("severity", "alerts"), [("INFO", 0), ("WARNING", 1), ("ERROR", 1), ("CRITICAL", 1)])
def test_a_risk_event_that_matters_leaves_an_alert_once(ledger: SqlLedger, severity: str, alerts: int) -> None:
    event = replace(samples.RISK_EVENT, severity=severity)

    for _ in range(2):
        with ledger.transaction() as tx:
            tx.add_risk_event(event)

    with ledger.read() as tx:
        found = tx.alerts(ACCOUNT, SESSION)
        assert [(a.alert_id, a.level, a.message) for a in found] == [("event-1", severity, "too much")] * alerts


# only once


def entry(number: int, **changes: Any) -> Any:
    return replace(samples.ORDER, client_order_id=f"entry-{number}", **changes)


def test_a_symbol_has_one_working_entry(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_decision(tx)
        tx.add_order(entry(1))
        assert not tx.add_order(entry(1))

    with (
        pytest.raises(LedgerConflict, match=r"an entry is already working.*AAPL: entry-1.*Wait"),
        ledger.transaction() as tx,
    ):
        tx.add_order(entry(2))

    with ledger.transaction() as tx:
        tx.add_order(entry(3, leg=Leg.STOP, parent_id="entry-1"))
        tx.add_order(entry(4, account="another"))
        tx.add_order(entry(5, strategy=EXTERNAL, intent_id=None, status=OrdStatus.NEW))
        tx.save_order(entry(1, status=OrdStatus.CANCELED))
        assert tx.add_order(entry(6))


def test_a_bust_that_opens_an_old_entry_again_is_recorded_beside_a_new_one(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_decision(tx)
        tx.add_order(entry(1))
        tx.save_order(entry(1, status=OrdStatus.FILLED, cum_qty=Decimal(100)))
        tx.add_order(entry(2))
        tx.add_report("simulated", taking_back(40, "entry-1"))
        tx.save_order(entry(1, status=OrdStatus.PARTIALLY_FILLED, cum_qty=Decimal(60)))
        assert [order.client_order_id for order in tx.open_orders(ACCOUNT)] == ["entry-1", "entry-2"]


def test_a_symbol_has_one_open_position(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_trade(tx)
        tx.save_order(replace(samples.ORDER, status=OrdStatus.FILLED))
        tx.add_order(entry(2))

    with pytest.raises(LedgerConflict, match="same identity"), ledger.transaction() as tx:
        tx.save_position(replace(samples.POSITION, trade_id="entry-2"))


# filled shares


def taking_back(shares: int, order: str = "order-1") -> ExecutionReport:
    return replace(
        samples.REPORT, client_order_id=order, exec_id=f"bust-{shares}", exec_type=ExecType.TRADE_CANCEL,
        last_qty=Decimal(shares), ref_exec_id="exec-1",
    )  # fmt: skip


def correcting(shares: int) -> ExecutionReport:
    return replace(taking_back(shares), exec_id=f"correct-{shares}", exec_type=ExecType.TRADE_CORRECT)


@pytest.mark.parametrize(
    ("reports", "left", "allowed"),
    [
        ([], 99, False),
        ([taking_back(40)], 60, True),
        ([taking_back(40)], 59, False),
        ([correcting(70)], 70, True),
        ([correcting(70)], 69, False),
        ([correcting(100)], 99, False),
        ([correcting(70), replace(correcting(50), ref_exec_id="correct-70")], 50, True),
        ([taking_back(100)], 0, True),
    ],
)
def test_filled_shares_fall_only_by_what_reports_took_back(
    ledger: SqlLedger, reports: list[ExecutionReport], left: int, allowed: bool
) -> None:
    moved = replace(samples.ORDER, status=OrdStatus.PARTIALLY_FILLED, cum_qty=Decimal(left))

    def save() -> None:
        with ledger.transaction() as tx:
            for report in reports:
                tx.add_report("simulated", report)
            tx.save_order(moved)

    with ledger.transaction() as tx:
        samples.record_trade(tx)
        tx.save_order(replace(samples.ORDER, status=OrdStatus.FILLED, cum_qty=Decimal(100)))
    if allowed:
        save()
        with ledger.read() as tx:
            assert tx.order("order-1") == moved
    else:
        with pytest.raises(LedgerError, match="filled shares never go away by themselves"):
            save()


def test_what_was_taken_back_is_not_taken_back_twice(ledger: SqlLedger) -> None:
    again = replace(samples.REPORT, exec_id="exec-2", last_qty=Decimal(40))
    with ledger.transaction() as tx:
        samples.record_trade(tx)
        for filled, report in ((100, samples.REPORT), (60, taking_back(40)), (100, again)):
            tx.add_report("simulated", report)
            tx.save_order(replace(samples.ORDER, status=OrdStatus.PARTIALLY_FILLED, cum_qty=Decimal(filled)))
        with pytest.raises(LedgerError, match="never go away"):
            tx.save_order(replace(samples.ORDER, status=OrdStatus.PARTIALLY_FILLED, cum_qty=Decimal(60)))


# sources


def test_watchlists_and_signals_of_one_instant_are_told_apart(ledger: SqlLedger) -> None:
    signals = replace(samples.SNAPSHOT, snapshot_id="signals-1", source="file")

    with ledger.transaction() as tx:
        tx.add_snapshot(samples.SNAPSHOT, [])
        tx.add_snapshot(signals, [replace(samples.SETUP, snapshot_id="signals-1", target=None)])
        assert tx.snapshots(SESSION) == [samples.SNAPSHOT]
        assert tx.snapshots(SESSION, source="file") == [signals]
        assert tx.setups("signals-1")[0].target is None
