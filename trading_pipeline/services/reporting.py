"""Reading the record: a session's performance as stored, and everything its report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from trading_pipeline.analytics import performance
from trading_pipeline.domain.alert_kinds import alert
from trading_pipeline.domain.control import Alert
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.market import Quote, Timeframe
from trading_pipeline.domain.money import ZERO, to_price
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint, summarise_day
from trading_pipeline.domain.positions import Trade
from trading_pipeline.domain.reports import (
    Benchmark,
    ClosingEquity,
    NetPnl,
    Origin,
    PriceBar,
    SessionReport,
    TradeChart,
    WinRates,
)
from trading_pipeline.domain.setups import ScanSnapshot, Setup
from trading_pipeline.domain.trades import whole_trades
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import BarStore, Clock, Ledger, LedgerTransaction, ResearchStore, TradingCalendar
from trading_pipeline.services.closing import remarks
from trading_pipeline.services.decision_log import Json, as_json
from trading_pipeline.services.funnel import session_funnel
from trading_pipeline.services.journal import held_at_close, total_open_risk, view_positions, write_journal

CHART_BARS = Timeframe.MIN15
TOP_SETUPS = 8


def record_daily_performance(ledger: Ledger, account: str, session: date, *, clock: Clock) -> DailyPerformance:
    """Compute a session's performance from its trades and equity points, store it, and return it as stored.

    Any session on record, at any time: the same record gives the same row, and a second run changes nothing.
    Raises MissingResultError when the session was not traded.
    """
    with ledger.transaction() as tx:
        record = require_session(tx, account, session)
        if tx.put_daily_performance(_summary(tx, record, computed_at=clock.now())):
            tx.raise_alert(_ready(record))
        return tx.daily_performance(account, session, session)[0]


def _ready(record: SessionRecord) -> Alert:
    """Of the session's last instant, whenever it is made: a report of long ago is no news."""
    return alert(
        "report_ready", account=record.account, session=record.session, at=record.cursor_at or record.started_at,
        message=f"the performance of session {record.session} is on record. See it: trading-pipeline report "
        f"--session {record.session}",
    )  # fmt: skip


def require_session(tx: LedgerTransaction, account: str, session: date) -> SessionRecord:
    """The record of a session; raises MissingResultError naming what is on record and what to run."""
    record = tx.session_record(account, session)
    if record is not None:
        return record
    known = [other.session.isoformat() for other in tx.session_records(account)]
    span = f"{len(known)} sessions are on record, {known[0]} to {known[-1]}" if known else "no session is on record"
    raise MissingResultError(
        f"session {session} of account {account} is not on record; {span}. "
        f"Trade it: trading-pipeline session replay --session {session}"
    )


