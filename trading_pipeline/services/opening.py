"""How a session is entered: what the account brings along, and what must be true before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime

from trading_pipeline.domain.errors import InputError, LedgerError, SettingsError
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.ports import LedgerTransaction, TradingCalendar
from trading_pipeline.services.book import recorded_cash
from trading_pipeline.services.desk import Desk


def require_time_to_leave(desk: Desk, base_bar_minutes: int) -> None:
    """Raise SettingsError when time exits would begin too late for the bars they need."""
    lead = desk.rules.exits.flatten_before_close_minutes
    if lead < 2 * base_bar_minutes:
        raise SettingsError(
            f"execution.exits.flatten_before_close_minutes is {lead}, and base bars last {base_bar_minutes} minutes: "
            f"an exit needs one bar to fill in and one to secure what did not. Set it to {2 * base_bar_minutes} or "
            f"more."
        )


def require_its_day(calendar: TradingCalendar, times: SessionTimes, now: datetime, today: date) -> None:
    """Raise InputError unless a session that was never begun may be begun now: on its day, and before its close.

    At once over, or days away, it would trade nothing and bar every earlier session from being traded. today: the
    exchange's date.
    """
    if today == times.session and now < times.closes_at:
        return
    due = calendar.next(today) if calendar.is_session(today) and now >= calendar.times(today).closes_at else None
    due = due or calendar.session_of(now)
    closed = "" if calendar.is_session(today) else f"{today} is no session of the exchange. "
    when = "it is over and was never begun" if now >= times.closes_at else "it has not come"
    raise InputError(
        f"{closed}Session {times.session} runs from {times.opens_at:%Y-%m-%d %H:%M} to {times.closes_at:%H:%M} UTC, "
        f"and it is {now:%Y-%m-%d %H:%M}: {when}. Run it on its day (the next session is {due}; --every-session waits "
        f"for it), or a stored one on its bars: trading-pipeline session run --session DATE --accelerated"
    )


def opening_record(
    desk: Desk, tx: LedgerTransaction, times: SessionTimes, session_after: Callable[[date], date] | None = None
) -> SessionRecord:
    """How the account enters a session: cash and equity carried over from the last closed one.

    Raises LedgerError when a later session is on record, an earlier one was never finished, or one was left out
    while something is held (`session_after` names the next session of the calendar).
    """
    cash, equity = desk.rules.initial_cash_usd, desk.rules.initial_cash_usd
    past = tx.session_records(desk.account)
    if past:
        last = past[-1]
        _require_next(desk, last, times)
        if session_after is not None:
            _require_none_left_out(desk, tx.positions(desk.account), session_after(last.session), times)
        cash = recorded_cash(tx, last)
        equity = cash + sum((p.quantity * (p.mark or p.avg_px) for p in tx.positions(desk.account)), ZERO)
    return SessionRecord(
        account=desk.account, session=times.session, phase=SessionPhase.RUNNING, opening_cash_usd=cash,
        opening_equity_usd=equity, was_flat=not tx.positions(desk.account) and not tx.open_orders(desk.account),
        cursor_at=None, decision_hash="", code_version=desk.provenance.code_version,
        config_hash=desk.provenance.config_hash, started_at=times.opens_at, run_id=desk.provenance.run_id,
    )  # fmt: skip


def _require_next(desk: Desk, last: SessionRecord, times: SessionTimes) -> None:
    if last.session > times.session:
        raise LedgerError(
            f"account {desk.account} has already traded {last.session}; sessions run in date order, "
            f"and {times.session} is earlier. Try it without recording: trading-pipeline session replay --dry-run "
            f"--session {times.session}"
        )
    if last.phase is not SessionPhase.CLOSED:
        verb = "replay" if desk.broker.name == "simulated" else "run"
        raise LedgerError(
            f"session {last.session} of account {desk.account} was interrupted at {last.cursor_at}. Finish it first: "
            f"trading-pipeline session {verb} --session {last.session}"
        )


def _require_none_left_out(desk: Desk, held: Sequence[Position], due: date, times: SessionTimes) -> None:
    """A position lives through every session: its stop may fill in any."""
    if held and due < times.session:
        raise LedgerError(
            f"account {desk.account} holds {len(held)} position(s): {', '.join(p.symbol for p in held)}. Session {due} "
            f"is not on record, and {times.session} cannot come before it. Run it first: trading-pipeline session "
            f"replay --session {due}"
        )
