"""The dead-man signal: in session the loop's heartbeat has stopped, and whoever notices says so, once."""

from __future__ import annotations

import logging
from datetime import timedelta

from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.health import HealthRules
from trading_pipeline.ports import Ledger
from trading_pipeline.services.health import is_begun, last_sign
from trading_pipeline.services.health_facts import Look

log = logging.getLogger(__name__)
KIND = "loop_heartbeat_stopped"


def dead_man(look: Look, rules: HealthRules, account: str) -> Alert | None:
    """The alarm that is due; None while the loop lives, or nobody has to. A function of its cause: said once.

    It is due in the running session once that was begun and no sign of life came for the second of heartbeat_seconds.
    """
    facts = look.facts
    since = last_sign(facts) if facts else None
    if facts is None or facts.lease is None or since is None or not look.in_session or not is_begun(facts):
        return None
    patience = timedelta(seconds=rules.heartbeat_seconds[1])
    if look.now - since <= patience:
        return None
    lease = facts.lease
    return Alert(
        alert_id=f"{KIND}-{account}-{lease.token}-{since.isoformat()}", account=account, session=look.times.session,
        occurred_at=since + patience, level=AlertLevel.CRITICAL, kind=KIND,
        message=f"the session loop of {account} ({lease.holder}) gave its last sign of life at {since:%H:%M:%S} UTC "
        "and nobody took over: what is held is guarded by its stops at the venue alone. Start it again: "
        "trading-pipeline session run",
        data={"holder": lease.holder, "token": str(lease.token)},
    )  # fmt: skip


def raise_alarm(ledger: Ledger, alert: Alert) -> bool:
    """Put it on record; True when nobody had said it before. Raises LedgerError."""
    with ledger.read() as tx:
        said = any(one.alert_id == alert.alert_id for one in tx.alerts(alert.account, alert.session))
    if said:
        return False
    with ledger.transaction() as tx:
        is_new = tx.raise_alert(alert)
    if is_new:
        log.critical("%s", alert.message)
    return is_new
