"""A session is run to its end under the configuration it was begun with, unless a person says otherwise, on record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.trading_session import RiskEvent, SessionPhase, SessionRecord
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline.services.desk import Provenance
from trading_pipeline.services.entries import digest
from trading_pipeline.services.readiness import CONFIGURED

ACCEPT = "trading-pipeline session run --accept-configuration --reason TEXT --operator NAME"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A person's word that the running session goes on under the configuration that is set now."""

    operator: str
    reason: str
    at: datetime

    def __post_init__(self) -> None:
        require_aware(self.at)
        if not self.operator.strip() or not self.reason.strip():
            raise InputError(f"a change of configuration in a session needs a reason and a name: {ACCEPT}")


def in_force(tx: LedgerTransaction, record: SessionRecord) -> str:
    """Hash of the configuration the session runs under: the one it was begun with, or the last that was accepted."""
    accepted = [one for one in tx.risk_events(record.account, record.session) if one.kind == CONFIGURED]
    return max(accepted, key=lambda one: one.data["number"]).data["to"] if accepted else record.config_hash


def require_configuration(ledger: Ledger, record: SessionRecord, now: Provenance, word: Acceptance | None) -> bool:
    """Return when the session may go on under the configuration of `now`; True when a person's word was put on record.

    Raises InputError when it was begun under another one and nobody has accepted this one. A closed session is left
    as it is.
    """
    with ledger.read() as tx:
        known = in_force(tx, record)
    if known == now.config_hash or record.phase is SessionPhase.CLOSED:
        return False
    if word is None:
        raise InputError(
            f"session {record.session} of account {record.account} was begun under configuration {known[:12]}, and the "
            f"one set now is {now.config_hash[:12]}: it applies from the next session on. Set the former one again to "
            f"finish this session, or let this one apply at once: {ACCEPT}"
        )
    with ledger.transaction() as tx:
        tx.add_risk_event(_accepted(tx, record, known, now, word))
    return True


def _accepted(tx: LedgerTransaction, record: SessionRecord, known: str, now: Provenance, word: Acceptance) -> RiskEvent:
    number = sum(one.kind == CONFIGURED for one in tx.risk_events(record.account, record.session))
    at = record.cursor_at or record.started_at
    return RiskEvent(
        event_id=digest(CONFIGURED, record.account, record.session.isoformat(), f"{number:04d}", now.config_hash),
        account=record.account, session=record.session, occurred_at=at, kind=CONFIGURED, severity="WARNING",
        message=f"the session goes on under configuration {now.config_hash[:12]} instead of {known[:12]} "
        f"({word.operator}: {word.reason})",
        data={
            "from": known, "to": now.config_hash, "operator": word.operator.strip(), "reason": word.reason.strip(),
            "said_at": word.at.isoformat(), "number": f"{number:04d}",
        },
    )  # fmt: skip
