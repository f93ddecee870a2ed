"""What the core asks of the world. Adapters implement these; services know nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

import pandas as pd

from trading_pipeline.domain.market import Adjustment, MarketBar, Quote, SessionTimes, Timeframe
from trading_pipeline.domain.orders import (
    BracketRequest,
    ExecutionReport,
    Fill,
    Order,
    OrderRequest,
    OrdStatus,
)
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.trading_session import Intent, RiskEvent, SessionRecord


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Current instant, timezone-aware UTC."""

    def sleep_until(self, instant: datetime) -> None:
        """Return at or after `instant`; an accelerated clock jumps there."""


class TradingCalendar(Protocol):
    """Sessions of one exchange."""

    def sessions(self, first: date, last: date) -> Sequence[date]:
        """Every session from first to last, both included, ascending."""

    def is_session(self, day: date) -> bool:
        """True when the exchange opens on that date."""

    def times(self, session: date) -> SessionTimes:
        """Open and close of a session; raises NotASessionError for any other date."""

    def previous(self, session: date, count: int = 1) -> date:
        """The session `count` before this one."""

    def next(self, session: date, count: int = 1) -> date:
        """The session `count` after this one."""

    def holidays(self, first: date, last: date) -> Sequence[date]:
        """Weekdays between first and last, both included, on which the exchange is closed."""

    def session_of(self, instant: datetime) -> date:
        """The session whose exchange date the instant falls on, else the next one."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write of bars changed; unchanged rows are counted, not written again."""

    sessions: tuple[date, ...]
    new: int
    corrected: int
    unchanged: int


class BarStore(Protocol):
    """Bars on disk by timeframe and session; a correction is a new version of the row, and nothing is overwritten."""

    def sessions(self, timeframe: Timeframe) -> Sequence[date]:
        """Sessions with stored rows, ascending."""

    def base_timeframe(self) -> Timeframe | None:
        """The finest stored intraday timeframe, None when only daily bars (or none) are stored."""

    def last_end(self, timeframe: Timeframe, session: date) -> datetime | None:
        """End of the newest stored bar of the session, of any symbol; None when none is stored."""

    def write(
        self,
        bars: pd.DataFrame,
        timeframe: Timeframe,
        *,
        known_at: datetime | None,
        adjustment: Adjustment = Adjustment.RAW,
        adjusted_through: date | None = None,
    ) -> WriteResult:
        """Append what is new or different. known_at None: each bar was known at its own end."""

    def read(
        self,
        timeframe: Timeframe,
        sessions: Sequence[date],
        *,
        symbols: Sequence[str] | None = None,
        known_at: datetime | None = None,
    ) -> pd.DataFrame:
        """Rows as stored (newest version known at `known_at`; None: newest), by symbol, start: STORED_BAR_COLUMNS."""

    def view(
        self,
        timeframe: Timeframe,
        sessions: Sequence[date],
        *,
        as_of: date,
        symbols: Sequence[str] | None = None,
        known_at: datetime | None = None,
    ) -> pd.DataFrame:
        """Bars of any timeframe, rolled up where not stored, in the units of session `as_of` (back-adjusted)."""

    def content_hash(
        self, timeframe: Timeframe, sessions: Sequence[date], *, symbols: Sequence[str] | None = None
    ) -> str:
        """SHA-256 of the newest rows' content, whatever order or file they were delivered in."""

    def write_actions(self, actions: pd.DataFrame, *, known_at: datetime | None) -> int:
        """Append corporate actions (symbol, ex_date, kind split|dividend, value); returns how many were new."""

    def actions(self, *, known_at: datetime | None = None) -> pd.DataFrame:
        """All known corporate actions, sorted by symbol, ex_date."""


