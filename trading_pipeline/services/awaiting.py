"""Waiting a few seconds for the bar that has just closed: runs start by the minute, bars come a little later."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from trading_pipeline.services.research_desk import ResearchDesk

LOOK_EVERY = timedelta(milliseconds=500)
LATE = timedelta(minutes=2)
"""A bar that is due for longer is not waited for: it is not being delivered just now."""


def await_newest_bar(desk: ResearchDesk, session: date, patience_seconds: float) -> bool:
    """Return once the bars up to the newest close of a trigger bar are stored; False when they are not there in time.

    In a session that does not run, and where the close is long past, nothing is waited for (True).
    """
    due = newest_close(desk, session)
    if due is None or desk.clock.now() - due > LATE:
        return True
    give_up_at = desk.clock.now() + timedelta(seconds=patience_seconds)
    while not _is_stored(desk, session, due):
        now = desk.clock.now()
        if now >= give_up_at:
            return False
        desk.clock.sleep_until(min(now + LOOK_EVERY, give_up_at))
    return True


def newest_close(desk: ResearchDesk, session: date) -> datetime | None:
    """The last instant at which a trigger bar of the session has closed; None before the first."""
    times, now = desk.calendar.times(session), desk.clock.now()
    closed = (min(now, times.closes_at) - times.opens_at) // desk.trigger.length
    return times.opens_at + closed * desk.trigger.length if closed > 0 else None


def _is_stored(desk: ResearchDesk, session: date, due: datetime) -> bool:
    last = desk.last_bar_end(session)
    return last is not None and last >= due
