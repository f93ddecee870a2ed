"""What the core asks of the world. Adapters implement these; services know nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from trading_pipeline.domain.control import Alert, AuditEntry, Block, Lease, TradingStateRecord
from trading_pipeline.domain.corporate import CashActivity, Split
from trading_pipeline.domain.market import Adjustment, MarketBar, Quote, SessionTimes, Timeframe
from trading_pipeline.domain.orders import (
    AnyRequest,
    ExecutionReport,
    Fill,
    Order,
    OrderType,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.domain.risk import RiskDecision, SymbolFacts
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.targets import SignalSet
from trading_pipeline.domain.trading_session import Intent, RiskEvent, SessionRecord

if TYPE_CHECKING:
    import pandas as pd


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


class MarketFacts(Protocol):
    """What limits and filters need to know of symbols besides prices: sectors, earnings, correlations, halts."""

    def facts(
        self, symbols: Iterable[str], held: Iterable[str], session: date, now: datetime
    ) -> Mapping[str, SymbolFacts]:
        """Facts of each of `symbols`, with its correlation to each of `held`; known before the session began.

        Never raises for what a source lacks: the facts say what is unknown or unusable, and why.
        """

    def prepare(self, session: date) -> None:
        """Read what the session's questions need, so that they are quick later. Never raises for what is missing."""

    def value_at_risk_usd(self, values_usd: Mapping[str, Decimal], session: date) -> Decimal | None:
        """Historical 1-day 95 % VaR of such holdings (USD by symbol); None when it is unknown."""


class ClientIdScope(StrEnum):
    """How long a venue knows our client_order_id: whether the same id may be sent again after a lost answer."""

    FOREVER = "forever"
    OPEN_ORDERS = "open_orders"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueCapabilities:
    """What a venue can do. Only with scope FOREVER does it refuse a second order under an id it has seen."""

    client_id_scope: ClientIdScope
    order_types: frozenset[OrderType]
    times_in_force: frozenset[TimeInForce]
    replaces_quantity: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as the venue sees it. `parent_id` is the client_order_id of a leg's entry, where the venue tells it."""

    client_order_id: str
    venue_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    status: OrdStatus
    quantity: Decimal
    cum_qty: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """Shares of one symbol held at the venue and their average price (USD per share)."""

    symbol: str
    quantity: Decimal
    avg_px: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAccount:
    """The venue's own figures (USD). settled_cash_usd: None where the venue does not tell (a margin account)."""

    account: str
    cash_usd: Decimal
    equity_usd: Decimal
    buying_power_usd: Decimal
    settled_cash_usd: Decimal | None = None


class Broker(Protocol):
    """All a service may ask of a venue. Every adapter passes contract_tests/broker.py."""

    name: str

    @property
    def capabilities(self) -> VenueCapabilities:
        """What this venue can do."""

    def submit(self, request: AnyRequest) -> str:
        """Send; idempotent on `client_order_id`. Returns the venue's id of the entry (of an OCO: of its stop).

        Raises OrderRefused (definitive) or OutcomeUnknown (query, never resend blindly).
        """

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        """Change prices or the whole quantity of a working order atomically. Raises OrderRefused or OutcomeUnknown."""

    def cancel(self, client_order_id: str) -> None:
        """Ask to cancel; the outcome is an execution report. Cancelling what has ended does nothing.

        Raises OrderRefused or OutcomeUnknown.
        """

    def order(self, client_order_id: str) -> VenueOrder | None:
        """Look an order up, open or ended; None when the venue does not know it. Raises OutcomeUnknown."""

    def open_orders(self) -> Sequence[VenueOrder]:
        """Every order the venue may still execute, legs included. Raises OutcomeUnknown."""

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        """Reports that occurred at or after `since`, oldest first. Overlap is harmless: exec_id is unique.

        Raises OutcomeUnknown.
        """

    def positions(self) -> Sequence[VenuePosition]:
        """Open positions. Raises OutcomeUnknown."""

    def account(self) -> VenueAccount:
        """Cash, equity and buying power. Raises OutcomeUnknown."""

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        """Dividends, fees, interest, deposits at or after `since`, oldest first. Raises OutcomeUnknown."""