class ResearchStore(Protocol):
    """Frames derived from bars, one file per name and session, replaced atomically."""

    def write(self, name: str, session: date, frame: pd.DataFrame) -> None:
        """Replace the session's frame."""

    def read(self, name: str, session: date) -> pd.DataFrame:
        """The session's frame; raises MissingResultError when it was not made."""

    def sessions(self, name: str) -> Sequence[date]:
        """Sessions for which the frame exists, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as the venue sees it."""

    client_order_id: str
    venue_order_id: str
    symbol: str
    status: OrdStatus
    quantity: Decimal
    cum_qty: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """Shares of one symbol held at the venue and their average price (USD per share)."""

    symbol: str
    quantity: Decimal
    avg_px: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAccount:
    """The venue's own figures (USD)."""

    account: str
    cash_usd: Decimal
    equity_usd: Decimal
    buying_power_usd: Decimal


class Broker(Protocol):
    """All a service may ask of a venue. Every adapter passes contract_tests/broker.py."""

    name: str

    def submit(self, request: OrderRequest | BracketRequest) -> str:
        """Send; idempotent on `client_order_id`. Returns the venue's id of the entry.

        Raises OrderRefused (definitive) or OutcomeUnknown (query, never resend blindly).
        """

    def replace(
        self, client_order_id: str, *, stop_price: Decimal | None = None, limit_price: Decimal | None = None
    ) -> None:
        """Change prices of a working order atomically. Raises OrderRefused or OutcomeUnknown."""

    def cancel(self, client_order_id: str) -> None:
        """Ask to cancel; the outcome is an execution report. Cancelling what has ended does nothing."""

    def order(self, client_order_id: str) -> VenueOrder | None:
        """Look an order up, open or ended; None when the venue does not know it."""

    def open_orders(self) -> Sequence[VenueOrder]:
        """Every order the venue may still execute."""

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        """Reports that occurred at or after `since`, oldest first. Overlap is harmless: exec_id is unique."""

    def positions(self) -> Sequence[VenuePosition]:
        """Open positions."""

    def account(self) -> VenueAccount:
        """Cash, equity and buying power."""


class SimulatedMarket(Protocol):
    """The side of the simulated venue that only the market (never a strategy) may touch."""

    def on_bars(self, bars: Sequence[MarketBar], now: datetime) -> None:
        """Match working orders against bars that ended at `now`. Bars already seen change nothing."""

    def on_session_close(self, times: SessionTimes) -> None:
        """Expire the session's DAY orders. Doing it twice changes nothing."""

    def symbols_of_interest(self) -> frozenset[str]:
        """Symbols with working orders or positions."""


class BarFeed(Protocol):
    """Base bars of the running session in the venue's own (unadjusted) units."""

    def bar_ends(self, times: SessionTimes) -> Sequence[datetime]:
        """Instants at which base bars of the session end, ascending."""

    def bars_after(self, times: SessionTimes, since: Mapping[str, datetime], instant: datetime) -> Sequence[MarketBar]:
        """Each symbol's bars that end after its own `since`, up to `instant`: by symbol, then time.

        So a bar that is stored late is not lost; a symbol without trades has none.
        """

    def quotes(self, times: SessionTimes, instant: datetime, symbols: Iterable[str]) -> dict[str, Quote]:
        """Last close of each symbol at `instant`, quoted at its bar's end; a symbol not traded yet has none."""

    def base_minutes(self) -> int:
        """Length of a base bar in minutes."""


