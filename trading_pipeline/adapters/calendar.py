"""Sessions of the New York Stock Exchange, or of a market that never closes, from exchange_calendars."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import exchange_calendars as xcals
import pandas as pd

from trading_pipeline.domain.errors import NotASessionError
from trading_pipeline.domain.market import SessionTimes, require_aware

FIRST_DAY = date(2014, 1, 1)
"""Sessions are known from here on: one year before the first partition, for history."""


ZONES = {"XNYS": "America/New_York", "24/7": "UTC"}


class ExchangeCalendar:
    """Sessions of one exchange (XNYS, or 24/7: every day from midnight to midnight UTC). Implements TradingCalendar."""

    def __init__(self, name: str = "XNYS", *, first: date = FIRST_DAY, last: date | None = None) -> None:
        """first, last: the span of days it knows; last None: about a year ahead."""
        self.name = name
        self._span = first, last
        self.zone = ZoneInfo(ZONES[name])

    @property
    def weekdays(self) -> str:
        """The days of the week on which there may be a session, as the last field of a cron line."""
        return "1-5" if self._calendar.weekmask == "1111100" else "*"

    @cached_property
    def _calendar(self) -> xcals.ExchangeCalendar:
        first, last = self._span
        return xcals.get_calendar(self.name, start=pd.Timestamp(first), end=pd.Timestamp(last) if last else None)

    @cached_property
    def _times(self) -> dict[date, SessionTimes]:
        schedule = self._calendar.schedule
        return {
            label.date(): SessionTimes(label.date(), opens.to_pydatetime(), closes.to_pydatetime())
            for label, opens, closes in zip(
                schedule.index, schedule["open"].dt.tz_convert(UTC), schedule["close"].dt.tz_convert(UTC), strict=True
            )
        }

    @cached_property
    def _days(self) -> list[date]:
        return list(self._times)

    def sessions(self, first: date, last: date) -> Sequence[date]:
        """Every session from first to last, both included, ascending."""
        return self._days[bisect_left(self._days, first) : bisect_right(self._days, last)]

    def last_session(self) -> date:
        """The last session the calendar knows (about a year ahead)."""
        return self._days[-1]

    def is_session(self, day: date) -> bool:
        """True when the exchange opens on that date."""
        return day in self._times

    def times(self, session: date) -> SessionTimes:
        """Open and close of a session (UTC); raises NotASessionError for any other date."""
        times = self._times.get(session)
        if times is None:
            raise NotASessionError(self._why_not(session))
        return times

    def previous(self, session: date, count: int = 1) -> date:
        """The session `count` before this one."""
        return self._offset(session, -count)

    def next(self, session: date, count: int = 1) -> date:
        """The session `count` after this one."""
        return self._offset(session, count)

    def holidays(self, first: date, last: date) -> Sequence[date]:
        """Days of the week of sessions between first and last, both included, on which the exchange is closed."""
        weekdays = pd.bdate_range(first, last) if self.weekdays == "1-5" else pd.date_range(first, last)
        return [day.date() for day in weekdays if day.date() not in self._times]

    def session_of(self, instant: datetime) -> date:
        """The session whose exchange date the instant falls on, else the next one."""
        day = require_aware(instant).astimezone(self.zone).date()
        return day if self.is_session(day) else self._following(day)

    def _offset(self, session: date, count: int) -> date:
        position = self._index_of(session) + count
        if not 0 <= position < len(self._days):
            raise NotASessionError(
                f"{count:+d} sessions from {session} lies outside the calendar ({self._days[0]} to {self._days[-1]})."
            )
        return self._days[position]

    def _index_of(self, session: date) -> int:
        self.times(session)
        return bisect_left(self._days, session)

    def _following(self, day: date) -> date:
        after = self.sessions(day, self._days[-1])
        if not after:
            raise NotASessionError(f"no session on or after {day} is in the calendar (it ends {self._days[-1]}).")
        return after[0]

    def _why_not(self, day: date) -> str:
        if not self._days[0] <= day <= self._days[-1]:
            return f"{day} lies outside the {self.name} calendar ({self._days[0]} to {self._days[-1]})."
        before, after = self.sessions(day - timedelta(days=10), day)[-1], self._following(day)
        kind = "a weekend day" if day.weekday() >= 5 else "an exchange holiday"
        return f"{day} is {kind}: {self.name} has no session. Nearest sessions: {before} and {after}."
