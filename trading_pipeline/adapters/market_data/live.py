"""What every vendor's live bars tell alike: how the stream stands, quotes by a request, the market's hours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trading_pipeline.domain.market import Quote
from trading_pipeline.ports import Clock, StreamHealth, TradingCalendar


class Quotes(Protocol):
    """The vendor's past and present, by requests."""

    def latest_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]: ...


class LiveStream:
    """The shared part of LiveBars; a subclass keeps `_is_connected`, `_last_at`, `_connections` and `_problem`."""

    def __init__(self, quotes: Quotes, calendar: TradingCalendar, clock: Clock) -> None:
        self._quotes, self._calendar, self._clock = quotes, calendar, clock
        self._is_connected, self._connections, self._problem = False, 0, ""
        self._last_at: datetime | None = None

    def latest_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Bid, ask and last of each symbol."""
        return self._quotes.latest_quotes(symbols)

    def is_market_open(self) -> bool:
        """True in the calendar's regular hours; a halt of the whole market is not known here."""
        now = self._clock.now()
        times = self._calendar.times(self._calendar.session_of(now))
        return times.opens_at <= now < times.closes_at

    def health(self) -> StreamHealth:
        """How the stream stands."""
        return StreamHealth(
            is_connected=self._is_connected, last_at=self._last_at, connections=self._connections,
            problem=self._problem,
        )  # fmt: skip