class LedgerTransaction(Protocol):
    """One database transaction. Every add_* returns True when the row is new, False when the identical row exists,
    and raises LedgerConflict when the identity exists with other content."""

    # scans
    def add_snapshot(self, snapshot: ScanSnapshot, setups: Sequence[Setup]) -> bool: ...
    def add_regime(self, regime: RegimeSnapshot) -> bool: ...
    def snapshots(
        self, session: date, *, config_hash: str | None = None, code_version: str | None = None
    ) -> Sequence[ScanSnapshot]:
        """Snapshots of the session, one per as_of (the last recorded), ascending by as_of.

        config_hash, code_version: only what was made under them; None: under any.
        """

    def snapshot_by_id(self, snapshot_id: str) -> ScanSnapshot | None: ...
    def setups(self, snapshot_id: str) -> Sequence[Setup]:
        """All scored setups of a snapshot by rank."""

    def setup(self, setup_id: str) -> Setup | None: ...
    def regimes(
        self, session: date, *, config_hash: str | None = None, code_version: str | None = None
    ) -> Sequence[RegimeSnapshot]:
        """Regime snapshots of the session, one per as_of (the last recorded), ascending by as_of.

        config_hash, code_version: only what was made under them; None: under any.
        """

    # decisions
    def add_plan(self, plan: TradePlan) -> bool: ...
    def plan(self, plan_id: str) -> TradePlan | None: ...
    def plans(self, account: str, session: date) -> Sequence[TradePlan]: ...
    def add_decision(self, decision: RiskDecision) -> bool: ...
    def decisions(self, account: str, session: date) -> Sequence[RiskDecision]: ...
    def add_intent(self, intent: Intent) -> bool: ...
    def intent(self, intent_id: str) -> Intent | None: ...
    def intents(self, account: str, session: date) -> Sequence[Intent]: ...

    # orders and executions
    def add_order(self, order: Order) -> bool: ...
    def order(self, client_order_id: str) -> Order | None: ...
    def children(self, client_order_id: str) -> Sequence[Order]:
        """Legs whose parent the order is, by leg."""

    def save_order(self, order: Order) -> None:
        """Store the order's new state; raises LedgerError when it was never added."""

    def claim_order(self, client_order_id: str, owner: str, fence: int) -> bool:
        """Compare-and-set PendingNew → sending by `owner`; False when somebody else holds it or it moved on."""

    def unsent_orders(self, account: str) -> Sequence[Order]:
        """Orders PendingNew and not claimed, or claimed and never acknowledged, oldest first."""

    def open_orders(self, account: str) -> Sequence[Order]: ...
    def orders(self, account: str, session: date) -> Sequence[Order]: ...
    def add_report(self, broker: str, report: ExecutionReport) -> bool: ...
    def reports(self, client_order_id: str) -> Sequence[ExecutionReport]:
        """What venues (and we ourselves) said about one order, oldest first."""

    def add_fill(self, fill: Fill) -> bool: ...
    def fills(self, account: str, *, session: date | None = None, symbol: str | None = None) -> Sequence[Fill]:
        """Fills in order of execution."""

    # positions, trades, results
    def positions(self, account: str) -> Sequence[Position]:
        """Open positions (a stored fold, equal to folding the fills)."""

    def save_position(self, position: Position) -> None: ...
    def add_trade(self, trade: Trade) -> bool: ...
    def trades(self, account: str, first: date | None = None, last: date | None = None) -> Sequence[Trade]: ...
    def trade(self, trade_id: str) -> Trade | None: ...
    def add_equity_point(self, point: EquityPoint) -> bool: ...
    def equity_points(
        self, account: str, first: date | None = None, last: date | None = None
    ) -> Sequence[EquityPoint]: ...
    def put_daily_performance(self, daily: DailyPerformance) -> bool:
        """Store a session's performance. The same content changes nothing (False); other content replaces it."""

    def daily_performance(
        self, account: str, first: date | None = None, last: date | None = None
    ) -> Sequence[DailyPerformance]: ...
    def add_risk_event(self, event: RiskEvent) -> bool: ...
    def risk_event(self, event_id: str) -> RiskEvent | None: ...
    def risk_events(self, account: str, session: date) -> Sequence[RiskEvent]: ...

    # sessions
    def session_record(self, account: str, session: date) -> SessionRecord | None: ...
    def save_session_record(self, record: SessionRecord) -> None: ...
    def session_records(self, account: str) -> Sequence[SessionRecord]:
        """Every session ever run for the account, ascending."""

    def row_counts(self) -> dict[str, int]:
        """Rows per table."""


class Ledger(Protocol):
    """The durable record. A transaction commits when its block ends without an exception, else rolls back."""

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        """Read and write."""

    def read(self) -> AbstractContextManager[LedgerTransaction]:
        """Read only."""