class SimulatedMarket(Protocol):
    """The side of the simulated venue that only the market (never a strategy) may touch."""

    def on_bars(self, bars: Sequence[MarketBar], now: datetime) -> None:
        """Match working orders against bars that ended at `now`. Bars already seen change nothing."""

    def on_session_open(
        self, times: SessionTimes, splits: Mapping[str, Decimal], dividends: Mapping[str, Decimal]
    ) -> None:
        """Before the open of an ex-date: rescale holdings and resting orders, pay dividends (USD per share held).

        splits: new shares per old one by symbol. Doing it twice changes nothing.
        """

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

    def actions(self, times: SessionTimes) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal]]:
        """Splits (new shares for one old) and dividends (USD per share) with this ex-date, known before the open."""


class SignalProvider(Protocol):
    """Where external signals come from."""

    @property
    def name(self) -> str:
        """Source of its sets: one of domain.targets.SOURCES."""

    def signals(self, session: date, as_of: datetime) -> SignalSet:
        """The newest set known at `as_of`.

        Raises MissingResultError when there is none, SignalsError for broken rows.
        """


class LedgerTransaction(Protocol):
    """One database transaction. Every add_* returns True when the row is new, False when the identical row exists,
    and raises LedgerConflict when the identity exists with other content."""

    # scans
    def add_snapshot(self, snapshot: ScanSnapshot, setups: Sequence[Setup]) -> bool: ...
    def add_regime(self, regime: RegimeSnapshot) -> bool: ...
    def snapshots(
        self,
        session: date,
        *,
        config_hash: str | None = None,
        code_version: str | None = None,
        source: str = "sabr20",
    ) -> Sequence[ScanSnapshot]:
        """Snapshots of the session from one source, one per as_of (the last recorded), ascending by as_of.

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
        """Store the order's new state; raises LedgerError when it was never added.

        cum_qty may only fall by as much as recorded TradeCancel and TradeCorrect reports have taken back.
        """

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

    # what changes an account without an order
    def add_cash_activity(self, activity: CashActivity) -> bool: ...
    def cash_activities(self, account: str, *, session: date | None = None) -> Sequence[CashActivity]:
        """Cash movements besides fills, in order of occurrence."""

    def add_split(self, split: Split) -> bool: ...
    def splits(self, account: str, *, symbol: str | None = None) -> Sequence[Split]:
        """Splits of what the account held, in order of effect."""

    # who may act, and whether at all
    def lease(self, name: str) -> Lease | None:
        """The lease as last held, live or expired; None when nobody ever held it."""

    def take_lease(self, name: str, holder: str, now: datetime, seconds: int) -> Lease | None:
        """Compare-and-set: the lease when it was free, expired or the holder's own, else None.

        The token grows by one with every change of holder, and when an expired or released lease is taken again.
        """

    def renew_lease(self, lease: Lease, now: datetime, seconds: int) -> Lease | None:
        """The prolonged lease; None when it has expired or somebody took it over."""

    def release_lease(self, lease: Lease, now: datetime) -> None:
        """End it now; another holder's lease stays as it is."""

    def trading_state(self, account: str) -> TradingStateRecord | None:
        """None: never set, which means ACTIVE."""

    def set_trading_state(self, record: TradingStateRecord) -> None: ...
    def add_block(self, block: Block) -> bool: ...
    def blocks(self, account: str, *, symbol: str | None = None) -> Sequence[Block]:
        """Blocks in force, oldest first; with a symbol also those of the whole account."""

    def clear_block(self, block_id: str, at: datetime, by: str) -> bool:
        """True when it was in force and is not any more."""

    # told to others later, written now
    def add_audit(self, entry: AuditEntry) -> None:
        """Append to the outbox what has no row of its own.

        Decisions, intents, orders and their transitions, fills, cash, splits, risk events, blocks, changes of lease and
        of trading state leave their entry in the same transaction by themselves.
        """

    def audit_entries(self, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, AuditEntry]]:
        """Entries with their number, ascending, numbers above `after`."""

    def add_alert(self, alert: Alert) -> bool:
        """Risk events of severity WARNING and above leave one of their own."""

    def alerts(self, account: str, session: date | None = None) -> Sequence[Alert]:
        """In the order they were raised."""

    # reconciliation
    def add_reconciliation(self, passed: Reconciliation) -> bool: ...
    def last_reconciliation(self, account: str) -> Reconciliation | None: ...

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

    def fenced(self, lease: Lease) -> Ledger:
        """The same ledger, whose every writing transaction first makes sure, in the database, that the lease is held.

        Its transactions raise LeaseLost, and write nothing, once another holder has taken over or the lease expired.
        """
