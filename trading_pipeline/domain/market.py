"""What a market is made of: timeframes, sessions, bars and quotes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from trading_pipeline.domain.errors import NaiveDatetimeError

FULL_SESSION, ONE_DAY = timedelta(hours=6, minutes=30), timedelta(days=1)


class Timeframe(StrEnum):
    """Length of a bar, anchored on the session's open."""

    MIN1 = "1min"
    MIN5 = "5min"
    MIN15 = "15min"
    HOUR1 = "1h"
    HOUR4 = "4h"
    DAY1 = "1d"

    @property
    def minutes(self) -> int:
        """Length in minutes; a day is a full regular session (390)."""
        return {"1min": 1, "5min": 5, "15min": 15, "1h": 60, "4h": 240, "1d": 390}[self.value]

    @property
    def length(self) -> timedelta:
        """Nominal length; the last bar of a session may be shorter."""
        return timedelta(minutes=self.minutes)


BASE_TIMEFRAMES = (Timeframe.MIN1, Timeframe.MIN5)
DERIVED_TIMEFRAMES = (Timeframe.MIN15, Timeframe.HOUR1, Timeframe.HOUR4, Timeframe.DAY1)


PARTIAL_FEEDS = ("iex",)
"""Feeds whose volume is not the whole market's."""


class Adjustment(StrEnum):
    """What a delivery of bars has already been adjusted for."""

    RAW = "raw"
    SPLIT = "split"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """One exchange session: its date and its own open and close (aware UTC instants)."""

    session: date
    opens_at: datetime
    closes_at: datetime

    @property
    def is_half_day(self) -> bool:
        """True when the close is earlier than a full session's."""
        return self.closes_at - self.opens_at < FULL_SESSION

    @property
    def follows_at_once(self) -> bool:
        """True in a market that never closes: it opens at the instant at which the session before closes."""
        return self.closes_at - self.opens_at >= ONE_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketBar:
    """One base bar in the venue's own units: unadjusted USD per share, whole shares, aware UTC instants."""

    symbol: str
    start_at: datetime
    end_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """Last known price of a symbol (USD per share) and when it was true (aware UTC).

    bid, ask: where the source has them; bars have not.
    """

    symbol: str
    price: Decimal
    quoted_at: datetime
    bid: Decimal | None = None
    ask: Decimal | None = None

    def age(self, now: datetime) -> timedelta:
        """How old the quote is at `now`; never negative."""
        return max(now - self.quoted_at, timedelta(0))


def require_aware(instant: datetime, what: str = "instant") -> datetime:
    """Return `instant`; raises NaiveDatetimeError when it carries no time zone."""
    if instant.tzinfo is None:
        raise NaiveDatetimeError(what)
    return instant
