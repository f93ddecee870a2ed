"""What a session's report holds: plain records, ready for a page, a table or JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import Trade
from trading_pipeline.domain.setups import RegimeSnapshot, Setup

STAGES = ("universe", "coarse", "scored", "watchlist", "planned", "approved", "submitted", "filled", "closed")
"""How far a symbol can come, each stage within the one before."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One symbol of the session: the furthest stage it reached, and why it went no further."""

    symbol: str
    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Funnel:
    """Distinct symbols per stage, and each symbol's one end.

    counts[stage] = counts[next stage] + the candidates that ended at the stage. Candidates are sorted by how far they
    came (furthest first), then by symbol.
    """

    session: date
    counts: dict[str, int]
    candidates: tuple[Candidate, ...]

    def reasons(self, stage: str) -> dict[str, int]:
        """Why symbols ended at a stage, the most frequent reason first, then by name."""
        found = Counter(candidate.reason for candidate in self.candidates if candidate.stage == stage)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, slots=True)
class NetPnl:
    """Net P&L (USD) of closed trades: the session, its week from Monday, its month, and all sessions so far."""

    today: Decimal
    week: Decimal
    month: Decimal
    all_time: Decimal


@dataclass(frozen=True, slots=True)
class WinRates:
    """Wins over wins and losses, by net P&L; None where there are neither."""

    today: float | None
    week: float | None
    month: float | None
    all_time: float | None


@dataclass(frozen=True, slots=True)
class ClosingEquity:
    """Account value (USD) at a session's last equity point, and its change over the session as a fraction."""

    session: date
    equity_usd: Decimal
    return_fraction: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The benchmark over the same sessions, close to close, as fractions."""

    symbol: str
    session_return: float | None
    total_return: float | None


@dataclass(frozen=True, slots=True)
class PriceBar:
    """A bar of a chart: USD per share in the units of the session, aware UTC instants."""

    start: datetime
    end: datetime
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True, slots=True)
class TradeChart:
    """The session's bars of one trade's symbol."""

    trade: Trade
    bars: tuple[PriceBar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionView:
    """An open position with all a trader asks about it; money in USD before commissions, R over the initial risk."""

    symbol: str
    trade_id: str
    opened_at: datetime
    entry_px: Decimal
    quantity: Decimal
    stop: Decimal | None
    target: Decimal | None
    price: Decimal | None
    priced_at: datetime | None
    unrealized_usd: Decimal
    unrealized_fraction: Decimal
    r_multiple: Decimal | None
    open_risk_usd: Decimal
    score: float | None
    state: str
    entry_reason: str


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the trading journal: an entry or an exit, in words."""

    at: datetime
    kind: str
    symbol: str
    text: str
    score: float | None
    state: str
    grade: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What produced the session: code, configuration and the newest input of its decisions."""

    code: str
    configuration: str
    run: str
    decision_hash: str
    inputs: dict[str, str]
    """Hash of what was known, by the instant of the snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """Everything there is to say about one session of one account."""

    account: str
    session: date
    opens_at: datetime
    closes_at: datetime
    phase: str
    daily: DailyPerformance
    net_usd: NetPnl
    total_return_fraction: float
    win_rates: WinRates
    sharpe: float
    max_drawdown_fraction: float
    profit_factor: float | None
    benchmark: Benchmark | None
    equity: tuple[EquityPoint, ...]
    closing_equity: tuple[ClosingEquity, ...]
    cash_usd: Decimal
    positions_usd: Decimal
    open_risk_usd: Decimal
    regimes: tuple[RegimeSnapshot, ...]
    funnel: Funnel
    setups: tuple[Setup, ...]
    charts: tuple[TradeChart, ...]
    journal: tuple[JournalEntry, ...]
    open_positions: tuple[PositionView, ...]
    origin: Origin
    remarks: tuple[str, ...] = ()
    """What has to be said of its end: closed while the venue was silent; what another session has booked."""

    @property
    def trades(self) -> tuple[Trade, ...]:
        """Trades closed in the session, in order of exit."""
        return tuple(chart.trade for chart in self.charts)
