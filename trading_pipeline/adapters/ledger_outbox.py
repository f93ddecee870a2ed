"""What others are told of a change, written in the transaction of the change: audit entries and alerts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Dialect

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_audit import ACTOR, TOLD, texts
from trading_pipeline.adapters.ledger_statements import Parameters
from trading_pipeline.adapters.ledger_wire import Wire
from trading_pipeline.domain import alert_causes
from trading_pipeline.domain.control import Alert, AuditEntry, Block, Lease, TradingStateRecord
from trading_pipeline.domain.risk import RiskDecision, Verdict
from trading_pipeline.domain.trading_session import RiskEvent

log = logging.getLogger(__name__)
LOGGED = frozenset({"fill", "lease_taken", "lease_released", "trading_state", "block_set", "block_cleared"})
"""Kinds of audit entries that are log lines as well; what is sent and decided the services log."""
MAY_BE_LOGGED = {AuditEntry, *(told.record for told in TOLD if told.kind in LOGGED)}


class Outbox:
    """Collects what one transaction has to tell; `flush` writes it all, one statement per table."""

    def __init__(self) -> None:
        self._told: list[object] = []
        self._alerts: list[Alert] = []
        self._to_log: list[object] = []

    def recorded(self, record: object) -> None:
        """A new row was recorded, or an order changed its status."""
        if type(record) in ENTRY_OF:
            self._told.append(record)
        if type(record) is RiskEvent and (alert := alert_causes.of_event(record)) is not None:
            self._alerts.append(alert)

    def add(self, entry: AuditEntry) -> None:
        """One more entry."""
        self._told.append(entry)

    def flush(self, wire: Wire) -> None:
        """Write what was collected since the last time."""
        if not self._told and not self._alerts:
            return
        told, self._told = self._told, []
        alerts, self._alerts = self._alerts, []
        if told:
            row_of = _rows_of(wire.dialect)
            wire.append(kinds.AUDIT.always(wire.dialect).statement, [row_of[type(one)](one) for one in told])
        if alerts:
            kinds.insert_missing(wire.connection, kinds.ALERTS, alerts)
        self._to_log += [one for one in told if type(one) in MAY_BE_LOGGED] + alerts

    def log(self) -> None:
        """Fills, leases, states, blocks and alarms that were recorded, as log lines."""
        for one in self._to_log:
            if isinstance(one, Alert):
                log.log(logging.getLevelNamesMapping()[one.level.value], "%s: %s", one.kind, one.message)
            elif (entry := entry_of(one)).kind in LOGGED:
                data = ", ".join(f"{name} {text}" for name, text in entry.data.items())
                log.info("%s %s: %s", entry.kind, entry.subject, data)
        self._to_log = []


def decision_entry(decision: RiskDecision, account: str) -> AuditEntry:
    """A plan was approved or denied; `denials` are the codes, in the order of the checks."""
    denials = [finding.code.value for finding in decision.findings if finding.verdict is Verdict.DENIAL]
    data = texts(
        plan_id=decision.plan_id, approved=decision.approved, requested_quantity=decision.requested_quantity,
        quantity=decision.quantity, reserved_risk_usd=decision.reserved_risk_usd, bound_by=decision.bound_by,
        denials=",".join(denials),
    )  # fmt: skip
    return _entry("decision", account, decision.decision_id, decision.decided_at, data)


def lease_entry(kind: str, lease: Lease, at: datetime) -> AuditEntry:
    """A lease changed hands (lease_taken) or was given back (lease_released)."""
    return _entry(kind, "", lease.name, at, texts(token=lease.token), actor=lease.holder)


def state_entry(before: TradingStateRecord | None, record: TradingStateRecord) -> AuditEntry:
    """The trading state was set; `flattens` says that positions are to be closed, or that this is over."""
    was_to_flatten = before is not None and before.flattens
    flattens = ("yes" if record.flattens else "no") if record.flattens or was_to_flatten else None
    data = texts(before=before.state if before else None, after=record.state, reason=record.reason, flattens=flattens)
    return _entry("trading_state", record.account, record.account, record.changed_at, data, actor=record.set_by)


def cleared_entry(block: Block, at: datetime, by: str) -> AuditEntry:
    """A block is not in force any more."""
    return _entry("block_cleared", block.account, block.block_id, at, _in_block(block), actor=by)


def _risk_event(event: RiskEvent) -> AuditEntry:
    data = {**event.data, **texts(kind=event.kind, severity=event.severity, message=event.message)}
    return _entry("risk_event", event.account, event.event_id, event.occurred_at, data)


def _in_block(block: Block) -> dict[str, str]:
    return texts(symbol=block.symbol, kind=block.kind, reason=block.reason)


def alert_entry(alert: Alert) -> AuditEntry:
    """An alert was raised that is not told by a risk event already."""
    data = {**alert.data, **texts(kind=alert.kind, level=alert.level, message=alert.message)}
    return _entry("alert", alert.account, alert.alert_id, alert.occurred_at, data)


ENTRY_OF: Mapping[type, Callable[[Any], AuditEntry]] = {
    AuditEntry: lambda entry: entry,
    RiskEvent: _risk_event,
    **{told.record: told for told in TOLD},
}
"""What is told of by itself once it is recorded. A decision needs its plan's account: see decision_entry."""


RowOf = Callable[[Any], Parameters]
_ROWS_OF: dict[str, Mapping[type, RowOf]] = {}


def _rows_of(dialect: Dialect) -> Mapping[type, RowOf]:
    """How each of these is told by a row, as the database keeps it; made the first time."""
    made = _ROWS_OF.get(dialect.name)
    if made is None:
        row = kinds.AUDIT.always(dialect).row
        entries = {of: _through(entry, row) for of, entry in ENTRY_OF.items()}
        made = _ROWS_OF[dialect.name] = entries | {told.record: told.row(dialect) for told in TOLD}
    return made


def _through(entry: Callable[[Any], AuditEntry], row: RowOf) -> RowOf:
    return lambda one: row(entry(one))


def entry_of(record: object) -> AuditEntry:
    """The entry that tells of it."""
    return ENTRY_OF[type(record)](record)


def _entry(
    kind: str, account: str, subject: str, at: datetime, data: dict[str, str], *, actor: str = ACTOR
) -> AuditEntry:
    return AuditEntry(occurred_at=at, kind=kind, account=account, subject=subject, actor=actor, data=data)
