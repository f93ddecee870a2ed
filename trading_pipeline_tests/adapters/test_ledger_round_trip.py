"""What is written is read back: every record, every value it may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.errors import LedgerError, NaiveDatetimeError
from trading_pipeline.domain.orders import Side
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters.ledger_samples import ACCOUNT, NOW, SESSION
from trading_pipeline_tests.adapters.ledger_strategies import variants

Tx = LedgerTransaction
Check = tuple[Any, int, Callable[[Tx, Any], object], Callable[[Tx, Any], Any]]


class Undone(Exception):
    """Raised to roll an example back."""


@contextmanager
def undone(ledger: SqlLedger) -> Iterator[LedgerTransaction]:
    """A transaction that leaves nothing behind, so that examples share one ledger."""
    with suppress(Undone), ledger.transaction() as tx:
        yield tx
        raise Undone


# sample, rows of the chain it hangs on, how it is written, how it is read
ROUND_TRIPS: dict[str, Check] = {
    "snapshot": (samples.SNAPSHOT, 0, lambda tx, r: tx.add_snapshot(r, []), lambda tx, r: tx.snapshots(r.session)[0]),
    "setup": (
        samples.SETUP,
        0,
        lambda tx, r: tx.add_snapshot(samples.SNAPSHOT, [r]),
        lambda tx, r: tx.setup(r.setup_id),
    ),
    "regime": (samples.REGIME, 0, lambda tx, r: tx.add_regime(r), lambda tx, r: tx.regimes(r.session)[0]),
    "plan": (samples.PLAN, 1, lambda tx, r: tx.add_plan(r), lambda tx, r: tx.plan(r.plan_id)),
    "decision": (
        samples.DECISION,
        2,
        lambda tx, r: tx.add_decision(r),
        lambda tx, _: tx.decisions(ACCOUNT, SESSION)[0],
    ),
    "intent": (samples.INTENT, 3, lambda tx, r: tx.add_intent(r), lambda tx, r: tx.intent(r.intent_id)),
    "order": (samples.ORDER, 4, lambda tx, r: tx.add_order(r), lambda tx, r: tx.order(r.client_order_id)),
    "fill": (samples.FILL, 5, lambda tx, r: tx.add_fill(r), lambda tx, r: tx.fills(r.account)[0]),
    "position": (samples.POSITION, 5, lambda tx, r: tx.save_position(r), lambda tx, r: tx.positions(r.account)[0]),
    "trade": (samples.TRADE, 5, lambda tx, r: tx.add_trade(r), lambda tx, r: tx.trade(r.trade_id)),
    "equity point": (
        samples.EQUITY,
        0,
        lambda tx, r: tx.add_equity_point(r),
        lambda tx, _: tx.equity_points(ACCOUNT)[0],
    ),
    "daily performance": (
        samples.DAILY,
        0,
        lambda tx, r: tx.put_daily_performance(r),
        lambda tx, _: tx.daily_performance(ACCOUNT)[0],
    ),
    "risk event": (samples.RISK_EVENT, 0, lambda tx, r: tx.add_risk_event(r), lambda tx, r: tx.risk_event(r.event_id)),
    "cash activity": (
        samples.CASH,
        0,
        lambda tx, r: tx.add_cash_activity(r),
        lambda tx, r: tx.cash_activities(r.account)[0],
    ),
    "split": (samples.SPLIT, 0, lambda tx, r: tx.add_split(r), lambda tx, r: tx.splits(r.account)[0]),
    "trading state": (
        samples.TRADING_STATE,
        0,
        lambda tx, r: tx.set_trading_state(r),
        lambda tx, r: tx.trading_state(r.account),
    ),
    "session peak": (
        samples.SESSION_PEAK,
        0,
        lambda tx, r: tx.save_session_peak(r),
        lambda tx, _: tx.session_peak(ACCOUNT, SESSION),
    ),
    "alert": (samples.ALERT, 0, lambda tx, r: tx.add_alert(r), lambda tx, r: tx.alerts(r.account)[0]),
    "audit entry": (samples.AUDIT, 0, lambda tx, r: tx.add_audit(r), lambda tx, _: tx.audit_entries()[0][1]),
    "reconciliation": (
        samples.RECONCILIATION,
        0,
        lambda tx, r: tx.add_reconciliation(r),
        lambda tx, r: tx.last_reconciliation(r.account),
    ),
    "session": (
        samples.SESSION_RECORD,
        0,
        lambda tx, r: tx.save_session_record(r),
        lambda tx, _: tx.session_record(ACCOUNT, SESSION),
    ),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_is_written_is_read_back(ledger: SqlLedger, name: str, data: st.DataObject) -> None:
    sample, causes, write, read = ROUND_TRIPS[name]
    record = data.draw(variants(sample))

    with undone(ledger) as tx:
        samples.record_causes(tx, causes)
        write(tx, record)
        found = read(tx, record)
        written_again = write(tx, record)
        assert found == as_utc(record)
        assert not written_again


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_report_is_recorded_once_word_for_word(ledger: SqlLedger, data: st.DataObject) -> None:
    report = data.draw(variants(samples.REPORT))

    with undone(ledger) as tx:
        samples.record_decision(tx)
        samples.record_orders(tx, "order-1")
        assert tx.add_report("simulated", report)
        assert not tx.add_report("simulated", report)
        assert tx.add_report("another venue", report)
        assert tx.row_counts()["execution_reports"] == 2


def as_utc(record: Any) -> Any:
    """The record with its instants in UTC (Python never calls a time in a repeated hour equal to one in UTC)."""
    instants = {name: getattr(record, name) for name in record.__slots__}
    return replace(record, **{name: at.astimezone(UTC) for name, at in instants.items() if isinstance(at, datetime)})


@pytest.mark.parametrize("written", ["100", "1E+2", "100.00000000", "1E+10", "0.00000001", "-0", "-12.5"])
def test_a_decimal_comes_back_in_its_shortest_form(ledger: SqlLedger, written: str) -> None:
    with undone(ledger) as tx:
        samples.record_decision(tx)
        tx.add_order(replace(samples.ORDER, limit_price=Decimal(written), avg_px=Decimal(written)))
        order = tx.order("order-1")
        assert order is not None
        text = {"1E+2": "100", "100.00000000": "100", "1E+10": "10000000000", "-0": "0"}.get(written, written)
        text = "0.00000001" if written == "0.00000001" else text
        assert f"{order.limit_price}" == str(Decimal(text))
        assert f"{order.avg_px}" == str(Decimal(text))


@pytest.mark.parametrize("price", ["0.000000001", "100.123456789", "92233720369", "NaN", "Infinity", "-Infinity"])
def test_a_price_that_does_not_fit_is_refused_and_not_rounded(ledger: SqlLedger, price: str) -> None:
    with undone(ledger) as tx:
        samples.record_decision(tx)
        with pytest.raises(LedgerError, match=r"decimals|range|finite"):
            tx.add_order(replace(samples.ORDER, limit_price=Decimal(price)))


def test_an_average_keeps_every_digit(ledger: SqlLedger) -> None:
    average = Decimal(301) / Decimal(3)

    with undone(ledger) as tx:
        samples.record_decision(tx)
        samples.record_orders(tx, "order-1")
        tx.save_position(replace(samples.POSITION, avg_px=average))
        assert tx.positions(ACCOUNT)[0].avg_px == average


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_a_number_is_refused(ledger: SqlLedger, score: float) -> None:
    with pytest.raises(LedgerError, match="finite"), ledger.transaction() as tx:
        tx.add_snapshot(samples.SNAPSHOT, [replace(samples.SETUP, score=score)])


@pytest.mark.parametrize("details", [{"rsi": float("nan")}, {"when": NOW}])
def test_details_that_are_not_json_are_refused(ledger: SqlLedger, details: dict[str, object]) -> None:
    with pytest.raises(LedgerError, match="recorded as JSON"), ledger.transaction() as tx:
        tx.add_regime(replace(samples.REGIME, details=details))


def test_e40_a_naive_instant_is_refused(ledger: SqlLedger) -> None:
    with pytest.raises(NaiveDatetimeError), ledger.transaction() as tx:
        tx.add_equity_point(replace(samples.EQUITY, at=datetime(2025, 3, 10, 15, 45)))  # noqa: DTZ001


def test_e40_the_hour_repeated_in_autumn_stays_two_instants(ledger: SqlLedger) -> None:
    first = datetime(2025, 11, 2, 1, 30, 0, 1, tzinfo=ZoneInfo("America/New_York"))
    second = first.replace(fold=1)

    with undone(ledger) as tx:
        tx.add_equity_point(replace(samples.EQUITY, at=first))
        tx.add_equity_point(replace(samples.EQUITY, at=second))
        stored = [point.at for point in tx.equity_points(ACCOUNT)]
        assert stored[1] - stored[0] == timedelta(hours=1)
        assert {instant.tzinfo for instant in stored} == {UTC}


@pytest.mark.parametrize("symbol", ["BRK'B", '"; DROP TABLE fills; --', "' OR 1=1 --", "%", "_", "BF.B", "ß\u20ac\\n"])
def test_e27_any_symbol_is_stored_and_found_verbatim(ledger: SqlLedger, symbol: str) -> None:
    with undone(ledger) as tx:
        samples.record_decision(tx)
        samples.record_orders(tx, "order-1")
        tx.add_fill(replace(samples.FILL, symbol=symbol))
        tx.add_fill(replace(samples.FILL, exec_id="exec-2", symbol="OTHER"))
        assert [fill.symbol for fill in tx.fills(ACCOUNT, symbol=symbol)] == [symbol]


def test_e35_sub_penny_fills_are_exact(ledger: SqlLedger) -> None:
    prices = [Decimal("0.1237"), Decimal("0.1238"), Decimal("1234567.12345678")]

    with undone(ledger) as tx:
        samples.record_decision(tx)
        samples.record_orders(tx, "order-1")
        for number, price in enumerate(prices):
            tx.add_fill(replace(samples.FILL, exec_id=f"exec-{number}", price=price, side=Side.SELL))
        assert [fill.price for fill in tx.fills(ACCOUNT)] == prices


def test_e33_a_range_of_sessions_includes_its_last_day(ledger: SqlLedger) -> None:
    # 19:55 New York on the last day is already the next day in UTC
    late = datetime(2025, 3, 14, 23, 55, tzinfo=UTC)
    sessions = [date(2025, 3, day) for day in (10, 11, 12, 13, 14)]

    with undone(ledger) as tx:
        for number, session in enumerate(sessions):
            at = late + timedelta(hours=number)
            tx.add_equity_point(replace(samples.EQUITY, session=session, at=at))
            tx.put_daily_performance(replace(samples.DAILY, session=session))
        between = (sessions[1], sessions[-1])
        assert [point.session for point in tx.equity_points(ACCOUNT, *between)] == sessions[1:]
        assert [daily.session for daily in tx.daily_performance(ACCOUNT, *between)] == sessions[1:]
        assert [daily.session for daily in tx.daily_performance(ACCOUNT, last=sessions[0])] == sessions[:1]
