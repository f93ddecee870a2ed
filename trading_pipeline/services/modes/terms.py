"""The terms a session trades on, as its loop noted them: decisions take their limits from them, live and in replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal

from trading_pipeline.domain.mode_terms import Terms
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk

TERMS_SEEN = "mode_terms"
"""Kind of the risk event by which a loop notes the terms that hold from its instant on."""
AT_ONCE = 10
"""Notes of a session that are asked for together; hardly a session has more."""


def terms_in_force(tx: LedgerTransaction, account: str, session: date) -> Terms:
    """Those noted last in the session; without a note: SIMULATION, of which nobody ever said otherwise."""
    noted = newest_note(tx, account, session)
    return Terms.of(noted.data) if noted else Terms()


def newest_note(tx: LedgerTransaction, account: str, session: date) -> RiskEvent | None:
    """The note in force; None when there is none."""
    notes = list(_notes(tx, account, session))
    return max(notes, key=lambda note: int(note.data["number"])) if notes else None


def _notes(tx: LedgerTransaction, account: str, session: date) -> Iterator[RiskEvent]:
    first = 0
    while found := tx.risk_events_named([note_id(account, session, first + n) for n in range(AT_ONCE)]):
        yield from found
        if len(found) < AT_ONCE:
            return
        first += AT_ONCE


def note_id(account: str, session: date, number: int) -> str:
    """Identity of a session's note; notes are numbered from 0."""
    return f"{TERMS_SEEN}-{account}-{session}-{number:06d}"


def under(desk: Desk, tx: LedgerTransaction, session: date, equity_usd: Decimal | None = None) -> Desk:
    """The desk with the limits in force: the strictest of configuration, mode and what the loop has noted of it.

    equity_usd: of the moment, see Terms.limits.
    """
    return under_terms(desk, terms_in_force(tx, desk.account, session), equity_usd)


def under_terms(desk: Desk, terms: Terms, equity_usd: Decimal | None = None) -> Desk:
    """The same for terms at hand."""
    rules = desk.rules
    risk = terms.limits(
        rules.risk, rules.mode_watch, equity_usd=equity_usd, is_leveraged=rules.rebalance.capital_scaling > 1
    )  # fmt: skip
    breaker = terms.breaker(rules.breaker, rules.mode_watch)
    if risk == rules.risk and breaker is rules.breaker:
        return desk
    return replace(desk, rules=rules.model_copy(update={"risk": risk, "breaker": breaker}))
