"""One partition per session: the calendar's days of the week less its holidays."""

from __future__ import annotations

from datetime import date, datetime, time
from functools import cache

import dagster as dg

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.settings import Settings, load_settings

FIRST_PARTITION = date(2015, 1, 2)


@cache
def configured() -> Settings:
    """The settings of the environment, read once per process: by them the definitions are made, until a reload."""
    return load_settings()


@cache
def calendar() -> ExchangeCalendar:
    """The calendar that the settings name (of the environment's profile, if any), loaded once per process."""
    return ExchangeCalendar(configured().market.calendar)


def session_partitions() -> dg.TimeWindowPartitionsDefinition:
    """Keys are exactly the exchange's sessions from 2015 to today; on a holiday the newest key is the next session.

    end_offset 1: today's session is a partition from midnight on, before its window ends.
    """
    exchange = calendar()
    holidays = exchange.holidays(FIRST_PARTITION, exchange.last_session())
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule=f"0 0 * * {exchange.weekdays}",
        start=datetime.combine(FIRST_PARTITION, time()),
        timezone=str(exchange.zone),
        fmt="%Y-%m-%d",
        end_offset=1,
        exclusions=[datetime.combine(day, time(), exchange.zone) for day in holidays],
    )


SESSIONS = session_partitions()
