"""One partition per exchange session: weekdays less the calendar's holidays."""

from __future__ import annotations

from datetime import date, datetime, time
from functools import cache

import dagster as dg

from trading_pipeline.adapters.calendar import ExchangeCalendar

FIRST_PARTITION = date(2015, 1, 2)
ZONE = "America/New_York"


@cache
def calendar() -> ExchangeCalendar:
    """The exchange's calendar, loaded once per process."""
    return ExchangeCalendar()


def session_partitions() -> dg.TimeWindowPartitionsDefinition:
    """Keys are exactly the exchange's sessions from 2015 to today; on a holiday the newest key is the next session.

    end_offset 1: today's session is a partition from midnight on, before its window ends.
    """
    exchange = calendar()
    holidays = exchange.holidays(FIRST_PARTITION, exchange.last_session())
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule="0 0 * * 1-5",
        start=datetime.combine(FIRST_PARTITION, time()),
        timezone=ZONE,
        fmt="%Y-%m-%d",
        end_offset=1,
        exclusions=[datetime.combine(day, time(), exchange.zone) for day in holidays],
    )


SESSIONS = session_partitions()
