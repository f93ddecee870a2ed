"""One database transaction of the ledger: ports.LedgerTransaction in SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, func, select, update

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_records import Kind, insert_many, insert_or_verify, upsert, verify
from trading_pipeline.adapters.tables import Base
from trading_pipeline.domain.errors import LedgerConflict, LedgerError
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import TERMINAL, ExecutionReport, Fill, Order, OrdStatus
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.trading_session import Intent, RiskEvent, SessionRecord

R = TypeVar("R")
S = TypeVar("S", ScanSnapshot, RegimeSnapshot)
Condition = ColumnElement[bool]


class SqlTransaction:
    """Reads and writes inside one transaction; made by SqlLedger, valid until its block ends."""

    def __init__(self, connection: Connection, *, writable: bool) -> None:
        self._connection = connection
        self._writable = writable

    # scans

    def add_snapshot(self, snapshot: ScanSnapshot, setups: Sequence[Setup]) -> bool:
        """Record a scan and all its setups together; the second time it must be the same scan."""
        if self._add(kinds.SNAPSHOTS, snapshot):
            insert_many(self._connection, kinds.SETUPS, setups)
            return True
        self._verify_setups(snapshot.snapshot_id, setups)
        return False

    def add_regime(self, regime: RegimeSnapshot) -> bool:
        return self._add(kinds.REGIMES, regime)

    def snapshots(
        self, session: date, *, config_hash: str | None = None, code_version: str | None = None
    ) -> Sequence[ScanSnapshot]:
        """Snapshots of the session, one per as_of (the last recorded under the given origin), ascending by as_of."""
        return self._newest_by_instant(kinds.SNAPSHOTS, session, config_hash, code_version)

    def snapshot_by_id(self, snapshot_id: str) -> ScanSnapshot | None:
        return self._one(kinds.SNAPSHOTS, snapshot_id)

    def setups(self, snapshot_id: str) -> Sequence[Setup]:
        """All scored setups of a snapshot by rank."""
        columns = kinds.SETUPS.table.c
        return self._all(kinds.SETUPS, columns.snapshot_id == snapshot_id, order=(columns.rank, columns.setup_id))

    def setup(self, setup_id: str) -> Setup | None:
        return self._one(kinds.SETUPS, setup_id)

    def regimes(
        self, session: date, *, config_hash: str | None = None, code_version: str | None = None
    ) -> Sequence[RegimeSnapshot]:
        """Regimes of the session, one per as_of (the last recorded under the given origin), ascending by as_of."""
        return self._newest_by_instant(kinds.REGIMES, session, config_hash, code_version)

    # decisions

    def add_plan(self, plan: TradePlan) -> bool:
        return self._add(kinds.PLANS, plan)

    def plan(self, plan_id: str) -> TradePlan | None:
        return self._one(kinds.PLANS, plan_id)

    def plans(self, account: str, session: date) -> Sequence[TradePlan]:
        return self._of_session(kinds.PLANS, account, session)

    def add_decision(self, decision: RiskDecision) -> bool:
        return self._add(kinds.DECISIONS, decision)

    def decisions(self, account: str, session: date) -> Sequence[RiskDecision]:
        plans, decisions = kinds.PLANS.table, kinds.DECISIONS.table
        query = kinds.DECISIONS.select().join(plans, plans.c.plan_id == decisions.c.plan_id)
        query = query.where(plans.c.account == account, plans.c.session == session).order_by(decisions.c.record_no)
        return kinds.DECISIONS.records(self._connection, query)

    def add_intent(self, intent: Intent) -> bool:
        return self._add(kinds.INTENTS, intent)

    def intent(self, intent_id: str) -> Intent | None:
        return self._one(kinds.INTENTS, intent_id)

    def intents(self, account: str, session: date) -> Sequence[Intent]:
        return self._of_session(kinds.INTENTS, account, session)

    # orders and executions

    def add_order(self, order: Order) -> bool:
        """Record an order; the second time what was asked must be the same, whatever became of it since."""
        asked = {column: getattr(order, field) for column, field in kinds.ASKED.items()}
        return self._add(kinds.ORDERS, order, **asked)

    def order(self, client_order_id: str) -> Order | None:
        return self._one(kinds.ORDERS, client_order_id)

    def children(self, client_order_id: str) -> Sequence[Order]:
        """Legs whose parent the order is, by leg."""
        legs = self._orders(kinds.ORDERS.table.c.parent_id == client_order_id)
        return sorted(legs, key=lambda order: order.leg.value)

    def save_order(self, order: Order) -> None:
        """Store the order's new state; raises LedgerError when it was never added, or shares would be lost."""
        recorded = self.order(order.client_order_id)
        if recorded is None:
            raise LedgerError(f"order {order.client_order_id} was never added to the ledger: add_order comes first.")
        if order.cum_qty < recorded.cum_qty:
            raise LedgerError(
                f"order {order.client_order_id} has {recorded.cum_qty} shares filled on record and {order.cum_qty} "
                "in the state to be stored: filled shares never go away. Read the order again and apply the reports."
            )
        self._save_state(recorded, order)

    def claim_order(self, client_order_id: str, owner: str, fence: int) -> bool:
        """Compare-and-set: True for the one caller that may send; a claim is never given twice, not even to `owner`."""
        self._require_writable()
        columns = kinds.ORDERS.table.c
        free = (columns.claim_owner.is_(None), columns.status == OrdStatus.PENDING_NEW)
        claim = update(kinds.ORDERS.table).where(columns.client_order_id == client_order_id, *free)
        return self._connection.execute(claim.values(claim_owner=owner, claim_fence=fence)).rowcount == 1

    def unsent_orders(self, account: str) -> Sequence[Order]:
        """Orders PendingNew and not claimed, or claimed and never acknowledged, oldest first."""
        columns = kinds.ORDERS.table.c
        return self._orders(columns.account == account, columns.status == OrdStatus.PENDING_NEW)

    def open_orders(self, account: str) -> Sequence[Order]:
        """Orders the venue may still execute (in doubt and unsent ones included), oldest first."""
        columns = kinds.ORDERS.table.c
        return self._orders(columns.account == account, columns.status.not_in(sorted(TERMINAL)))

    def orders(self, account: str, session: date) -> Sequence[Order]:
        columns = kinds.ORDERS.table.c
        return self._orders(columns.account == account, columns.session == session)

    def add_report(self, broker: str, report: ExecutionReport) -> bool:
        return self._add(kinds.REPORTS, report, broker=broker)

    def reports(self, client_order_id: str) -> Sequence[ExecutionReport]:
        """What was said about one order, oldest first."""
        columns = kinds.REPORTS.table.c
        where = columns.client_order_id == client_order_id
        return self._all(kinds.REPORTS, where, order=(columns.occurred_at, columns.record_no))

    def add_fill(self, fill: Fill) -> bool:
        return self._add(kinds.FILLS, fill)

    def fills(self, account: str, *, session: date | None = None, symbol: str | None = None) -> Sequence[Fill]:
        """Fills in order of execution."""
        columns = kinds.FILLS.table.c
        wanted = [columns.account == account]
        wanted += [columns.session == session] if session is not None else []
        wanted += [columns.symbol == symbol] if symbol is not None else []
        return self._all(kinds.FILLS, *wanted, order=(columns.executed_at, columns.record_no))

    # positions, trades, results

    def positions(self, account: str) -> Sequence[Position]:
        """Open positions, by symbol."""
        columns = kinds.POSITIONS.table.c
        found = self._all(
            kinds.POSITIONS, columns.account == account, columns.quantity > ZERO, order=(columns.opened_at,)
        )
        return sorted(found, key=lambda position: (position.symbol, position.trade_id))

    def save_position(self, position: Position) -> None:
        self._require_writable()
        upsert(self._connection, kinds.POSITIONS, position)

    def add_trade(self, trade: Trade) -> bool:
        return self._add(kinds.TRADES, trade)

    def trades(self, account: str, first: date | None = None, last: date | None = None) -> Sequence[Trade]:
        """Trades of the sessions from first to last, both included, in order of exit."""
        columns = kinds.TRADES.table.c
        return self._between(kinds.TRADES, account, first, last, order=(columns.exit_at, columns.entry_at))

    def trade(self, trade_id: str) -> Trade | None:
        return self._one(kinds.TRADES, trade_id)

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

    def risk_events(self, account: str, session: date) -> Sequence[RiskEvent]:
        return self._of_session(kinds.RISK_EVENTS, account, session)

    # sessions

    def session_record(self, account: str, session: date) -> SessionRecord | None:
        found = self._between(kinds.SESSIONS, account, session, session, order=())
        return found[0] if found else None

    def save_session_record(self, record: SessionRecord) -> None:
        self._require_writable()
        upsert(self._connection, kinds.SESSIONS, record)

    def session_records(self, account: str) -> Sequence[SessionRecord]:
        """Every session ever run for the account, ascending."""
        return self._between(kinds.SESSIONS, account, None, None, order=(kinds.SESSIONS.table.c.session,))

    def row_counts(self) -> dict[str, int]:
        """Rows per table."""
        names = sorted(Base.metadata.tables)
        counts = (select(func.count()).select_from(Base.metadata.tables[name]).scalar_subquery() for name in names)
        return dict(zip(names, self._connection.execute(select(*counts)).one(), strict=True))

    # how rows are written and found

    def _require_writable(self) -> None:
        if not self._writable:
            raise LedgerError("this block only reads the ledger: write inside `with ledger.transaction()`.")

    def _add(self, kind: Kind[R], record: R, **further: Any) -> bool:
        self._require_writable()
        return insert_or_verify(self._connection, kind, {**kind.values(record), **further})

    def _verify_setups(self, snapshot_id: str, setups: Sequence[Setup]) -> None:
        recorded = {setup.setup_id: setup for setup in self.setups(snapshot_id)}
        given = {setup.setup_id: setup for setup in setups}
        differing = sorted(recorded.keys() ^ given.keys())
        if differing:
            raise LedgerConflict(
                f"scan_snapshots already has snapshot_id {snapshot_id} with other setups: {len(differing)} are in only "
                f"one of the two (first: {', '.join(differing[:5])}). Make the snapshot's identity cover its input."
            )
        for setup_id, setup in given.items():
            there, here = kinds.SETUPS.values(recorded[setup_id]), kinds.SETUPS.values(setup)
            verify(kinds.SETUPS, there, here, self._connection.dialect)

    def _save_state(self, recorded: Order, order: Order) -> None:
        self._require_writable()
        there, here = kinds.ORDERS.values(recorded), kinds.ORDERS.values(order)
        verify(kinds.ORDERS, there, here, self._connection.dialect)
        state = {name: here[name] for name in kinds.ORDER_STATE}
        where = kinds.ORDERS.where(here, ("client_order_id",))
        self._connection.execute(update(kinds.ORDERS.table).where(where).values(state))

    def _one(self, kind: Kind[R], identity: str) -> R | None:
        (name,) = kind.identities[0]
        found = self._all(kind, kind.table.c[name] == identity)
        return found[0] if found else None

    def _all(self, kind: Kind[R], *wanted: Condition, order: Sequence[ColumnElement[Any]] = ()) -> list[R]:
        return kind.records(self._connection, kind.select().where(*wanted).order_by(*order))

    def _orders(self, *wanted: Condition) -> list[Order]:
        columns = kinds.ORDERS.table.c
        return self._all(kinds.ORDERS, *wanted, order=(columns.created_at, columns.record_no))

    def _of_session(self, kind: Kind[R], account: str, session: date) -> list[R]:
        columns = kind.table.c
        return self._all(kind, columns.account == account, columns.session == session, order=(kind.table.c.record_no,))

    def _between(
        self, kind: Kind[R], account: str, first: date | None, last: date | None, order: Sequence[ColumnElement[Any]]
    ) -> list[R]:
        columns = kind.table.c
        wanted = [columns.account == account]
        wanted += [columns.session >= first] if first is not None else []
        wanted += [columns.session <= last] if last is not None else []
        return self._all(kind, *wanted, order=order)

    def _newest_by_instant(
        self, kind: Kind[S], session: date, config_hash: str | None, code_version: str | None
    ) -> list[S]:
        columns = kind.table.c
        wanted = [columns.session == session]
        wanted += [columns.config_hash == config_hash] if config_hash is not None else []
        wanted += [columns.code_version == code_version] if code_version is not None else []
        found = self._all(kind, *wanted, order=(columns.as_of, columns.record_no))
        return list({snapshot.as_of: snapshot for snapshot in found}.values())
