"""A session's figures come from the record alone, and read the same whenever they are asked for."""

from __future__ import annotations

import json
import math
import statistics
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.adapters.research_store import ParquetResearchStore
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.reports import NetPnl, SessionReport
from trading_pipeline.services.reporting import ReportDesk, record_daily_performance, report_data, report_json
from trading_pipeline_tests.builders import SESSION, dec
from trading_pipeline_tests.services.recorded import (
    ACCOUNT,
    opens_at,
    record_entry,
    record_equity,
    record_fill,
    record_session,
    record_setup,
    record_trade,
)
from trading_pipeline_tests.services.traded_market import TradedMarket

CLOCK = FixedClock(datetime(2025, 6, 30, tzinfo=UTC))
CALENDAR = ExchangeCalendar()
MONDAY, TUESDAY, WEDNESDAY = date(2025, 6, 9), SESSION, date(2025, 6, 11)


@pytest.fixture
def desk(ledger: SqlLedger, tmp_path: Path) -> ReportDesk:
    """Reads an empty record, empty research frames of the three sessions, and no bars."""
    frames = ParquetResearchStore(tmp_path / "research")
    for session in (MONDAY, TUESDAY, WEDNESDAY):
        frames.write("universe", session, pd.DataFrame({"symbol": ["XYZ"], "included": [True]}))
        frames.write("coarse_screen", session, pd.DataFrame(columns=["as_of", "symbol", "reason", "handed_off"]))
        columns = ["as_of", "symbol", "scored", "reason", "grade", "score", "selected"]
        frames.write("sabr20_watchlist", session, pd.DataFrame(columns=columns))
    bars = ParquetBarStore(tmp_path / "bars", CALENDAR, CLOCK)
    return ReportDesk(ledger=ledger, frames=frames, bars=bars, calendar=CALENDAR)


def test_e29_a_session_without_trades_has_zeros_and_its_equity(ledger: SqlLedger, desk: ReportDesk) -> None:
    with ledger.transaction() as tx:
        record_session(tx, equity_usd=99_000)

    daily = record_daily_performance(ledger, ACCOUNT, SESSION, clock=CLOCK)
    report = report_data(desk, ACCOUNT, SESSION)

    assert (daily.trades, daily.wins, daily.losses, daily.gross_usd, daily.net_usd) == (0, 0, 0, dec(0), dec(0))
    assert (daily.win_rate, daily.average_r, daily.largest_win_usd) == (None, None, None)
    assert daily.closing_equity_usd == Decimal(99_000)
    assert (report.trades, report.net_usd.all_time, report.win_rates.all_time) == ((), dec(0), None)


