"""What must be true before a job decides, asked again then: a failed check of an asset stops only its own run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime

from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.ports import Ledger
from trading_pipeline.services.checks import CHECKS, Check
from trading_pipeline.services.research_desk import ResearchDesk

GATES = tuple(
    check for check in CHECKS if (check.asset, check.name) in {("universe", "complete"), ("bars", "freshness")}
)
"""An incomplete universe and stale bars stop entries. A failed reconciliation does too: a risk check of its own."""


def closed_gates(desk: ResearchDesk, session: date) -> Sequence[str]:
    """In words, what keeps the session from being decided on now; empty when nothing does."""
    return [words for check in GATES if (words := _objection(desk, session, check))]


def _objection(desk: ResearchDesk, session: date, check: Check) -> str:
    try:
        verdict = check.ask(desk, session)
    except MissingResultError as missing:
        return f"{check.asset}.{check.name}: {missing}"
    return "" if verdict.passed else f"{check.asset}.{check.name}: {verdict.words}"


def raise_once(
    ledger: Ledger, account: str, session: date, *, cause: str, at: datetime, level: AlertLevel, kind: str, message: str
) -> bool:
    """Put an alert on record unless the same cause raised one before; returns True when it is new."""
    alert_id = hashlib.sha256(f"{kind}|{account}|{session}|{cause}".encode()).hexdigest()[:24]
    with ledger.transaction() as tx:
        return tx.raise_alert(
            Alert(
                alert_id=alert_id, account=account, session=session, occurred_at=at, level=level, kind=kind,
                message=message, data={"cause": cause},
            )
        )  # fmt: skip
