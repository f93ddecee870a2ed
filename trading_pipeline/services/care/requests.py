"""Asking for an exit: a durable request that the session loop carries out, by a person or by a switch."""

from __future__ import annotations

from datetime import date, datetime

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.positions import ExitReason, Position
from trading_pipeline.domain.trading_session import RiskEvent, SessionPhase
from trading_pipeline.ports import LedgerTransaction, TradingCalendar
from trading_pipeline.services.entries import digest

REQUESTED = "exit_requested"


def request_exit(
    tx: LedgerTransaction, calendar: TradingCalendar, position: Position, *,
    reason: ExitReason, operator: str, text: str, now: datetime,
) -> RiskEvent:  # fmt: skip
    """Write down that a position is to be closed; asking twice for one reason changes nothing.

    The loop of the running session does it in its next step, that of the next session when this one is over.
    Raises InputError without an operator or a reason in words.
    """
    if not operator.strip() or not text.strip():
        raise InputError("say who closes the position and why: --operator NAME --reason TEXT")
    session = _session_to_run(tx, calendar, position.account, now)
    event = exit_request(position, session, reason=reason, operator=operator, text=text, now=now)
    known = tx.risk_event(event.event_id)
    if known is None:
        tx.add_risk_event(event)
    return known or event


def exit_request(
    position: Position, session: date, *, reason: ExitReason, operator: str, text: str, now: datetime
) -> RiskEvent:
    """What asks the loop of `session` to close a position; one per position and reason."""
    return RiskEvent(
        event_id=digest(REQUESTED, position.account, position.trade_id, reason.value), account=position.account,
        session=session, occurred_at=now, kind=REQUESTED, severity="INFO",
        message=f"{operator} asks to close {plain(position.quantity)} {position.symbol}: {text}",
        data={
            "symbol": position.symbol, "trade_id": position.trade_id, "reason": reason.value, "operator": operator,
            "text": text,
        },
    )  # fmt: skip


def _session_to_run(tx: LedgerTransaction, calendar: TradingCalendar, account: str, now: datetime) -> date:
    """The session that can still act on it: a closed record is not written to any more."""
    session = calendar.session_of(now)
    record = tx.session_record(account, session)
    is_over = record.phase is SessionPhase.CLOSED if record else now >= calendar.times(session).closes_at
    return calendar.next(session) if is_over else session


def held_position(tx: LedgerTransaction, account: str, symbol: str) -> Position:
    """The open position in a symbol; raises InputError naming those that are held."""
    held = {position.symbol: position for position in tx.positions(account)}
    if symbol not in held:
        raise InputError(f"account {account} holds no {symbol}; it holds: {', '.join(sorted(held)) or 'nothing'}")
    return held[symbol]


def requested_exits(tx: LedgerTransaction, account: str, now: datetime) -> dict[str, ExitReason]:
    """Reasons of the exits asked for by `now`, by trade id; one of the last session is still good in the next."""
    sessions = [record.session for record in tx.session_records(account)][-2:]
    events = [event for session in sessions for event in tx.risk_events(account, session)]
    asked = [event for event in events if event.kind == REQUESTED and event.occurred_at <= now]
    return {event.data["trade_id"]: ExitReason(event.data["reason"]) for event in asked}
