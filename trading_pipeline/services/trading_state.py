"""The account's trading state: read before anything leaves, set by a person or by a rule that tripped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from trading_pipeline.domain.breaker import Cause, Trip
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import Alert, AlertLevel, TradingState, TradingStateRecord
from trading_pipeline.domain.errors import InputError, LedgerError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline.services.modes.stopping import put_state

if TYPE_CHECKING:
    from trading_pipeline.services.desk import Desk

STATE_SEEN = "trading_state_seen"
"""Kind of the risk event by which a loop notes a trading state that others have set."""


def current_state(tx: LedgerTransaction, account: str) -> TradingState:
    """The state on record; ACTIVE when it was never set."""
    record = tx.trading_state(account)
    return record.state if record else TradingState.ACTIVE


def set_trading_state(
    ledger: Ledger, account: str, state: TradingState, *, reason: str, operator: str, at: datetime
) -> TradingStateRecord:
    """A person's word: it holds until the next one. Raises InputError without a reason or a name.

    The audit entry is written in the same transaction by the ledger.
    """
    record = a_word(account, state, reason=reason, operator=operator, at=at)
    with ledger.transaction() as tx:
        put_state(tx, record)
    return record


def a_word(account: str, state: TradingState, *, reason: str, operator: str, at: datetime) -> TradingStateRecord:
    """A person's word, not yet on record. Raises InputError without a reason or a name."""
    if not reason.strip() or not operator.strip():
        raise InputError("a change of the trading state needs a reason and a name: --reason TEXT --operator NAME")
    return TradingStateRecord(
        account=account, state=state, reason=reason.strip(), set_by=operator.strip(),
        changed_at=require_aware(at, "instant of a change of trading state"),
    )  # fmt: skip


def trip(desk: Desk, session: date, cause: Cause) -> bool:
    """A rule's word, latched in the file and then on record; a rule only ever tightens.

    False when this trigger stands already: it is said once until a person resumes. Raises LedgerError when it could
    not be put on record; the file, or this process's memory, blocks then.
    """
    found = Trip(account=desk.account, cause=cause, by=cause.trigger.value, at=desk.clock.now(), session=session)
    try:
        with desk.ledger.read() as tx:
            if stands(tx, found):
                return False
    except LedgerError:
        _engage(desk, found)
        raise
    _engage(desk, found)
    with desk.ledger.transaction() as tx:
        record_trip(tx, found)
    if desk.latch is not None:
        desk.latch.on_record()
    return True


def _engage(desk: Desk, found: Trip) -> None:
    if desk.latch is not None:
        desk.latch.engage(found)


def stands(tx: LedgerTransaction, found: Trip) -> bool:
    """True when the trigger has latched already, in this session or as what set the state."""
    record = tx.trading_state(found.account)
    if record is None or record.state.allows_entries:
        return False
    if record.state.severity < found.cause.state.severity:
        return False
    names = {one.kind for one in standing_trips(tx, found.account, found.session)}
    return found.cause.trigger.value in names | {record.set_by}


def standing_trips(tx: LedgerTransaction, account: str, session: date) -> Sequence[RiskEvent]:
    """Risk events of the rules that tripped in the session, after the last time its loop saw it resumed."""
    events = tx.risk_events(account, session)
    resumed = [
        one.occurred_at
        for one in events
        if one.kind == STATE_SEEN and one.data.get("state") == TradingState.ACTIVE.value
    ]
    since = max(resumed, default=None)
    return [one for one in events if is_of_a_rule(one) and (since is None or one.occurred_at > since)]


def record_trip(tx: LedgerTransaction, found: Trip) -> None:
    """The state, tightened, and the rule's CRITICAL risk event; doing it again changes nothing."""
    cause = found.cause
    if cause.state.severity > current_state(tx, found.account).severity:
        put_state(
            tx,
            TradingStateRecord(
                account=found.account, state=cause.state, reason=cause.words, set_by=found.by, changed_at=found.at
            ),
        )  # fmt: skip
    event = RiskEvent(
        event_id=_event_id(found.by, found.account, found.at), account=found.account, session=found.session,
        occurred_at=found.at, kind=found.by, severity="CRITICAL",
        message=f"{cause.words}. Trading is {cause.state.value} until a person resumes it: "
        "trading-pipeline resume --reason TEXT --operator NAME",
        data={"measured": cause.measured, "limit": cause.limit, "flattens": "yes" if cause.flattens else "no"},
    )  # fmt: skip
    if tx.risk_event(event.event_id) is None:
        tx.add_risk_event(event)


def adopt(ledger: Ledger, found: Trip) -> None:
    """Bring the record in line with a latch that is stricter: whoever latched may have found no database.

    A rule's trip as the rule would have recorded it; a person's word as that person's.
    """
    with ledger.read() as tx:
        if not _is_news(tx.trading_state(found.account), found):
            return
    with ledger.transaction() as tx:
        if found.by == found.cause.trigger.value:
            record_trip(tx, found)
        else:
            record_word(tx, found)


def _is_news(row: TradingStateRecord | None, found: Trip) -> bool:
    """True for a latch that stops more than the record does, or closes positions by a later word."""
    known = row.state if row else TradingState.ACTIVE
    if row is None or known is not found.cause.state:
        return known.severity < found.cause.state.severity
    is_asked = found.cause.flattens and found.cause.trigger is Trigger.KILL
    return is_asked and not row.flattens and row.changed_at < found.at


def record_word(tx: LedgerTransaction, found: Trip) -> None:
    """A person's word: the row, and of a kill the alert, in one transaction; who set the state before is in the audit.

    Doing it again changes nothing.
    """
    cause, is_kill = found.cause, found.cause.trigger is Trigger.KILL
    put_state(
        tx,
        TradingStateRecord(
            account=found.account, state=cause.state, reason=cause.words, set_by=found.by, changed_at=found.at,
            flattens=is_kill and cause.flattens,
        ),
    )  # fmt: skip
    if is_kill:
        tx.add_alert(_of_kill(found))


def _of_kill(found: Trip) -> Alert:
    closing = "; all positions are to be closed" if found.cause.flattens else ""
    return Alert(
        alert_id=_event_id(Trigger.KILL.value, found.account, found.at), account=found.account, session=found.session,
        occurred_at=found.at, level=AlertLevel.CRITICAL, kind=Trigger.KILL.value,
        message=f"{found.by} stopped all trading: {found.cause.words}{closing}",
        data={"flatten": "yes" if found.cause.flattens else "no"},
    )  # fmt: skip


def tripped_by(tx: LedgerTransaction, record: TradingStateRecord) -> RiskEvent | None:
    """The risk event of the rule that set a state; None when a person did."""
    return tx.risk_event(_event_id(record.set_by, record.account, record.changed_at))


def is_of_a_rule(event: RiskEvent) -> bool:
    """True for the risk event of a rule that tripped."""
    return event.event_id == _event_id(event.kind, event.account, event.occurred_at)


def _event_id(rule: str, account: str, at: datetime) -> str:
    return f"{rule}-{account}-{at.isoformat()}"
