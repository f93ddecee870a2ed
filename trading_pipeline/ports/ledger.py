"""The durable record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import Protocol

from trading_pipeline.domain.breaker import SessionPeak
from trading_pipeline.domain.control import Alert, AuditEntry, Block, Lease, TradingStateRecord
from trading_pipeline.domain.corporate import CashActivity, Split
from trading_pipeline.domain.orders import (
    ExecutionReport,
    Fill,
    Order,
)
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.submission import LastLook
from trading_pipeline.domain.trading_session import Intent, RiskEvent, SessionRecord
from trading_pipeline.ports.modes import ModeRecords

Decidable = TradePlan | RiskDecision | Intent | Order | Block | RiskEvent
"""What deciding on a watchlist leaves on record."""


class LedgerTransaction(ModeRecords, Protocol):
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
    def add_all(self, records: Sequence[Decidable]) -> Sequence[bool]:
        """What came of deciding, each as its add_* would record and tell it, in this order; far faster together."""

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

    def claim_orders(self, leaving: Mapping[str, datetime], owner: str, fence: int) -> frozenset[str]:
        """claim_order for each of these ids, whose submitted_at becomes the instant; those claimed here."""

    def orders_named(self, client_order_ids: Sequence[str]) -> Mapping[str, Order]:
        """Those of these orders that are on record, by id, in the order they were asked for."""

    def children_of(self, client_order_ids: Sequence[str]) -> Mapping[str, Sequence[Order]]:
        """The children of each of these orders, by leg."""

    def save_orders(self, orders: Sequence[Order]) -> None:
        """save_order for each; far faster together."""

    def add_reports(self, broker: str, reports: Sequence[ExecutionReport]) -> Sequence[bool]:
        """add_report for each, told in this order; far faster together."""

    def last_look(self, client_order_id: str) -> LastLook | None:
        """What decides whether an order may leave now, as it stood at one instant; None: never added."""

    def due_orders(self, account: str) -> Sequence[Order]:
        """Orders PendingNew or InDoubt that hang on no other order, oldest first."""

    def entries_left(self, account: str, session: date) -> Mapping[str, int]:
        """How many entries (buys that hang on no other order) of the session have left, by symbol."""

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
    def risk_events_named(self, event_ids: Sequence[str]) -> Sequence[RiskEvent]:
        """Those of these events that are on record, in no promised order."""

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
    def session_peak(self, account: str, session: date) -> SessionPeak | None:
        """None: it never rose above the opening."""

    def save_session_peak(self, peak: SessionPeak) -> None: ...
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

    def raise_alert(self, alert: Alert) -> bool:
        """As add_alert, unless its cause has raised one before, with whatever words: True when it is new."""

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

    def newest_numbers(self) -> dict[str, int]:
        """Number of the newest row of what is told to others later (audit_outbox, alerts); 0 where there is none."""

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
