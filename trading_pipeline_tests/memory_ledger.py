"""The ledger in plain dictionaries: what the SQL one must equal, and quick enough for a million steps of a machine.

Same answers, conflicts, audit entries and alerts; what only a database has (types, bounds, causes that must be on
record) it does not check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from trading_pipeline.adapters import ledger_outbox as outbox
from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_records import Kind
from trading_pipeline.domain import alert_causes
from trading_pipeline.domain.breaker import SessionPeak
from trading_pipeline.domain.control import Alert, AuditEntry, Block, Lease, TradingState, TradingStateRecord
from trading_pipeline.domain.corporate import CashActivity, Split
from trading_pipeline.domain.errors import LeaseLost, LedgerConflict
from trading_pipeline.domain.orders import Order
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import TradePlan
from trading_pipeline.domain.submission import LastLook
from trading_pipeline.domain.trading_session import Intent, RiskEvent, SessionRecord
from trading_pipeline.ports import Decidable, Ledger
from trading_pipeline_tests.memory_modes import ModeRows
from trading_pipeline_tests.memory_rows import GONE, INDEXES, TABLES, Journal, Rows


def _real_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class MemoryLedger:
    """Implements Ledger. What a transaction wrote is taken back when it does not commit. One thread."""

    rows: Rows = field(default_factory=lambda: {name: {} for name in (*TABLES, *INDEXES)})
    lease: Lease | None = None
    now: Callable[[], datetime] = _real_now

    @contextmanager
    def transaction(self) -> Iterator[MemoryTransaction]:
        journal: Journal = []
        tx = MemoryTransaction(self.rows, journal)
        self._require_lease(tx)
        try:
            yield tx
        except BaseException:
            for table, key, before in reversed(journal):
                if before is GONE:
                    del table[key]
                else:
                    table[key] = before
            raise

    @contextmanager
    def read(self) -> Iterator[MemoryTransaction]:
        yield MemoryTransaction(self.rows, None)

    def fenced(self, lease: Lease) -> Ledger:
        return MemoryLedger(self.rows, lease, self.now)

    def _require_lease(self, tx: MemoryTransaction) -> None:
        if self.lease is None:
            return
        held = tx.lease(self.lease.name)
        if held is None or (held.holder, held.token) != (self.lease.holder, self.lease.token):
            raise LeaseLost(f"{self.lease.holder} holds {self.lease.name} no more: {held} does")
        if not held.is_live(self.now()):
            raise LeaseLost(f"the lease {held.name} of {held.holder} expired at {held.expires_at:%H:%M:%S} UTC")


class MemoryTransaction(ModeRows):
    """Implements LedgerTransaction over dictionaries, whose order is the order of recording."""

    # positions, trades, results

    def positions(self, account: str) -> Sequence[Position]:
        held = [self._rows["positions"][name] for name in self._rows["open positions"].values() if name]
        found = [position for position in held if position.account == account]
        return sorted(found, key=lambda position: (position.symbol, position.trade_id))

    def save_position(self, position: Position) -> None:
        place = (position.account, position.symbol)
        other = self._rows["open positions"].get(place)
        if position.quantity > 0 and other not in {None, position.trade_id}:
            raise LedgerConflict(f"positions: another row has the same identity, {place} is open in {other}")
        self._put("positions", position.trade_id, position)
        if position.quantity > 0 or other == position.trade_id:
            self._put("open positions", place, position.trade_id if position.quantity > 0 else None)

    def add_trade(self, trade: Trade) -> bool:
        return self._add(kinds.TRADES, trade)

    def trades(self, account: str, first: date | None = None, last: date | None = None) -> Sequence[Trade]:
        return sorted(self._between(kinds.TRADES, account, first, last), key=lambda t: (t.exit_at, t.entry_at))

    def trade(self, trade_id: str) -> Trade | None:
        return self._one(kinds.TRADES, trade_id)  # type: ignore[no-any-return]

    def add_equity_point(self, point: EquityPoint) -> bool:
        return self._add(kinds.EQUITY, point, (point.account, point.at))

    def equity_points(self, account: str, first: date | None = None, last: date | None = None) -> Sequence[EquityPoint]:
        return sorted(self._between(kinds.EQUITY, account, first, last), key=lambda point: point.at)

    def put_daily_performance(self, daily: DailyPerformance) -> bool:
        key = (daily.account, daily.session)
        known = self._one(kinds.DAILY, key)
        if known is not None and replace(daily, computed_at=known.computed_at) == known:
            return False
        self._put(kinds.DAILY.table.name, key, daily)
        return True

    def daily_performance(
        self, account: str, first: date | None = None, last: date | None = None
    ) -> Sequence[DailyPerformance]:
        return sorted(self._between(kinds.DAILY, account, first, last), key=lambda daily: daily.session)

    def _between(self, kind: Kind[Any], account: str, first: date | None, last: date | None) -> list[Any]:
        return self._find(
            kind,
            lambda row: (
                row.account == account
                and (first is None or row.session >= first)
                and (last is None or row.session <= last)
            ),
        )

    def add_risk_event(self, event: RiskEvent) -> bool:
        if not self._add(kinds.RISK_EVENTS, event):
            return False
        self._append("events of", (event.account, event.session), event)
        alert = alert_causes.of_event(event)
        if alert is not None and event.event_id not in self._rows["alerts"]:
            self._put("alerts", event.event_id, alert)
        return True

    def risk_event(self, event_id: str) -> RiskEvent | None:
        return self._one(kinds.RISK_EVENTS, event_id)  # type: ignore[no-any-return]

    def risk_events_named(self, event_ids: Sequence[str]) -> Sequence[RiskEvent]:
        return [event for event_id in event_ids if (event := self.risk_event(event_id)) is not None]

    def risk_events(self, account: str, session: date) -> Sequence[RiskEvent]:
        return self._of("events of", (account, session))

    # what changes an account without an order

    def add_cash_activity(self, activity: CashActivity) -> bool:
        return self._add(kinds.CASH, activity, (activity.broker, activity.activity_id))

    def cash_activities(self, account: str, *, session: date | None = None) -> Sequence[CashActivity]:
        found = self._find(kinds.CASH, lambda a: a.account == account and session in (None, a.session))
        return sorted(found, key=lambda activity: activity.occurred_at)

    def add_split(self, split: Split) -> bool:
        return self._add(kinds.SPLITS, split, (split.account, split.symbol, split.ex_date))

    def splits(self, account: str, *, symbol: str | None = None) -> Sequence[Split]:
        found = self._find(kinds.SPLITS, lambda s: s.account == account and symbol in (None, s.symbol))
        return sorted(found, key=lambda split: split.effective_at)

    # who may act, and whether at all

    def lease(self, name: str) -> Lease | None:
        return self._one(kinds.LEASES, name)  # type: ignore[no-any-return]

    def take_lease(self, name: str, holder: str, now: datetime, seconds: int) -> Lease | None:
        held = self.lease(name)
        if held is not None and held.is_live(now):
            return self.renew_lease(held, now, seconds) if held.holder == holder else None
        taken = Lease(
            name=name, holder=holder, token=held.token + 1 if held else 1, acquired_at=now, heartbeat_at=now,
            expires_at=now + timedelta(seconds=seconds),
        )  # fmt: skip
        self._put(kinds.LEASES.table.name, name, taken)
        self._tell(lambda: outbox.lease_entry("lease_taken", taken, now))
        return taken

    def renew_lease(self, lease: Lease, now: datetime, seconds: int) -> Lease | None:
        if not self._change_lease(lease, now, heartbeat_at=now, expires_at=now + timedelta(seconds=seconds)):
            return None
        return replace(lease, heartbeat_at=now, expires_at=now + timedelta(seconds=seconds))

    def release_lease(self, lease: Lease, now: datetime) -> None:
        if self._change_lease(lease, now, expires_at=now):
            self._tell(lambda: outbox.lease_entry("lease_released", lease, now))

    def _change_lease(self, lease: Lease, now: datetime, **times: Any) -> bool:
        held = self.lease(lease.name)
        if held is None or (held.holder, held.token) != (lease.holder, lease.token) or not held.is_live(now):
            return False
        self._put(kinds.LEASES.table.name, lease.name, replace(held, **times))
        return True

    def trading_state(self, account: str) -> TradingStateRecord | None:
        return self._one(kinds.STATES, account)  # type: ignore[no-any-return]

    def session_peak(self, account: str, session: date) -> SessionPeak | None:
        return self._one(kinds.PEAKS, (account, session))  # type: ignore[no-any-return]

    def save_session_peak(self, peak: SessionPeak) -> None:
        self._put(kinds.PEAKS.table.name, (peak.account, peak.session), peak)

    def set_trading_state(self, record: TradingStateRecord) -> None:
        before = self.trading_state(record.account)
        if before != record:
            self._put(kinds.STATES.table.name, record.account, record)
            self._tell(lambda: outbox.state_entry(before, record))

    def last_look(self, client_order_id: str) -> LastLook | None:
        order = self.order(client_order_id)
        if order is None:
            return None
        state = self.trading_state(order.account)
        blocks = self.blocks(order.account, symbol=order.symbol)
        return LastLook(order.status, state.state if state else TradingState.ACTIVE, blocks)

    def add_all(self, records: Sequence[Decidable]) -> Sequence[bool]:
        add: dict[type, Callable[[Any], bool]] = {
            TradePlan: self.add_plan, RiskDecision: self.add_decision, Intent: self.add_intent, Order: self.add_order,
            Block: self.add_block, RiskEvent: self.add_risk_event,
        }  # fmt: skip
        return [add[type(record)](record) for record in records]

    def add_block(self, block: Block) -> bool:
        return self._add(kinds.BLOCKS, block)

    def blocks(self, account: str, *, symbol: str | None = None) -> Sequence[Block]:
        found = self._find(
            kinds.BLOCKS,
            lambda b: b.account == account and b.cleared_at is None and (symbol is None or b.symbol in ("", symbol)),
        )
        return sorted(found, key=lambda block: block.since)

    def clear_block(self, block_id: str, at: datetime, by: str) -> bool:
        block = self._one(kinds.BLOCKS, block_id)
        if block is None or block.cleared_at is not None:
            return False
        cleared = replace(block, cleared_at=at, cleared_by=by)
        self._put("blocks", block_id, cleared)
        self._tell(lambda: outbox.cleared_entry(cleared, at, by))
        return True

    # told to others later, written now

    def add_audit(self, entry: AuditEntry) -> None:
        self._tell(lambda: entry)

    def audit_entries(self, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, AuditEntry]]:
        told = self._rows[kinds.AUDIT.table.name]
        return [(number, told[number]()) for number in range(after + 1, min(len(told), after + limit) + 1)]

    def add_alert(self, alert: Alert) -> bool:
        is_new = self._add(kinds.ALERTS, alert)
        if is_new:
            self._tell(lambda: outbox.alert_entry(alert))
        return is_new

    def raise_alert(self, alert: Alert) -> bool:
        self._written()
        return alert.alert_id not in self._rows["alerts"] and self.add_alert(alert)

    def alerts(self, account: str, session: date | None = None) -> Sequence[Alert]:
        return self._find(kinds.ALERTS, lambda a: a.account == account and session in (None, a.session))

    # reconciliation

    def add_reconciliation(self, passed: Reconciliation) -> bool:
        return self._add(kinds.RECONCILIATIONS, passed, (passed.account, passed.at))

    def last_reconciliation(self, account: str) -> Reconciliation | None:
        newest = reversed(self._rows[kinds.RECONCILIATIONS.table.name].values())
        return max((r for r in newest if r.account == account), key=lambda passed: passed.at, default=None)

    # sessions

    def session_record(self, account: str, session: date) -> SessionRecord | None:
        return self._one(kinds.SESSIONS, (account, session))  # type: ignore[no-any-return]

    def save_session_record(self, record: SessionRecord) -> None:
        self._put(kinds.SESSIONS.table.name, (record.account, record.session), record)

    def session_records(self, account: str) -> Sequence[SessionRecord]:
        return sorted(self._find(kinds.SESSIONS, lambda r: r.account == account), key=lambda record: record.session)

    def newest_numbers(self) -> dict[str, int]:
        return {name: len(self._rows[name]) for name in ("alerts", "audit_outbox")}

    def row_counts(self) -> dict[str, int]:
        return {name: len(self._rows[name]) for name in sorted(TABLES)}
