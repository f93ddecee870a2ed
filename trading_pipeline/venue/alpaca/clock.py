"""/v2/clock and /v2/calendar: New York's hours, by the venue's time."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from starlette.routing import Route

from trading_pipeline.venue.alpaca.context import Asked, DoorContext, Reply
from trading_pipeline.venue.alpaca.hours import session_at
from trading_pipeline.venue.alpaca.requests import instant
from trading_pipeline.venue.alpaca.wire import NEW_YORK, instant_of, stamp_in_new_york

MOST_AHEAD = timedelta(days=366)


class ClockRoutes:
    """Regular hours only."""

    def __init__(self, context: DoorContext) -> None:
        self._context, self._calendar = context, context.calendar

    def routes(self) -> list[Route]:
        return [
            self._context.route("/v2/clock", "clock", self.clock),
            self._context.route("/v2/calendar", "calendar", self.calendar),
        ]

    def clock(self, asked: Asked) -> Reply:  # noqa: ARG002
        now = self._context.hub.time.now()
        session = session_at(self._calendar, now)
        is_open = session.opens_at <= now
        following = self._calendar.times(self._calendar.next(session.session)) if is_open else session
        return Reply(
            {
                "timestamp": stamp_in_new_york(now),
                "is_open": is_open,
                "next_open": stamp_in_new_york(following.opens_at),
                "next_close": stamp_in_new_york(session.closes_at),
            }
        )

    def calendar(self, asked: Asked) -> Reply:
        """At most a year from the venue's own day where no end is given."""
        today = self._context.hub.time.now().astimezone(NEW_YORK).date()
        first, last = self._day(asked, "start", today), self._day(asked, "end", today + MOST_AHEAD)
        return Reply([self._session(day) for day in self._calendar.sessions(first, last)])

    def _day(self, asked: Asked, name: str, default: date) -> date:
        found = instant(asked.query, name)
        return default if found is None else instant_of(found).date()

    def _session(self, day: date) -> dict[str, Any]:
        times = self._calendar.times(day)
        opens, closes = (at.astimezone(NEW_YORK) for at in (times.opens_at, times.closes_at))
        return {
            "date": day.isoformat(),
            "open": f"{opens:%H:%M}",
            "close": f"{closes:%H:%M}",
            "session_open": "0400",
            "session_close": "1700" if times.is_half_day else "2000",
            "settlement_date": self._calendar.next(day).isoformat(),
        }
