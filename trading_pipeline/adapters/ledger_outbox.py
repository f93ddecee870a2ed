"""What others are told of a change, written in the transaction of the change: audit entries and alerts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_wire import Wire
from trading_pipeline.domain.control import Alert, AlertLevel, AuditEntry, Block, Lease, TradingStateRecord
from trading_pipeline.domain.corporate import CashActivity, Split
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import Fill, Order, OrdStatus
from trading_pipeline.domain.risk import RiskDecision, Verdict
from trading_pipeline.domain.trading_session import Intent, RiskEvent

log = logging.getLogger(__name__)
LOGGED = frozenset({"fill", "lease_taken", "lease_released", "trading_state", "block_set", "block_cleared"})
"""Audit entries that are log lines as well; what is sent and decided the services log."""
ACTOR = "trading-pipeline"
"""Who acts when nobody is named."""


class Outbox:
    """Collects what one transaction has to tell; `flush` writes it all, one statement per table."""

    def __init__(self) -> None:
        self._entries: list[AuditEntry] = []
        self._alerts: list[Alert] = []
        self._recorded: list[AuditEntry | Alert] = []

    def recorded(self, record: object) -> None:
        """A new row was recorded."""
        told = AUDITED.get(type(record))
        if told is not None:
            self.add(told(record))
        if isinstance(record, RiskEvent) and record.severity in LOUD:
            self._alerts.append(_alert(record))

    def add(self, entry: AuditEntry) -> None:
        """One more entry."""
        self._entries.append(entry)

    def flush(self, wire: Wire) -> None:
        """Write what was collected since the last time."""
        entries, self._entries = self._entries, []
        alerts, self._alerts = self._alerts, []
        if entries:
            wire.append(
                kinds.AUDIT.table, kinds.AUDIT.names, [kinds.AUDIT.stored(entry, wire.dialect) for entry in entries]
            )
        if alerts:
            kinds.insert_missing(wire.connection, kinds.ALERTS, alerts)
        self._recorded += [*(entry for entry in entries if entry.kind in LOGGED), *alerts]

    def log(self) -> None:
        """Fills, leases, states, blocks and alarms that were recorded, as log lines."""
        for one in self._recorded:
            if isinstance(one, Alert):
                log.log(logging.getLevelNamesMapping()[one.level.value], "%s: %s", one.kind, one.message)
            else:
                log.info("%s %s: %s", one.kind, one.subject, ", ".join(f"{k} {v}" for k, v in one.data.items()))
        self._recorded = []


def decision_entry(decision: RiskDecision, account: str) -> AuditEntry:
    """A plan was approved or denied; `denials` are the codes, in the order of the checks."""
    denials = [finding.code.value for finding in decision.findings if finding.verdict is Verdict.DENIAL]
    data = _data(
        plan_id=decision.plan_id, approved=decision.approved, requested_quantity=decision.requested_quantity,
        quantity=decision.quantity, reserved_risk_usd=decision.reserved_risk_usd, bound_by=decision.bound_by,
        denials=",".join(denials),
    )  # fmt: skip
    return _entry("decision", account, decision.decision_id, decision.decided_at, data)


def status_entry(before: OrdStatus, order: Order) -> AuditEntry:
    """An order went from one status to another."""
    data = _data(
        symbol=order.symbol, before=before, after=order.status, quantity=order.quantity, cum_qty=order.cum_qty,
        avg_px=order.avg_px, venue_order_id=order.venue_order_id, text=order.text,
    )  # fmt: skip
    return _entry("order_status", order.account, order.client_order_id, order.updated_at, data)


def lease_entry(kind: str, lease: Lease, at: datetime) -> AuditEntry:
    """A lease changed hands (lease_taken) or was given back (lease_released)."""
    return _entry(kind, "", lease.name, at, _data(token=lease.token), actor=lease.holder)


def state_entry(before: TradingStateRecord | None, record: TradingStateRecord) -> AuditEntry:
    """The trading state was set."""
    data = _data(before=before.state if before else None, after=record.state, reason=record.reason)
    return _entry("trading_state", record.account, record.account, record.changed_at, data, actor=record.set_by)


def cleared_entry(block: Block, at: datetime, by: str) -> AuditEntry:
    """A block is not in force any more."""
    return _entry("block_cleared", block.account, block.block_id, at, _block_data(block), actor=by)


def _intent(intent: Intent) -> AuditEntry:
    data = _data(
        symbol=intent.symbol, strategy=intent.strategy, quantity=intent.quantity, decision_id=intent.decision_id,
        reserved_risk_usd=intent.reserved_risk_usd, expires_at=intent.expires_at,
    )  # fmt: skip
    return _entry("intent", intent.account, intent.intent_id, intent.created_at, data)


def _order(order: Order) -> AuditEntry:
    data = _data(
        symbol=order.symbol, side=order.side, leg=order.leg, order_type=order.order_type, quantity=order.quantity,
        limit_price=order.limit_price, stop_price=order.stop_price, trail_amount=order.trail_amount,
        time_in_force=order.time_in_force, status=order.status, intent_id=order.intent_id, parent_id=order.parent_id,
    )  # fmt: skip
    return _entry("order", order.account, order.client_order_id, order.created_at, data)


def _fill(fill: Fill) -> AuditEntry:
    data = _data(
        symbol=fill.symbol, side=fill.side, quantity=fill.quantity, price=fill.price, commission=fill.commission,
        client_order_id=fill.client_order_id, broker=fill.broker, is_reversal=fill.is_reversal,
    )  # fmt: skip
    return _entry("fill", fill.account, fill.exec_id, fill.executed_at, data)


def _cash(activity: CashActivity) -> AuditEntry:
    data = _data(
        kind=activity.kind, amount_usd=activity.amount_usd, symbol=activity.symbol, broker=activity.broker,
        text=activity.text,
    )  # fmt: skip
    return _entry("cash_activity", activity.account, activity.activity_id, activity.occurred_at, data)


def _split(split: Split) -> AuditEntry:
    return _entry(
        "split", split.account, split.symbol, split.effective_at, _data(ex_date=split.ex_date, ratio=split.ratio)
    )


def _risk_event(event: RiskEvent) -> AuditEntry:
    data = {**event.data, **_data(kind=event.kind, severity=event.severity, message=event.message)}
    return _entry("risk_event", event.account, event.event_id, event.occurred_at, data)


def _block(block: Block) -> AuditEntry:
    return _entry("block_set", block.account, block.block_id, block.since, _block_data(block))


def _block_data(block: Block) -> dict[str, str]:
    return _data(symbol=block.symbol, kind=block.kind, reason=block.reason)


def _alert(event: RiskEvent) -> Alert:
    return Alert(
        alert_id=event.event_id, account=event.account, session=event.session, occurred_at=event.occurred_at,
        level=AlertLevel(event.severity), kind=event.kind, message=event.message, data=event.data,
    )  # fmt: skip


LOUD = frozenset({AlertLevel.WARNING, AlertLevel.ERROR, AlertLevel.CRITICAL})

AUDITED: Mapping[type, Callable[[Any], AuditEntry]] = {
    Intent: _intent,
    Order: _order,
    Fill: _fill,
    CashActivity: _cash,
    Split: _split,
    RiskEvent: _risk_event,
    Block: _block,
}
"""Records whose first writing is told by itself. A decision needs its plan's account: see decision_entry."""


def _entry(
    kind: str, account: str, subject: str, at: datetime, data: dict[str, str], *, actor: str = ACTOR
) -> AuditEntry:
    return AuditEntry(occurred_at=at, kind=kind, account=account, subject=subject, actor=actor, data=data)


TEXTS: Mapping[type, Callable[[Any], str]] = {
    Decimal: lru_cache(1024)(plain),  # an order, its legs and what becomes of them name the same few
    bool: lambda value: str(value).lower(),
    datetime: datetime.isoformat,
}
"""How the types write themselves that do not as str() does."""


def _data(**values: object) -> dict[str, str]:
    """Texts; what is None is left out."""
    return {name: TEXTS.get(type(value), str)(value) for name, value in values.items() if value is not None}
