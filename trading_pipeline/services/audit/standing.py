"""How the audit log stands, without verifying it: what waits, what no checkpoint covers yet, and who numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trading_pipeline.domain.audit import Checkpoint, SignedCheckpoint, instant_of, read_body
from trading_pipeline.domain.control import Alert, AlertLevel, Lease
from trading_pipeline.domain.errors import AuditFormatError
from trading_pipeline.ports.audit import AuditLedger, AuditTransaction, Waiting
from trading_pipeline.services.audit.checkpoints import AuditDesk
from trading_pipeline.services.audit.sequencer import LEASE, OVERDUE


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditStanding:
    """What one look shows. waiting: outbox rows without a number. open_since: since when the oldest entry has no
    checkpoint, None when all have one. leader: who numbers now, "" when nobody does.
    """

    entries: int = 0
    waiting: int = 0
    checkpoint: int = 0
    checkpoint_at: datetime | None = None
    open_since: datetime | None = None
    open_number: int = 0
    leader: str = ""

    def is_overdue(self, now: datetime, seconds: float) -> bool:
        """True when an entry has waited for its checkpoint for longer."""
        return self.open_since is not None and now - self.open_since > timedelta(seconds=seconds)


def read_standing(ledger: AuditLedger, now: datetime) -> AuditStanding:
    """Read it in one transaction; costs a few look-ups, however long the log is. Raises LedgerError."""
    with ledger.read() as tx:
        newest, last, waiting = tx.newest_checkpoint(), tx.newest_logged(), tx.waiting()
        said = _said(newest)
        covered = said.seq if said else 0
        since, number = _open_since(tx, covered, waiting)
        return AuditStanding(
            entries=last.seq if last else 0, waiting=waiting.entries, checkpoint=said.number if said else 0,
            checkpoint_at=said.at if said else None, open_since=since, open_number=number,
            leader=_leader(tx.lease(LEASE), now),
        )  # fmt: skip


def _open_since(tx: AuditTransaction, covered: int, waiting: Waiting) -> tuple[datetime | None, int]:
    """Since when the oldest entry has no checkpoint, and its outbox number.

    What waits tells when it happened by the clock of its session, which may be one of last year: it cannot have waited
    since before the newest entry got its number.
    """
    first = next(iter(tx.logged(after=covered, limit=1)), None)
    if first is not None:
        return _recorded_at(first.body) or first.occurred_at, first.outbox_no
    if waiting.oldest_no is None:
        return None, 0
    last = tx.newest_logged()
    known = (waiting.occurred_at, _recorded_at(last.body) if last else None)
    return max((at for at in known if at is not None), default=LONG_AGO), waiting.oldest_no


LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when something waits that does not say it."""


def _said(newest: SignedCheckpoint | None) -> Checkpoint | None:
    """What the newest checkpoint says; None too for one that is none, as nothing is signed by it."""
    try:
        return newest.checkpoint if newest else None
    except AuditFormatError:
        return None


def overdue_alert(desk: AuditDesk, standing: AuditStanding, now: datetime, seconds: float) -> Alert | None:
    """The alarm that is due, once for the entry that waits longest; whoever notices raises it."""
    if standing.open_since is None or not standing.is_overdue(now, seconds):
        return None
    who = f"{standing.leader} numbers" if standing.leader else "nobody numbers: trading-pipeline relay run"
    return desk.alert(
        f"{desk.account}-{standing.open_number}", AlertLevel.CRITICAL, OVERDUE,
        f"the audit log has no checkpoint since {standing.open_since:%Y-%m-%d %H:%M:%S} UTC though entries wait "
        f"({standing.waiting} without a number; {who})",
        waiting=str(standing.waiting), entries=str(standing.entries), checkpoint=str(standing.checkpoint),
    )  # fmt: skip


def _recorded_at(body: str) -> datetime | None:
    try:
        return instant_of(read_body(body)["recorded_at"])
    except (AuditFormatError, ValueError):
        return None


def _leader(lease: Lease | None, now: datetime) -> str:
    return lease.holder if lease is not None and lease.is_live(now) else ""
