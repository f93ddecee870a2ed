"""A session that closes while the venue does not answer: it is waited for, then said, and shown for ever in the report.

What the venue did then is learned by the next session, which books it as its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import Fill
from trading_pipeline.domain.trading_session import RiskEvent, SessionPhase, SessionRecord
from trading_pipeline.ports import Clock, LedgerTransaction

PATIENCE = timedelta(minutes=10)
"""How long after its close a session stays open for a venue that does not answer: its report is made later."""
UNHEARD = "closed_unheard"
"""Kind of the risk event that marks a session which closed all the same."""


def require_an_answer(closes_at: datetime, real_clock: Clock | None) -> None:
    """Raise OutcomeUnknown, so that the venue is asked again, on the real clock, for a time."""
    if real_clock is not None and real_clock.now() < closes_at + PATIENCE:
        until = closes_at + PATIENCE
        raise OutcomeUnknown(
            f"the venue does not answer at the close: the session stays open until {until:%H:%M:%S} UTC for its word"
        )


def mark_unheard(tx: LedgerTransaction, record: SessionRecord, at: datetime) -> None:
    """On record, which raises the alert; once."""
    event = RiskEvent(
        event_id=f"{UNHEARD}-{record.account}-{record.session}", account=record.account, session=record.session,
        occurred_at=at, kind=UNHEARD, severity="ERROR",
        message=f"session {record.session} was closed while the venue was silent: what it did last is not known yet, "
        "and fills of then are booked with the next session. Stops stay at the venue. Look there, and: "
        "trading-pipeline reconcile",
    )  # fmt: skip
    if tx.risk_event(event.event_id) is None:
        tx.add_risk_event(event)


def remarks(tx: LedgerTransaction, record: SessionRecord) -> tuple[str, ...]:
    """What the report of a session has to say of its end: by all that is on record today."""
    marks = (one.message for one in tx.risk_events(record.account, record.session) if one.kind == UNHEARD)
    return (*marks, *_booked_later(tx, record))


def _booked_later(tx: LedgerTransaction, record: SessionRecord) -> Iterator[str]:
    """Fills of before its end that another session has booked."""
    if record.phase is not SessionPhase.CLOSED or record.cursor_at is None:
        return
    for other in tx.session_records(record.account):
        late = [one for one in _fills_after(tx, record, other.session) if one.executed_at <= record.cursor_at]
        if late:
            words = ", ".join(
                f"{one.side.value} {plain(one.quantity)} {one.symbol} at {plain(one.price)}" for one in late
            )
            yield (
                f"{len(late)} fill(s) of before the close became known later; they are booked with session "
                f"{other.session}, and are in none of the figures here: {words}"
            )


def _fills_after(tx: LedgerTransaction, record: SessionRecord, session: date) -> list[Fill]:
    if session <= record.session:
        return []
    return [one for one in tx.fills(record.account, session=session) if one.executed_at >= record.started_at]
