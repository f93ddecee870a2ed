"""The first part of the ledger in memory: how rows are kept and taken back; scans, decisions and orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date, datetime
from typing import Any

from trading_pipeline.adapters import ledger_outbox as outbox
from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters import mode_rows as modes
from trading_pipeline.adapters.ledger_audit import StatusChange
from trading_pipeline.adapters.ledger_orders import filled_by
from trading_pipeline.adapters.ledger_records import ASKED, ORDER_STATE, Kind
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import LedgerConflict, LedgerError
from trading_pipeline.domain.orders import EXTERNAL, ExecutionReport, Fill, Leg, Order, OrdStatus, Side
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.trading_session import Intent

Rows = dict[str, dict[Any, Any]]
Journal = list[tuple[dict[Any, Any], Any, Any]]
KINDS = (
    kinds.SNAPSHOTS, kinds.SETUPS, kinds.REGIMES, kinds.PLANS, kinds.DECISIONS, kinds.INTENTS, kinds.ORDERS,
    kinds.REPORTS, kinds.FILLS, kinds.POSITIONS, kinds.TRADES, kinds.DAILY, kinds.EQUITY, kinds.RISK_EVENTS,
    kinds.SESSIONS, kinds.CASH, kinds.SPLITS, kinds.LEASES, kinds.STATES, kinds.PEAKS, kinds.BLOCKS, kinds.AUDIT,
    kinds.ALERTS, kinds.RECONCILIATIONS, modes.OPERATORS, modes.STATES, modes.CHANGES, modes.REPORTS, modes.REQUESTS,
    modes.APPROVALS, modes.USES,
)  # fmt: skip
TABLES = tuple(kind.table.name for kind in KINDS)
INDEXES = (
    "asked", "claims", "numbers", "open", "reports of", "fills of", "events of", "orders of", "entries of",
    "intents of", "intent of", "open positions",
)  # fmt: skip
"""What is found by something else than its identity, kept in step with the tables by the same journal."""
GONE: Any = object()


class OrderRows:
    """Scans, decisions, orders, reports and fills of a LedgerTransaction, over dictionaries."""

    def __init__(self, rows: Rows, journal: Journal | None) -> None:
        self._rows, self._journal = rows, journal

    def _written(self) -> Journal:
        if self._journal is None:
            raise LedgerError("this block only reads the ledger: write inside `with ledger.transaction()`.")
        return self._journal

    def _put(self, table: str, key: Any, row: Any) -> None:
        rows = self._rows[table]
        self._written().append((rows, key, rows.get(key, GONE)))
        rows[key] = row

    def _add(self, kind: Kind[Any], row: Any, key: Any = None, *, told: bool = True) -> bool:
        table = kind.table.name
        key = getattr(row, kind.identities[0][0]) if key is None else key
        known = self._rows[table].get(key)
        if known is not None:
            self._require_same(kind, key, known, row)
            return False
        self._put(table, key, row)
        if told and type(row) in outbox.ENTRY_OF:
            self._tell(lambda: outbox.entry_of(row))
        return True

    def _require_same(self, kind: Kind[Any], key: Any, known: Any, row: Any) -> None:
        if self._journal is None or known == row:
            return
        for one in fields(row):
            there, here = getattr(known, one.name), getattr(row, one.name)
            if one.name not in kind.bookkeeping and there != here and str(there) != str(here):
                raise _conflict(kind.table.name, key, f"{one.name} is {there!r} there and {here!r} here")

    def _tell(self, entry: Callable[[], AuditEntry]) -> None:
        """Put into words when somebody reads it."""
        audit = kinds.AUDIT.table.name
        self._put(audit, len(self._rows[audit]) + 1, entry)

    def _append(self, index: str, key: Any, row: Any) -> None:
        self._put(index, key, (*self._rows[index].get(key, ()), row))

    def _of(self, index: str, key: Any) -> list[Any]:
        return list(self._rows[index].get(key, ()))

    def _find(self, kind: Kind[Any], wanted: Callable[[Any], bool]) -> list[Any]:
        return [row for row in self._rows[kind.table.name].values() if wanted(row)]

    def _one(self, kind: Kind[Any], key: Any) -> Any:
        return self._rows[kind.table.name].get(key)

    # scans

    def add_snapshot(self, snapshot: ScanSnapshot, setups: Sequence[Setup]) -> bool:
        if self._add(kinds.SNAPSHOTS, snapshot):
            for setup in setups:
                self._require_one_per_symbol(setup)
                self._add(kinds.SETUPS, setup)
            return True
        recorded = {setup.setup_id: setup for setup in self.setups(snapshot.snapshot_id)}
        given = {setup.setup_id: setup for setup in setups}
        if differing := recorded.keys() ^ given.keys():
            raise LedgerConflict(f"{snapshot.snapshot_id} is with other setups: {len(differing)} are in only one")
        for setup_id, setup in given.items():
            self._require_same(kinds.SETUPS, setup_id, recorded[setup_id], setup)
        return False

    def _require_one_per_symbol(self, setup: Setup) -> None:
        place = (setup.snapshot_id, setup.symbol)
        taken = self._find(kinds.SETUPS, lambda s: (s.snapshot_id, s.symbol) == place)
        if taken and taken[0] != setup:
            raise _conflict("setups", setup.setup_id, f"setup_id is {taken[0].setup_id!r} there")

    def add_regime(self, regime: RegimeSnapshot) -> bool:
        return self._add(kinds.REGIMES, regime)

    def snapshots(
        self,
        session: date,
        *,
        config_hash: str | None = None,
        code_version: str | None = None,
        source: str = "sabr20",
    ) -> Sequence[ScanSnapshot]:
        found = self._find(kinds.SNAPSHOTS, lambda s: s.session == session and s.source == source)
        return _newest_by_instant(found, config_hash, code_version)

    def snapshot_by_id(self, snapshot_id: str) -> ScanSnapshot | None:
        return self._one(kinds.SNAPSHOTS, snapshot_id)  # type: ignore[no-any-return]

    def setups(self, snapshot_id: str) -> Sequence[Setup]:
        found = self._find(kinds.SETUPS, lambda setup: setup.snapshot_id == snapshot_id)
        return sorted(found, key=lambda setup: (setup.rank, setup.setup_id))

    def setup(self, setup_id: str) -> Setup | None:
        return self._one(kinds.SETUPS, setup_id)  # type: ignore[no-any-return]

    def regimes(
        self, session: date, *, config_hash: str | None = None, code_version: str | None = None
    ) -> Sequence[RegimeSnapshot]:
        return _newest_by_instant(self._find(kinds.REGIMES, lambda r: r.session == session), config_hash, code_version)

    # decisions

    def add_plan(self, plan: TradePlan) -> bool:
        return self._add(kinds.PLANS, plan)

    def plan(self, plan_id: str) -> TradePlan | None:
        return self._one(kinds.PLANS, plan_id)  # type: ignore[no-any-return]

    def plans(self, account: str, session: date) -> Sequence[TradePlan]:
        return self._find(kinds.PLANS, lambda p: (p.account, p.session) == (account, session))

    def add_decision(self, decision: RiskDecision) -> bool:
        if not self._add(kinds.DECISIONS, decision):
            return False
        account = self._one(kinds.PLANS, decision.plan_id).account
        self._tell(lambda: outbox.decision_entry(decision, account))
        return True

    def decisions(self, account: str, session: date) -> Sequence[RiskDecision]:
        plans = {plan.plan_id for plan in self.plans(account, session)}
        return self._find(kinds.DECISIONS, lambda d: d.plan_id in plans)

    def add_intent(self, intent: Intent) -> bool:
        cause = (intent.account, intent.strategy, intent.snapshot_id, intent.symbol)
        known = self._rows["intent of"].get(cause)
        if known not in {None, intent.intent_id}:
            raise _conflict("intents", cause, f"intent_id is {known!r} there and {intent.intent_id!r} here")
        if not self._add(kinds.INTENTS, intent):
            return False
        self._put("intent of", cause, intent.intent_id)
        self._append("intents of", (intent.account, intent.session), intent)
        return True

    def intent(self, intent_id: str) -> Intent | None:
        return self._one(kinds.INTENTS, intent_id)  # type: ignore[no-any-return]

    def intents(self, account: str, session: date) -> Sequence[Intent]:
        return self._of("intents of", (account, session))

    # orders and executions

    def add_order(self, order: Order) -> bool:
        name, asked = order.client_order_id, _asked(order)
        known = self._rows["asked"].get(name)
        if known is not None:
            differing = [field for field, value in asked.items() if known[field] != value]
            if differing:
                first = differing[0]
                raise _conflict("orders", name, f"{first} is {known[first]!r} there and {asked[first]!r} here")
            return False
        self._only_working_entry(order)
        self._put("asked", name, asked)
        self._put("numbers", name, len(self._rows["numbers"]))
        self._append("orders of", (order.account, order.session), name)
        if order.is_open:
            self._put("open", name, order.account)
        return self._add(kinds.ORDERS, order)

    def _only_working_entry(self, order: Order) -> None:
        """A symbol has one; it stays known as such until it ends, and one that opens again is no news."""
        if order.leg is not Leg.ENTRY or order.strategy == EXTERNAL or not order.is_open:
            return
        place = (order.account, order.symbol)
        other = self._rows["entries of"].get(place)
        if other is not None:
            raise LedgerConflict(
                f"orders refused {order.client_order_id}: an entry is already working in this symbol "
                f"({order.account}, {order.symbol}: {other}). Wait for it to end, or cancel it."
            )
        self._put("entries of", place, order.client_order_id)

    def order(self, client_order_id: str) -> Order | None:
        return self._one(kinds.ORDERS, client_order_id)  # type: ignore[no-any-return]

    def children(self, client_order_id: str) -> Sequence[Order]:
        parent = self.order(client_order_id)
        if parent is None:
            return []
        found = [o for o in self._orders_of(parent.account, parent.session) if o.parent_id == client_order_id]
        return sorted(found, key=lambda order: str(order.leg.value))

    def save_order(self, order: Order) -> None:
        recorded = self.order(order.client_order_id)
        if recorded is None:
            raise LedgerError(f"order {order.client_order_id} was never added to the ledger: add_order comes first.")
        if order.cum_qty < recorded.cum_qty:
            self._require_taken_back(recorded, order)
        if recorded == order:
            return
        self._require_asked(recorded, order)
        self._put("orders", order.client_order_id, order)
        if recorded.is_open != order.is_open:
            self._put("open", order.client_order_id, order.account if order.is_open else None)
        place = (order.account, order.symbol)
        if not order.is_open and self._rows["entries of"].get(place) == order.client_order_id:
            self._put("entries of", place, None)
        if order.status is not recorded.status:
            self._tell(lambda: outbox.entry_of(StatusChange(recorded.status, order)))

    def _require_asked(self, recorded: Order, order: Order) -> None:
        for name in UNCHANGING:
            there, here = getattr(recorded, name), getattr(order, name)
            if there != here:
                raise _conflict("orders", order.client_order_id, f"{name} is {there!r} there and {here!r} here")

    def _require_taken_back(self, recorded: Order, order: Order) -> None:
        reported, taken_back = filled_by(self.reports(order.client_order_id))
        if recorded.cum_qty - order.cum_qty > taken_back or order.cum_qty < reported:
            raise LedgerError(
                f"order {order.client_order_id} has {recorded.cum_qty} shares filled on record and {order.cum_qty} in "
                f"the state to be stored; reports took back {taken_back}: filled shares never go away by themselves."
            )

    def claim_order(self, client_order_id: str, owner: str, fence: int) -> bool:
        order = self.order(client_order_id)
        if client_order_id in self._rows["claims"] or order is None or order.status is not OrdStatus.PENDING_NEW:
            return False
        self._put("claims", client_order_id, (owner, fence))
        return True

    def claim_orders(self, leaving: Mapping[str, datetime], owner: str, fence: int) -> frozenset[str]:
        claimed = [name for name in leaving if self.claim_order(name, owner, fence)]
        for name in claimed:
            self._put("orders", name, replace(self._rows["orders"][name], submitted_at=leaving[name]))
        return frozenset(claimed)

    def orders_named(self, client_order_ids: Sequence[str]) -> Mapping[str, Order]:
        return {name: order for name in client_order_ids if (order := self.order(name)) is not None}

    def children_of(self, client_order_ids: Sequence[str]) -> Mapping[str, Sequence[Order]]:
        return {name: self.children(name) for name in client_order_ids}

    def save_orders(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self.save_order(order)

    def add_reports(self, broker: str, reports: Sequence[ExecutionReport]) -> Sequence[bool]:
        return [self.add_report(broker, report) for report in reports]

    def due_orders(self, account: str) -> Sequence[Order]:
        due = {OrdStatus.PENDING_NEW, OrdStatus.IN_DOUBT}
        return [order for order in self.open_orders(account) if order.status in due and order.parent_id is None]

    def entries_left(self, account: str, session: date) -> Mapping[str, int]:
        entries = [o for o in self._orders_of(account, session) if o.side is Side.BUY and o.parent_id is None]
        return Counter(order.symbol for order in entries if order.submitted_at is not None)

    def unsent_orders(self, account: str) -> Sequence[Order]:
        return [order for order in self.open_orders(account) if order.status is OrdStatus.PENDING_NEW]

    def open_orders(self, account: str) -> Sequence[Order]:
        names = [name for name, whose in self._rows["open"].items() if whose == account]
        return self._sorted([order for order in map(self._rows["orders"].__getitem__, names) if order.is_open])

    def orders(self, account: str, session: date) -> Sequence[Order]:
        return self._sorted(self._orders_of(account, session))

    def _orders_of(self, account: str, session: date) -> list[Order]:
        return [self._rows["orders"][name] for name in self._rows["orders of"].get((account, session), ())]

    def _sorted(self, orders: list[Order]) -> list[Order]:
        numbers = self._rows["numbers"]
        return sorted(orders, key=lambda order: (order.created_at, numbers[order.client_order_id]))

    def add_report(self, broker: str, report: ExecutionReport) -> bool:
        if not self._add(kinds.REPORTS, report, (broker, report.exec_id)):
            return False
        self._append("reports of", report.client_order_id, report)
        return True

    def reports(self, client_order_id: str) -> Sequence[ExecutionReport]:
        return sorted(self._of("reports of", client_order_id), key=lambda report: report.occurred_at)

    def add_fill(self, fill: Fill) -> bool:
        if not self._add(kinds.FILLS, fill, (fill.broker, fill.exec_id)):
            return False
        self._append("fills of", (fill.account, fill.symbol), fill)
        return True

    def fills(self, account: str, *, session: date | None = None, symbol: str | None = None) -> Sequence[Fill]:
        if symbol is not None:
            found = [fill for fill in self._of("fills of", (account, symbol)) if session in (None, fill.session)]
        else:
            found = self._find(kinds.FILLS, lambda f: f.account == account and session in (None, f.session))
        return sorted(found, key=lambda fill: fill.executed_at)


def _newest_by_instant(found: Sequence[Any], config_hash: str | None, code_version: str | None) -> list[Any]:
    made_so = [
        one for one in found if config_hash in (None, one.config_hash) and code_version in (None, one.code_version)
    ]
    return list({one.as_of: one for one in sorted(made_so, key=lambda one: one.as_of)}.values())


UNCHANGING = tuple(name for name in kinds.ORDERS.names if name not in {*ORDER_STATE, "created_at"})
"""What an order is and stays."""


def _asked(order: Order) -> dict[str, Any]:
    return {name: getattr(order, name) for name in UNCHANGING} | {
        name: getattr(order, field) for name, field in ASKED.items()
    }


def _conflict(table: str, key: Any, details: str) -> LedgerConflict:
    return LedgerConflict(f"{table} already has {key} with other content: {details}. Nothing was overwritten.")
