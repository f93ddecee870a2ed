"""A row in every table of delivering alerts."""

from __future__ import annotations

from trading_pipeline.adapters.ledger_transaction import SqlTransaction
from trading_pipeline.domain.alert_rules import AlertRules
from trading_pipeline.domain.alerting import Acknowledgement, ChannelRecord, Watch, deliveries_of
from trading_pipeline.domain.control import Alert


def record_delivery(tx: SqlTransaction, alert: Alert) -> None:
    """The alert told to nobody yet, waited for, and acknowledged."""
    at = alert.occurred_at
    tx.add_deliveries(deliveries_of(1, alert, AlertRules(), at))
    watch = Watch(alert_id=alert.alert_id, alert_no=1, account=alert.account, kind=alert.kind, since=at, next_at=at)
    tx.add_watches([watch])
    tx.add_acknowledgement(
        Acknowledgement(alert_id=alert.alert_id, operator="alice", reason="", acknowledged_at=at)
    )  # fmt: skip
    tx.save_channel(ChannelRecord(name="mail"))
