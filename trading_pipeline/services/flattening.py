"""That all positions are to be closed: who wants it, by latch file or by record, and when it is done.

A person's word is in the latch file and in the row of the trading state, so that a lost file, or a loop on another
machine, forgets nothing; it ends when the venue shows nothing held any more, or when a person resumes. A rule's word
is in its risk event and holds until a person resumes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from trading_pipeline.domain.alert_kinds import alert
from trading_pipeline.domain.breaker import Trip
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import TradingStateRecord
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.latch import HANDS_OFF, Latched
from trading_pipeline.services.trading_state import standing_trips, tripped_by


@dataclass(frozen=True, slots=True)
class Flatten:
    """Why positions are to be closed, in words and as an exit's reason."""

    words: str
    reason: ExitReason


def wanted(tx: LedgerTransaction, latched: Latched, account: str, session: date | None) -> Flatten | None:
    """Who wants it, the latch first. session: in which rules are asked; None: only the one that set the state."""
    row = tx.trading_state(account)
    if row is not None and row.state.allows_entries:
        row = None
    trip = latched.trip
    if trip is not None and trip.cause.flattens and not _is_done(row, trip):
        is_kill = trip.cause.trigger is Trigger.KILL
        return Flatten(latched.words, ExitReason.KILL_SWITCH if is_kill else ExitReason.CIRCUIT_BREAKER)
    if row is None:
        return None
    if row.flattens:
        return Flatten(row.reason, ExitReason.KILL_SWITCH)
    set_by = tripped_by(tx, row)
    events = [*([set_by] if set_by else []), *(standing_trips(tx, account, session) if session else ())]
    words = next((one.message for one in events if one.data.get("flattens") == "yes"), "")
    return Flatten(words, ExitReason.CIRCUIT_BREAKER) if words else None


def with_what_stands(tx: LedgerTransaction, latched: Latched, found: Trip) -> Trip:
    """A kill, for the record: positions that were to be closed before it stay so. latched: as it was before it."""
    if found.cause.flattens or wanted(tx, latched, found.account, found.session) is None:
        return found
    return replace(found, cause=replace(found.cause, flattens=True))


def _is_done(row: TradingStateRecord | None, trip: Trip) -> bool:
    """True when the record has taken a person's word, and has seen it done since."""
    is_word = trip.cause.trigger is Trigger.KILL and row is not None
    return is_word and row is not None and (row.set_by, row.changed_at, row.flattens) == (trip.by, trip.at, False)


def closed_elsewhere_until(row: TradingStateRecord | None, latched: Latched) -> datetime | None:
    """Until when a kill that only the record tells of may still be selling; None where there is none, or a file."""
    if row is None or not row.flattens or (latched.trip is not None and latched.trip.at == row.changed_at):
        return None
    return row.changed_at + HANDS_OFF


def end_when_flat(desk: Desk, session: date) -> bool:
    """Say so, once neither record nor venue shows a position or an order; True when it was ended now."""
    with desk.ledger.read() as tx:
        row = tx.trading_state(desk.account)
        if row is None or not row.flattens or tx.positions(desk.account) or tx.open_orders(desk.account):
            return False
    try:
        if desk.broker.open_orders() or any(one.quantity for one in desk.broker.positions()):
            return False
    except OutcomeUnknown:
        return False
    with desk.ledger.transaction() as tx:
        if tx.trading_state(desk.account) != row:  # somebody has said something else meanwhile
            return False
        tx.set_trading_state(replace(row, flattens=False))
        tx.raise_alert(
            alert(
                "flattened", row.changed_at.isoformat(), account=desk.account, session=session, at=desk.clock.now(),
                message=f"all is closed, as {row.set_by} wanted: the venue shows neither position nor order. Trading "
                f"stays {row.state.value} until a person resumes it",
            )
        )  # fmt: skip
    return True