def _summary(tx: LedgerTransaction, record: SessionRecord, *, computed_at: datetime) -> DailyPerformance:
    return summarise_day(
        tx.trades(record.account, record.session, record.session),
        tx.equity_points(record.account, record.session, record.session),
        account=record.account, session=record.session, opening_equity_usd=record.opening_equity_usd,
        computed_at=computed_at,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDesk:
    """Where reports read: the record, the research frames, the bars and the calendar."""

    ledger: Ledger
    frames: ResearchStore
    bars: BarStore
    calendar: TradingCalendar
    benchmark: str = "SPY"


def report_data(desk: ReportDesk, account: str, session: date) -> SessionReport:
    """Everything one session's report shows; nothing is stored, and the same record gives the same report.

    Figures "so far" end with this session, whatever was traded since. Raises MissingResultError when the session is
    not on record or its research frames are gone.
    """
    times = desk.calendar.times(session)
    with desk.ledger.read() as tx:
        record = require_session(tx, account, session)
        past = [other for other in tx.session_records(account) if other.session <= session]
        trades, points = tx.trades(account, None, session), tx.equity_points(account, None, session)
        today = tuple(point for point in points if point.session == session)
        snapshots, closing = tx.snapshots(session), _closing(past, points)
        held = held_at_close(tx, account, session)
        views = view_positions(tx, held, _last_quotes(desk, [position.symbol for position in held], session))
        return SessionReport(
            account=account, session=session, opens_at=times.opens_at, closes_at=times.closes_at,
            phase=record.phase.value, daily=_summary(tx, record, computed_at=times.closes_at),
            net_usd=_net_pnl(trades, session), total_return_fraction=_total_return(past, closing),
            win_rates=_win_rates(trades, session), sharpe=performance.sharpe(_returns(closing)),
            max_drawdown_fraction=performance.max_drawdown(_curve(past[0], points)),
            profit_factor=performance.profit_factor(_nets(whole_trades(trades))),
            benchmark=_benchmark(desk, [other.session for other in past]),
            equity=today, closing_equity=closing,
            cash_usd=today[-1].cash_usd if today else record.opening_cash_usd,
            positions_usd=today[-1].positions_usd if today else record.opening_equity_usd - record.opening_cash_usd,
            open_risk_usd=today[-1].open_risk_usd if today else total_open_risk(views),
            regimes=tuple(tx.regimes(session)), funnel=session_funnel(desk.frames, desk.ledger, account, session),
            setups=_top_setups(tx, snapshots), charts=_charts(desk, trades, session),
            journal=write_journal(tx, account, session), open_positions=views, origin=_origin(record, snapshots),
            remarks=remarks(tx, record),
        )  # fmt: skip


def _closing(past: Sequence[SessionRecord], points: Sequence[EquityPoint]) -> tuple[ClosingEquity, ...]:
    """Each session's last equity; one without points closes as it opened. Sessions without trades count (E-32)."""
    last = {point.session: point.equity_usd for point in points}
    equity = [last.get(record.session, record.opening_equity_usd) for record in past]
    index = pd.DatetimeIndex([record.session for record in past])
    curve = pd.Series([float(value) for value in equity], index=index, dtype="float64")
    returns = performance.daily_returns(curve, opening_equity_usd=float(past[0].opening_equity_usd))
    return tuple(
        ClosingEquity(record.session, value, float(change))
        for record, value, change in zip(past, equity, returns, strict=True)
    )


def _returns(closing: Sequence[ClosingEquity]) -> pd.Series[float]:
    return pd.Series([close.return_fraction for close in closing], dtype="float64")


def _total_return(past: Sequence[SessionRecord], closing: Sequence[ClosingEquity]) -> float:
    return float(closing[-1].equity_usd / past[0].opening_equity_usd - 1)


def _curve(first: SessionRecord, points: Sequence[EquityPoint]) -> pd.Series[float]:
    """All equity points so far, beginning with the account's opening equity (E-34)."""
    later = [point for point in points if point.at > first.started_at]
    index = pd.to_datetime([point.at for point in later], utc=True)
    curve = pd.Series([float(point.equity_usd) for point in later], index=index, dtype="float64")
    return performance.equity_curve(
        curve, opening_equity_usd=float(first.opening_equity_usd), opened_at=first.started_at
    )


def _nets(trades: Sequence[Trade]) -> pd.Series[float]:
    return pd.Series([float(trade.net_usd) for trade in trades], dtype="float64")


def _since(trades: Sequence[Trade], session: date) -> dict[str, list[Trade]]:
    """Trades of the session, of its week from Monday, of its month, and all: by exchange date, both ends included."""
    starts = {
        "today": session,
        "week": session - timedelta(days=session.weekday()),
        "month": session.replace(day=1),
        "all_time": date.min,
    }
    return {name: [trade for trade in trades if trade.session >= first] for name, first in starts.items()}


def _net_pnl(trades: Sequence[Trade], session: date) -> NetPnl:
    return NetPnl(**{name: sum((t.net_usd for t in some), ZERO) for name, some in _since(trades, session).items()})


def _win_rates(trades: Sequence[Trade], session: date) -> WinRates:
    since = {name: whole_trades(some) for name, some in _since(trades, session).items()}
    return WinRates(**{name: performance.win_rate(_nets(some)) for name, some in since.items()})


def _benchmark(desk: ReportDesk, sessions: Sequence[date]) -> Benchmark | None:
    """The benchmark in the newest session and over all, from the close before each; None when it has no bars."""
    first, last = desk.calendar.previous(sessions[0]), sessions[-1]
    wanted = sorted({first, desk.calendar.previous(last), last})
    bars = desk.bars.view(Timeframe.DAY1, wanted, as_of=last, symbols=[desk.benchmark])
    closes = {pd.Timestamp(day).date(): float(close) for day, close in zip(bars["session"], bars["close"], strict=True)}
    if not closes:
        return None
    today, yesterday = closes.get(last), closes.get(desk.calendar.previous(last))
    return Benchmark(desk.benchmark, _change(yesterday, today), _change(closes.get(first), today))


def _change(base: float | None, last: float | None) -> float | None:
    return last / base - 1.0 if base and last else None


def _last_quotes(desk: ReportDesk, symbols: Sequence[str], session: date) -> dict[str, Quote]:
    """The session's last close of each symbol."""
    bars = desk.bars.view(CHART_BARS, [session], as_of=session, symbols=symbols) if symbols else pd.DataFrame()
    if bars.empty:
        return {}
    last = bars.groupby("symbol", sort=True).tail(1)
    rows = zip(last["symbol"], last["close"], last["end"], strict=True)
    return {symbol: Quote(symbol, to_price(close), end.to_pydatetime()) for symbol, close, end in rows}


def _top_setups(tx: LedgerTransaction, snapshots: Sequence[ScanSnapshot]) -> tuple[Setup, ...]:
    """Each symbol's best setup of the session; the highest scores among them, the listed ones first."""
    best: dict[str, Setup] = {}
    for snapshot in snapshots:
        for setup in tx.setups(snapshot.snapshot_id):
            known = best.get(setup.symbol)
            if known is None or (setup.selected, setup.score) > (known.selected, known.score):
                best[setup.symbol] = setup
    return tuple(sorted(best.values(), key=lambda s: (not s.selected, -s.score, s.symbol))[:TOP_SETUPS])


def _charts(desk: ReportDesk, trades: Sequence[Trade], session: date) -> tuple[TradeChart, ...]:
    mine = whole_trades(trade for trade in trades if trade.session == session)
    symbols = sorted({trade.symbol for trade in mine})
    bars = desk.bars.view(CHART_BARS, [session], as_of=session, symbols=symbols) if symbols else pd.DataFrame()
    rows = {str(symbol): _price_bars(part) for symbol, part in bars.groupby("symbol")} if len(bars) else {}
    return tuple(TradeChart(trade, rows.get(trade.symbol, ())) for trade in mine)


def _price_bars(bars: pd.DataFrame) -> tuple[PriceBar, ...]:
    return tuple(
        PriceBar(
            row["start"].to_pydatetime(), row["end"].to_pydatetime(),
            float(row["open"]), float(row["high"]), float(row["low"]), float(row["close"]),
        )
        for row in bars.to_dict(orient="records")
    )  # fmt: skip


def _origin(record: SessionRecord, snapshots: Sequence[ScanSnapshot]) -> Origin:
    return Origin(
        code=record.code_version, configuration=record.config_hash, run=record.run_id,
        decision_hash=record.decision_hash,
        inputs={snapshot.as_of.isoformat(): snapshot.input_hash for snapshot in snapshots},
    )  # fmt: skip


def report_json(report: SessionReport) -> dict[str, Json]:
    """The report as plain JSON values: decimals and instants as text; trades without the bars of their charts."""
    fields = as_json(report)
    fields.pop("charts")
    return {**fields, "trades": [as_json(trade) for trade in report.trades]}