def test_e30_commission_is_in_the_stored_net(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        record_session(tx)
        record_trade(tx, "XYZ", net_usd="97.50", gross_usd=Decimal(100), commission_usd=Decimal("2.50"))

    daily = record_daily_performance(ledger, ACCOUNT, SESSION, clock=CLOCK)

    assert (daily.gross_usd, daily.commission_usd, daily.net_usd) == (dec(100), dec("2.50"), dec("97.50"))


def test_e31_wins_are_net_and_break_even_is_neither(ledger: SqlLedger, desk: ReportDesk) -> None:
    with ledger.transaction() as tx:
        record_session(tx)
        record_trade(tx, "WIN", net_usd=10)
        record_trade(tx, "EVEN", net_usd=0)  # won a dollar before commission
        record_trade(tx, "LOSS", net_usd="-0.50")

    daily = record_daily_performance(ledger, ACCOUNT, SESSION, clock=CLOCK)

    assert (daily.wins, daily.losses, daily.break_even, daily.win_rate) == (1, 1, 1, Decimal("0.5"))
    assert report_data(desk, ACCOUNT, SESSION).win_rates.today == 0.5


def test_e32_sharpe_is_of_equity_returns_of_every_session(ledger: SqlLedger, desk: ReportDesk) -> None:
    with ledger.transaction() as tx:
        for session, opened, closed in ((MONDAY, 100, 110), (TUESDAY, 110, 110), (WEDNESDAY, 110, 99)):
            record_session(tx, session, opened * 1000)
            record_equity(tx, session, opened * 1000, closed * 1000)

    report = report_data(desk, ACCOUNT, WEDNESDAY)

    returns = [0.10, 0.0, -0.10]  # Tuesday traded nothing and counts
    assert [close.return_fraction for close in report.closing_equity] == pytest.approx(returns)
    assert report.sharpe == pytest.approx(statistics.mean(returns) / statistics.stdev(returns) * math.sqrt(252))
    assert report_data(desk, ACCOUNT, MONDAY).sharpe == 0.0  # one return says nothing (S0-47)


def test_e33_the_last_day_counts_and_days_are_exchange_dates(ledger: SqlLedger, desk: ReportDesk) -> None:
    late = datetime(2025, 6, 12, 1, 30, tzinfo=UTC)  # still Wednesday in New York
    with ledger.transaction() as tx:
        for session in (MONDAY, TUESDAY, WEDNESDAY):
            record_session(tx, session)
        record_trade(tx, "MON", MONDAY, net_usd=1)
        record_trade(tx, "TUE", TUESDAY, net_usd=10)
        record_trade(tx, "WED", WEDNESDAY, net_usd=100, exit_at=late)

    last = report_data(desk, ACCOUNT, WEDNESDAY)

    assert last.net_usd == NetPnl(dec(100), dec(111), dec(111), dec(111))
    assert report_data(desk, ACCOUNT, TUESDAY).net_usd.week == 11  # what came later is not yet known
    assert record_daily_performance(ledger, ACCOUNT, WEDNESDAY, clock=CLOCK).trades == 1


def test_the_week_begins_on_monday_and_the_month_on_the_first(ledger: SqlLedger, desk: ReportDesk) -> None:
    friday, may = date(2025, 6, 6), date(2025, 5, 30)
    with ledger.transaction() as tx:
        for session in (may, friday, TUESDAY):
            record_session(tx, session)
            record_trade(tx, "XYZ", session, net_usd=100)

    net = report_data(desk, ACCOUNT, TUESDAY).net_usd

    assert net == NetPnl(dec(100), dec(100), dec(200), dec(300))


def test_e34_the_curve_starts_at_the_opening_equity_and_holds_cash_and_positions(
    ledger: SqlLedger, desk: ReportDesk
) -> None:
    with ledger.transaction() as tx:
        record_session(tx, equity_usd=100_000)
        record_equity(tx, SESSION, 100_000, 80_000, 120_000)

    report = report_data(desk, ACCOUNT, SESSION)

    assert report.max_drawdown_fraction == pytest.approx(-0.2)  # measured from the opening equity
    assert report.total_return_fraction == pytest.approx(0.2)
    assert [point.equity_usd for point in report.equity] == [100_000, 80_000, 120_000]
    assert report.cash_usd + report.positions_usd == report.daily.closing_equity_usd


def test_e37_the_journal_gives_each_trade_its_own_reason(ledger: SqlLedger, desk: ReportDesk) -> None:
    with ledger.transaction() as tx:
        record_session(tx)
        record_trade(tx, "AAA", net_usd=50)
        setup = record_setup(tx, "BBB", grade="A", score=66.6, state="BottomSoon")
        record_fill(tx, record_entry(tx, setup, cum_qty=Decimal(100)))

    journal = report_data(desk, ACCOUNT, SESSION).journal

    entries = {line.symbol: line for line in journal if line.kind == "entry"}
    assert "A+ setup: score 80.50" in entries["AAA"].text
    assert "A setup: score 66.60" in entries["BBB"].text
    assert (entries["BBB"].grade, entries["BBB"].score, entries["BBB"].state) == ("A", 66.6, "BottomSoon")
    (sold,) = [line for line in journal if line.kind == "exit"]
    assert "(target)" in sold.text
    assert "+50.00 USD" in sold.text
    assert "+0.25 R" in sold.text


def test_e38_any_recorded_session_can_be_filled_in_later_with_the_same_row(market: TradedMarket) -> None:
    ledger, clock = market.workspace.ledger, market.workspace.clock
    first = [record_daily_performance(ledger, market.account, s, clock=clock) for s in market.sessions]

    later = FixedClock(clock.now() + timedelta(days=30))
    again = [record_daily_performance(ledger, market.account, s, clock=later) for s in reversed(market.sessions)]

    assert again == first[::-1]
    with ledger.read() as tx:
        assert list(tx.daily_performance(market.account)) == first
    assert sum(daily.trades for daily in first) > 0


def test_a_result_that_changed_replaces_the_stored_one(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        record_session(tx)
    record_daily_performance(ledger, ACCOUNT, SESSION, clock=CLOCK)
    with ledger.transaction() as tx:
        record_trade(tx, "XYZ")

    assert record_daily_performance(ledger, ACCOUNT, SESSION, clock=CLOCK).trades == 1


def test_a_session_not_on_record_says_what_to_run(ledger: SqlLedger, desk: ReportDesk) -> None:
    with pytest.raises(MissingResultError, match=r"no session is on record.*session replay --session 2025-06-10"):
        record_daily_performance(ledger, ACCOUNT, SESSION, clock=CLOCK)
    with ledger.transaction() as tx:
        record_session(tx, MONDAY)

    with pytest.raises(MissingResultError, match="1 sessions are on record, 2025-06-09 to 2025-06-09"):
        report_data(desk, ACCOUNT, SESSION)


def test_an_open_position_shows_what_a_trader_asks(ledger: SqlLedger, desk: ReportDesk) -> None:
    with ledger.transaction() as tx:
        record_session(tx)
        order = record_entry(tx, record_setup(tx, "XYZ"), cum_qty=Decimal(100))
        record_fill(tx, order, executed_at=opens_at(SESSION) + timedelta(hours=1))
    start = opens_at(SESSION) + timedelta(hours=2)
    desk.bars.write(a_bar("XYZ", start, close=51.0), Timeframe.MIN5, known_at=None)

    (held,) = report_data(desk, ACCOUNT, SESSION).open_positions

    assert (held.symbol, held.quantity, held.entry_px, held.price) == ("XYZ", dec(100), dec(50), dec(51))
    assert (held.stop, held.target, held.open_risk_usd) == (dec(48), dec(56), dec(200))
    assert (held.unrealized_usd, held.unrealized_fraction, held.r_multiple) == (dec(100), dec("0.02"), dec("0.5"))
    assert (held.score, held.state, held.entry_reason) == (80.5, "BottomActive", "A+ setup: score 80.50")


def a_bar(symbol: str, start: datetime, close: float) -> pd.DataFrame:
    instant = pd.Timestamp(start).as_unit("ns")
    return pd.DataFrame(
        {
            "symbol": [symbol],
            "session": pd.DatetimeIndex([start.date()]).as_unit("ns"),
            "start": pd.DatetimeIndex([instant]),
            "end": pd.DatetimeIndex([instant + pd.Timedelta(minutes=5)]),
            **{name: [close] for name in ("open", "high", "low", "close")},
            "volume": [1000.0],
            "vwap": [close],
            "trade_count": [10.0],
        }
    )


def test_the_benchmark_is_measured_from_the_close_before_the_first_session(market: TradedMarket) -> None:
    home, sessions = market.workspace, market.sessions
    days = [home.calendar.previous(sessions[0]), *sessions]
    closes = list(home.bars.view(Timeframe.DAY1, days, as_of=sessions[-1], symbols=["SPY"])["close"])

    benchmark = report_data(market.desk, market.account, sessions[-1]).benchmark

    assert benchmark is not None
    assert benchmark.total_return == pytest.approx(closes[-1] / closes[0] - 1)
    assert benchmark.session_return == pytest.approx(closes[-1] / closes[-2] - 1)


def test_without_benchmark_bars_there_is_no_comparison(ledger: SqlLedger, desk: ReportDesk) -> None:
    with ledger.transaction() as tx:
        record_session(tx)

    assert report_data(desk, ACCOUNT, SESSION).benchmark is None


def test_a_real_session_report_adds_up_and_is_plain_json(market: TradedMarket) -> None:
    reports = [report_data(market.desk, market.account, session) for session in market.sessions]

    for report in reports:
        require_consistent(report)
        assert json.loads(json.dumps(report_json(report), allow_nan=False))["account"] == market.account
    assert reports[0] == report_data(market.desk, market.account, market.sessions[0])
    assert any(report.trades for report in reports)


def require_consistent(report: SessionReport) -> None:
    assert report.daily.net_usd == report.net_usd.today == sum(trade.net_usd for trade in report.trades)
    assert report.daily.closing_equity_usd == report.closing_equity[-1].equity_usd
    assert report.cash_usd + report.positions_usd == report.daily.closing_equity_usd
    assert (
        report.daily.closing_equity_usd - report.daily.opening_equity_usd == report.daily.net_usd
    )  # flat at both ends
    assert len([line for line in report.journal if line.kind == "exit"]) == len(report.trades)
    assert all(chart.bars for chart in report.charts)
    assert (report.origin.decision_hash, len(report.origin.inputs)) != ("", 0)
    assert [setup.selected for setup in report.setups] == sorted((s.selected for s in report.setups), reverse=True)
