"""The ledger's section of positions, trades, cash and results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import bindparam

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_records import upsert
from trading_pipeline.adapters.ledger_rows import Rows
from trading_pipeline.adapters.ledger_statements import filled, identified, named
from trading_pipeline.domain.corporate import CashActivity, Split
from trading_pipeline.domain.errors import LedgerConflict
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.domain.trading_session import RiskEvent, SessionRecord

_POSITIONS, _PASSES = kinds.POSITIONS.table.c, kinds.RECONCILIATIONS.table.c

# Made once: building a statement costs more than sending it.
HELD = (
    kinds.POSITIONS.select()
    .where(_POSITIONS.account == bindparam("account"), _POSITIONS.quantity > ZERO)
    .order_by(_POSITIONS.opened_at)
)
LAST_PASS = (
    kinds.RECONCILIATIONS.select().where(_PASSES.account == bindparam("account")).order_by(_PASSES.at.desc()).limit(1)
)
MOST_NAMED = 10_000
"""Identities asked for in one statement; SQLite takes 32,766."""
FEW = 10
"""Events asked for by name in a statement that is made once: notes are, in every round."""
EVENTS = kinds.RISK_EVENTS.select().where(named(kinds.RISK_EVENTS.table.c.event_id, FEW))


class PositionRows(Rows):
    """What is held, what was closed, and what changes an account without an order."""

    def positions(self, account: str) -> Sequence[Position]:
        """Open positions, by symbol."""
        found = kinds.POSITIONS.found(self._wire, HELD, {"account": account})
        return sorted(found, key=lambda position: (position.symbol, position.trade_id))

    def save_position(self, position: Position) -> None:
        self._put(kinds.POSITIONS, position)

    def add_trade(self, trade: Trade) -> bool:
        return self._add(kinds.TRADES, trade)

    def trades(self, account: str, first: date | None = None, last: date | None = None) -> Sequence[Trade]:
        """Trades of the sessions from first to last, both included, in order of exit."""
        columns = kinds.TRADES.table.c
        return self._between(kinds.TRADES, account, first, last, order=(columns.exit_at, columns.entry_at))

    def trade(self, trade_id: str) -> Trade | None:
        return self._one(kinds.TRADES, trade_id)

    def add_cash_activity(self, activity: CashActivity) -> bool:
        return self._add(kinds.CASH, activity)

    def cash_activities(self, account: str, *, session: date | None = None) -> Sequence[CashActivity]:
        """Cash movements besides fills, in order of occurrence."""
        columns = kinds.CASH.table.c
        return self._between(kinds.CASH, account, session, session, order=(columns.occurred_at, columns.record_no))

    def add_split(self, split: Split) -> bool:
        return self._add(kinds.SPLITS, split)

    def splits(self, account: str, *, symbol: str | None = None) -> Sequence[Split]:
        """Splits of what the account held, in order of effect."""
        columns = kinds.SPLITS.table.c
        return self._equal(kinds.SPLITS, (columns.effective_at, columns.record_no), account=account, symbol=symbol)


class ResultRows(Rows):
    """Equity, performance, risk events, reconciliations and how far sessions got."""

    def add_equity_point(self, point: EquityPoint) -> bool:
        return self._add(kinds.EQUITY, point)

    def equity_points(self, account: str, first: date | None = None, last: date | None = None) -> Sequence[EquityPoint]:
        """Equity points of the sessions from first to last, both included, ascending."""
        return self._between(kinds.EQUITY, account, first, last, order=(kinds.EQUITY.table.c.at,))

    def put_daily_performance(self, daily: DailyPerformance) -> bool:
        """Store a session's performance. The same content changes nothing (False); other content replaces it."""
        try:
            return self._add(kinds.DAILY, daily)
        except LedgerConflict:
            upsert(self._connection, kinds.DAILY, daily)
            return True

    def daily_performance(
        self, account: str, first: date | None = None, last: date | None = None
    ) -> Sequence[DailyPerformance]:
        """Performance of the sessions from first to last, both included, ascending."""
        return self._between(kinds.DAILY, account, first, last, order=(kinds.DAILY.table.c.session,))

    def add_risk_event(self, event: RiskEvent) -> bool:
        return self._add(kinds.RISK_EVENTS, event)

    def risk_event(self, event_id: str) -> RiskEvent | None:
        return self._one(kinds.RISK_EVENTS, event_id)

    def risk_events_named(self, event_ids: Sequence[str]) -> Sequence[RiskEvent]:
        if 0 < len(event_ids) <= FEW:
            return kinds.RISK_EVENTS.found(self._wire, EVENTS, identified(filled(event_ids, FEW)))
        known = kinds.RISK_EVENTS.table.c.event_id
        parts = (event_ids[first : first + MOST_NAMED] for first in range(0, len(event_ids), MOST_NAMED))
        return [event for part in parts for event in self._all(kinds.RISK_EVENTS, known.in_(part))]

    def risk_events(self, account: str, session: date) -> Sequence[RiskEvent]:
        return self._of_session(kinds.RISK_EVENTS, account, session)

    def add_reconciliation(self, passed: Reconciliation) -> bool:
        return self._add(kinds.RECONCILIATIONS, passed)

    def last_reconciliation(self, account: str) -> Reconciliation | None:
        """The newest pass by its instant."""
        found = kinds.RECONCILIATIONS.found(self._wire, LAST_PASS, {"account": account})
        return found[0] if found else None

    def session_record(self, account: str, session: date) -> SessionRecord | None:
        found = self._between(kinds.SESSIONS, account, session, session, order=())
        return found[0] if found else None

    def save_session_record(self, record: SessionRecord) -> None:
        self._put(kinds.SESSIONS, record)

    def session_records(self, account: str) -> Sequence[SessionRecord]:
        """Every session ever run for the account, ascending."""
        return self._between(kinds.SESSIONS, account, None, None, order=(kinds.SESSIONS.table.c.session,))
