"""Whether entries may leave as far as reconciliation is concerned: read from the record alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk


def is_reconciled(tx: LedgerTransaction, desk: Desk, session: date, now: datetime, symbol: str = "") -> bool:
    """True when the session's last pass is young enough and found nothing that blocks the symbol or the account.

    Without a symbol: the account as a whole. No entry may leave while this is False.
    """
    return not why_not_reconciled(tx, desk, session, now, symbol)


def why_not_reconciled(tx: LedgerTransaction, desk: Desk, session: date, now: datetime, symbol: str = "") -> str:
    """In words; empty when reconciled."""
    passed = tx.last_reconciliation(desk.account)
    if passed is None or passed.session != session:
        return "the record has not been compared with the venue in this session"
    oldest = timedelta(seconds=desk.rules.reconcile.max_age_seconds, minutes=desk.base_bar_minutes)
    if abs(now - passed.at) > oldest:
        return f"the record was last compared with the venue at {passed.at.isoformat()}"
    blocking = passed.blocking(symbol)
    return f"the record differs from the venue: {blocking[0].words}" if blocking else ""
