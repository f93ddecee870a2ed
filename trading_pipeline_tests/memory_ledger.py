"""The ledger in plain dictionaries: what the SQL one must equal, and quick enough for a million steps of a machine."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from trading_pipeline.domain.control import Alert, AuditEntry, Block, Lease, TradingStateRecord
from trading_pipeline.domain.corporate import CashActivity, Split
from trading_pipeline.domain.errors import LeaseLost, LedgerConflict, LedgerError
from trading_pipeline.domain.orders import TERMINAL, ExecutionReport, Fill, Order, OrdStatus
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.trading_session import Intent, RiskEvent, SessionRecord
from trading_pipeline.ports import Ledger

T = TypeVar("T")
Rows = dict[str, dict[Any, Any]]
TABLES = (
    "snapshots", "setups", "regimes", "plans", "decisions", "intents", "orders", "asked", "claims", "reports", "fills",
    "positions", "trades", "equity", "daily", "risk_events", "cash", "splits", "leases", "states", "blocks", "audit",
    "alerts", "reconciliations", "sessions",
)  # fmt: skip


@dataclass
class MemoryLedger:
    """Implements Ledger. A transaction's writes are laid over the rows, and merged into them when it commits."""

    rows: Rows = field(default_factory=lambda: {name: {} for name in TABLES})
    lease: Lease | None = None

    @contextmanager
    def transaction(self) -> Iterator[MemoryTransaction]:
        layers = {name: ChainMap({}, rows) for name, rows in self.rows.items()}
        tx = MemoryTransaction(layers)
        self._require_lease(tx)
        yield tx
        for name, layer in layers.items():
            self.rows[name].update(layer.maps[0])

    @contextmanager
    def read(self) -> Iterator[MemoryTransaction]:
        yield MemoryTransaction({name: ChainMap(rows) for name, rows in self.rows.items()})

    def fenced(self, lease: Lease) -> Ledger:
        return MemoryLedger(self.rows, lease)

    def _require_lease(self, tx: MemoryTransaction) -> None:
        if self.lease is None:
            return
        held = tx.lease(self.lease.name)
        if held is None or (held.holder, held.token) != (self.lease.holder, self.lease.token):
            raise LeaseLost(f"{self.lease.holder} holds {self.lease.name} no more: {held} does")


