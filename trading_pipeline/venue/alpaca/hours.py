"""When the market is open, as orders, clock and calendar need it."""

from __future__ import annotations

from datetime import datetime, timedelta

from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.orders import TimeInForce
from trading_pipeline.ports import TradingCalendar

GTC_DAYS = 90


def session_at(calendar: TradingCalendar, instant: datetime) -> SessionTimes:
    """The session that is open at `instant`, else the next one."""
    times = calendar.times(calendar.session_of(instant))
    return times if instant < times.closes_at else calendar.times(calendar.next(times.session))


def opens_after(calendar: TradingCalendar, instant: datetime) -> datetime | None:
    """When the market opens next; None while it is open."""
    opens_at = session_at(calendar, instant).opens_at
    return opens_at if instant < opens_at else None


def lives_until(calendar: TradingCalendar, instant: datetime, life: TimeInForce) -> datetime:
    """When an order sent at `instant` expires: with its session, or after 90 days when good till canceled."""
    if life is TimeInForce.GTC:
        return session_at(calendar, instant + timedelta(days=GTC_DAYS)).closes_at
    return session_at(calendar, instant).closes_at
