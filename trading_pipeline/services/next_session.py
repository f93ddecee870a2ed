"""Which session's loop a service hosts next, and from when on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.ports import TradingCalendar


@dataclass(frozen=True, slots=True)
class NextSession:
    """Its loop is to be started at `starts_at` or, when that is past, now."""

    session: date
    starts_at: datetime


def next_to_host(
    calendar: TradingCalendar, records: Sequence[SessionRecord], now: datetime, lead: timedelta
) -> NextSession:
    """The newest session when it was begun and not closed; else the first that is not over, `lead` before its open.

    records: the account's, ascending. A session that is over and was never begun is left out: all of it at once would
    be decided on what is past.
    """
    require_aware(now)
    newest = records[-1] if records else None
    if newest is not None and newest.phase is not SessionPhase.CLOSED:
        return NextSession(newest.session, now)
    times = calendar.times(calendar.session_of(now))
    while now >= times.closes_at or (newest is not None and newest.session >= times.session):
        times = calendar.times(calendar.next(times.session))
    return NextSession(times.session, times.opens_at - lead)
