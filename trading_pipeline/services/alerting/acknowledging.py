"""Taking notice of alerts: a person's name on record, and nobody is told of them again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from trading_pipeline.domain.alerting import Acknowledgement
from trading_pipeline.domain.control import Alert, AuditEntry
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.ports.alerting import AlertLedger, AlertTransaction

AT_ONCE = 500


def acknowledge(
    ledger: AlertLedger, alert_id: str, *, operator: str, at: datetime, reason: str = ""
) -> Acknowledgement:
    """The acknowledgement on record: this one, or the one that was first.

    Raises InputError without a name, or for an alert that is not on record.
    """
    given = _given(alert_id, operator, at, reason)
    with ledger.transaction() as tx:
        alert = tx.alerts_named([alert_id]).get(alert_id)
        if alert is None:
            raise InputError(
                f"no alert {alert_id!r} is on record. See those that wait: trading-pipeline alerts list --open"
            )
        _record(tx, alert, given)
        return tx.acknowledgement(alert_id) or given


def acknowledge_kind(
    ledger: AlertLedger, kind: str, *, operator: str, at: datetime, reason: str = ""
) -> Sequence[Acknowledgement]:
    """Acknowledge all alerts of a kind that nobody has acknowledged, in several transactions where they are many.

    Raises InputError without a name.
    """
    made = list[Acknowledgement]()
    while True:
        with ledger.transaction() as tx:
            found = tx.unacknowledged(kind, AT_ONCE)
            for alert in found:
                given = _given(alert.alert_id, operator, at, reason)
                _record(tx, alert, given)
                made.append(given)
        if len(found) < AT_ONCE:
            return made


def _given(alert_id: str, operator: str, at: datetime, reason: str) -> Acknowledgement:
    if not operator.strip():
        raise InputError("an acknowledgement needs a name: --operator NAME")
    return Acknowledgement(
        alert_id=alert_id, operator=operator.strip(), reason=reason.strip(),
        acknowledged_at=require_aware(at, "instant of an acknowledgement"),
    )  # fmt: skip


def _record(tx: AlertTransaction, alert: Alert, given: Acknowledgement) -> None:
    if tx.add_acknowledgement(given):
        tx.add_audit(
            AuditEntry(
                occurred_at=given.acknowledged_at, kind="alert_acknowledged", account=alert.account,
                subject=alert.alert_id, actor=given.operator, data={"kind": alert.kind, "reason": given.reason},
            )
        )  # fmt: skip