class MemoryTransaction:
    """Implements LedgerTransaction over dictionaries, whose order is the order of recording."""

    def __init__(self, rows: dict[str, ChainMap[Any, Any]]) -> None:
        self._rows = rows

    def _add(self, table: str, key: Any, row: Any) -> bool:
        known = self._rows[table].get(key)
        if known is None:
            self._rows[table][key] = row
            return True
        if known != row:
            raise LedgerConflict(f"{table} already has {key} with other content: {known} instead of {row}")
        return False

    def _find(self, table: str, wanted: Callable[[Any], bool] = lambda _: True) -> list[Any]:
        layers = self._rows[table].maps
        if len(layers) == 1 or not layers[0]:
            return [row for row in layers[-1].values() if wanted(row)]
        merged = {**layers[1], **layers[0]}
        return [row for row in merged.values() if wanted(row)]

    # scans

    def add_snapshot(self, snapshot: ScanSnapshot, setups: Sequence[Setup]) -> bool:
        for setup in setups:
            self._add("setups", setup.setup_id, setup)
        return self._add("snapshots", snapshot.snapshot_id, snapshot)

    def add_regime(self, regime: RegimeSnapshot) -> bool:
        return self._add("regimes", regime.regime_id, regime)

    def snapshots(
        self,
        session: date,
        *,
        config_hash: str | None = None,
        code_version: str | None = None,
        source: str = "sabr20",
    ) -> Sequence[ScanSnapshot]:
        found = self._find("snapshots", lambda s: s.session == session and s.source == source)
        return _newest_by_instant(found, config_hash, code_version)

    def snapshot_by_id(self, snapshot_id: str) -> ScanSnapshot | None:
        return self._rows["snapshots"].get(snapshot_id)

    def setups(self, snapshot_id: str) -> Sequence[Setup]:
        found = self._find("setups", lambda setup: setup.snapshot_id == snapshot_id)
        return sorted(found, key=lambda setup: (setup.rank, setup.setup_id))

    def setup(self, setup_id: str) -> Setup | None:
        return self._rows["setups"].get(setup_id)

    def regimes(
        self, session: date, *, config_hash: str | None = None, code_version: str | None = None
    ) -> Sequence[RegimeSnapshot]:
        return _newest_by_instant(self._find("regimes", lambda r: r.session == session), config_hash, code_version)

    # decisions

    def add_plan(self, plan: TradePlan) -> bool:
        return self._add("plans", plan.plan_id, plan)

    def plan(self, plan_id: str) -> TradePlan | None:
        return self._rows["plans"].get(plan_id)

    def plans(self, account: str, session: date) -> Sequence[TradePlan]:
        return self._find("plans", lambda p: (p.account, p.session) == (account, session))

    def add_decision(self, decision: RiskDecision) -> bool:
        return self._add("decisions", decision.decision_id, decision)

    def decisions(self, account: str, session: date) -> Sequence[RiskDecision]:
        plans = {plan.plan_id for plan in self.plans(account, session)}
        return self._find("decisions", lambda d: d.plan_id in plans)

    def add_intent(self, intent: Intent) -> bool:
        for known in self._find("intents", lambda i: i.session == intent.session):
            same = (known.account, known.strategy, known.snapshot_id, known.symbol)
            if known.intent_id != intent.intent_id and same == (
                intent.account, intent.strategy, intent.snapshot_id, intent.symbol
            ):  # fmt: skip
                raise LedgerConflict(f"{known.intent_id} already is the intent of {same}, not {intent.intent_id}")
        return self._add("intents", intent.intent_id, intent)

    def intent(self, intent_id: str) -> Intent | None:
        return self._rows["intents"].get(intent_id)

    def intents(self, account: str, session: date) -> Sequence[Intent]:
        return self._find("intents", lambda i: (i.account, i.session) == (account, session))

    # orders and executions

    def add_order(self, order: Order) -> bool:
        if not self._add("asked", order.client_order_id, _asked(order)):
            return False
        return self._add("orders", order.client_order_id, order)

    def order(self, client_order_id: str) -> Order | None:
        return self._rows["orders"].get(client_order_id)

    def children(self, client_order_id: str) -> Sequence[Order]:
        found = self._find("orders", lambda order: order.parent_id == client_order_id)
        return sorted(found, key=lambda order: str(order.leg.value))

    def save_order(self, order: Order) -> None:
        if order.client_order_id not in self._rows["orders"]:
            raise LedgerError(f"order {order.client_order_id} was never added to the ledger: add_order comes first.")
        self._rows["orders"][order.client_order_id] = order

    def claim_order(self, client_order_id: str, owner: str, fence: int) -> bool:
        order = self.order(client_order_id)
        if client_order_id in self._rows["claims"] or order is None or order.status is not OrdStatus.PENDING_NEW:
            return False
        self._rows["claims"][client_order_id] = (owner, fence)
        return True

    def unsent_orders(self, account: str) -> Sequence[Order]:
        return self._orders(lambda o: o.account == account and o.status is OrdStatus.PENDING_NEW)

    def open_orders(self, account: str) -> Sequence[Order]:
        return self._orders(lambda o: o.account == account and o.status not in TERMINAL)

    def orders(self, account: str, session: date) -> Sequence[Order]:
        return self._orders(lambda o: (o.account, o.session) == (account, session))

    def _orders(self, wanted: Callable[[Order], bool]) -> list[Order]:
        return sorted(self._find("orders", wanted), key=lambda order: order.created_at)

    def add_report(self, broker: str, report: ExecutionReport) -> bool:
        return self._add("reports", (broker, report.exec_id), report)

    def reports(self, client_order_id: str) -> Sequence[ExecutionReport]:
        found = self._find("reports", lambda report: report.client_order_id == client_order_id)
        return sorted(found, key=lambda report: report.occurred_at)

    def add_fill(self, fill: Fill) -> bool:
        return self._add("fills", (fill.broker, fill.exec_id), fill)

    def fills(self, account: str, *, session: date | None = None, symbol: str | None = None) -> Sequence[Fill]:
        found = self._find(
            "fills",
            lambda f: f.account == account and session in (None, f.session) and symbol in (None, f.symbol),
        )
        return sorted(found, key=lambda fill: fill.executed_at)

    # positions, trades, results

    def positions(self, account: str) -> Sequence[Position]:
        found = self._find("positions", lambda p: p.account == account and p.quantity > 0)
        return sorted(found, key=lambda position: (position.symbol, position.trade_id))

    def save_position(self, position: Position) -> None:
        self._rows["positions"][position.trade_id] = position

    def add_trade(self, trade: Trade) -> bool:
        return self._add("trades", trade.trade_id, trade)

    def trades(self, account: str, first: date | None = None, last: date | None = None) -> Sequence[Trade]:
        return sorted(self._between("trades", account, first, last), key=lambda t: (t.exit_at, t.entry_at))

    def trade(self, trade_id: str) -> Trade | None:
        return self._rows["trades"].get(trade_id)

    def add_equity_point(self, point: EquityPoint) -> bool:
        return self._add("equity", (point.account, point.at), point)

    def equity_points(self, account: str, first: date | None = None, last: date | None = None) -> Sequence[EquityPoint]:
        return sorted(self._between("equity", account, first, last), key=lambda point: point.at)

    def put_daily_performance(self, daily: DailyPerformance) -> bool:
        key = (daily.account, daily.session)
        changed = self._rows["daily"].get(key) != daily
        self._rows["daily"][key] = daily
        return changed

    def daily_performance(
        self, account: str, first: date | None = None, last: date | None = None
    ) -> Sequence[DailyPerformance]:
        return sorted(self._between("daily", account, first, last), key=lambda daily: daily.session)

    def _between(self, table: str, account: str, first: date | None, last: date | None) -> list[Any]:
        return self._find(
            table,
            lambda row: (
                row.account == account
                and (first is None or row.session >= first)
                and (last is None or row.session <= last)
            ),
        )

    def add_risk_event(self, event: RiskEvent) -> bool:
        return self._add("risk_events", event.event_id, event)

    def risk_event(self, event_id: str) -> RiskEvent | None:
        return self._rows["risk_events"].get(event_id)

    def risk_events(self, account: str, session: date) -> Sequence[RiskEvent]:
        return self._find("risk_events", lambda e: (e.account, e.session) == (account, session))

    # what changes an account without an order

    def add_cash_activity(self, activity: CashActivity) -> bool:
        return self._add("cash", (activity.broker, activity.activity_id), activity)

    def cash_activities(self, account: str, *, session: date | None = None) -> Sequence[CashActivity]:
        found = self._find("cash", lambda a: a.account == account and session in (None, a.session))
        return sorted(found, key=lambda activity: activity.occurred_at)

    def add_split(self, split: Split) -> bool:
        return self._add("splits", (split.account, split.symbol, split.ex_date), split)

    def splits(self, account: str, *, symbol: str | None = None) -> Sequence[Split]:
        found = self._find("splits", lambda s: s.account == account and symbol in (None, s.symbol))
        return sorted(found, key=lambda split: split.effective_at)

    # who may act, and whether at all

    def lease(self, name: str) -> Lease | None:
        return self._rows["leases"].get(name)

    def take_lease(self, name: str, holder: str, now: datetime, seconds: int) -> Lease | None:
        held = self.lease(name)
        if held is not None and held.is_live(now):
            return self.renew_lease(held, now, seconds) if held.holder == holder else None
        self._rows["leases"][name] = Lease(
            name=name, holder=holder, token=held.token + 1 if held else 1, acquired_at=now, heartbeat_at=now,
            expires_at=now + timedelta(seconds=seconds),
        )  # fmt: skip
        return self.lease(name)

    def renew_lease(self, lease: Lease, now: datetime, seconds: int) -> Lease | None:
        return self._change_lease(lease, now, now, now + timedelta(seconds=seconds))

    def release_lease(self, lease: Lease, now: datetime) -> None:
        self._change_lease(lease, now, lease.heartbeat_at, now)

    def _change_lease(self, lease: Lease, now: datetime, heartbeat_at: datetime, expires_at: datetime) -> Lease | None:
        held = self.lease(lease.name)
        if held is None or (held.holder, held.token) != (lease.holder, lease.token) or not held.is_live(now):
            return None
        self._rows["leases"][lease.name] = replace(held, heartbeat_at=heartbeat_at, expires_at=expires_at)
        return self.lease(lease.name)

    def trading_state(self, account: str) -> TradingStateRecord | None:
        return self._rows["states"].get(account)

    def set_trading_state(self, record: TradingStateRecord) -> None:
        self._rows["states"][record.account] = record

    def add_block(self, block: Block) -> bool:
        return self._add("blocks", block.block_id, block)

    def blocks(self, account: str, *, symbol: str | None = None) -> Sequence[Block]:
        found = self._find(
            "blocks",
            lambda b: b.account == account and b.cleared_at is None and (not symbol or b.symbol in ("", symbol)),
        )
        return sorted(found, key=lambda block: block.since)

    def clear_block(self, block_id: str, at: datetime, by: str) -> bool:
        block = self._rows["blocks"].get(block_id)
        if block is None or block.cleared_at is not None:
            return False
        self._rows["blocks"][block_id] = replace(block, cleared_at=at, cleared_by=by)
        return True

    # told to others later, written now

    def add_audit(self, entry: AuditEntry) -> None:
        self._rows["audit"][len(self._rows["audit"]) + 1] = entry

    def audit_entries(self, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, AuditEntry]]:
        found = sorted((number, entry) for number, entry in self._rows["audit"].items() if number > after)
        return found[:limit]

    def add_alert(self, alert: Alert) -> bool:
        return self._add("alerts", alert.alert_id, alert)

    def alerts(self, account: str, session: date | None = None) -> Sequence[Alert]:
        return self._find("alerts", lambda a: a.account == account and session in (None, a.session))

    # reconciliation

    def add_reconciliation(self, passed: Reconciliation) -> bool:
        return self._add("reconciliations", (passed.account, passed.at), passed)

    def last_reconciliation(self, account: str) -> Reconciliation | None:
        found = self._find("reconciliations", lambda r: r.account == account)
        return max(found, key=lambda passed: passed.at, default=None)

    # sessions

    def session_record(self, account: str, session: date) -> SessionRecord | None:
        return self._rows["sessions"].get((account, session))

    def save_session_record(self, record: SessionRecord) -> None:
        self._rows["sessions"][(record.account, record.session)] = record

    def session_records(self, account: str) -> Sequence[SessionRecord]:
        return sorted(self._find("sessions", lambda r: r.account == account), key=lambda record: record.session)

    def row_counts(self) -> dict[str, int]:
        return {name: len(rows) for name, rows in self._rows.items()}


def _newest_by_instant(found: Sequence[Any], config_hash: str | None, code_version: str | None) -> list[Any]:
    made_so = [
        one for one in found if config_hash in (None, one.config_hash) and code_version in (None, one.code_version)
    ]
    return list({one.as_of: one for one in sorted(made_so, key=lambda one: one.as_of)}.values())


def _asked(order: Order) -> tuple[Any, ...]:
    return (
        order.symbol, order.side, order.order_type, order.quantity, order.leg, order.time_in_force, order.limit_price,
        order.stop_price, order.trail_amount, order.parent_id, order.intent_id,
    )  # fmt: skip
