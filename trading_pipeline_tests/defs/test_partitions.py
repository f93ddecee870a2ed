"""Partitions are the exchange's sessions, neither more nor fewer."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.defs.partitions import FIRST_PARTITION, SESSIONS

NEW_YORK = ZoneInfo("America/New_York")


def keys_at(instant: datetime) -> list[str]:
    return list(SESSIONS.get_partition_keys(current_time=instant))


def test_session_partitions_equal_the_exchange_calendar_from_2015_to_today() -> None:
    now = datetime.now(UTC)
    today = now.astimezone(NEW_YORK).date()

    expected = [day.isoformat() for day in ExchangeCalendar().sessions(FIRST_PARTITION, today)]

    keys = keys_at(now)
    assert keys[: len(expected)] == expected
    assert all(date.fromisoformat(key) > today for key in keys[len(expected) :])  # on a closed day: the next session


@pytest.mark.parametrize(
    ("instant", "newest"),
    [
        (datetime(2025, 7, 3, 0, 1, tzinfo=NEW_YORK), "2025-07-03"),  # a half-day, from midnight on
        (datetime(2025, 7, 4, 12, 0, tzinfo=NEW_YORK), "2025-07-07"),  # a holiday: the next session
        (datetime(2025, 3, 10, 9, 0, tzinfo=NEW_YORK), "2025-03-10"),  # the first session of daylight saving
        (datetime(2025, 11, 3, 9, 0, tzinfo=NEW_YORK), "2025-11-03"),  # and of standard time
    ],
)
def test_the_newest_partition_is_todays_session_or_the_next(instant: datetime, newest: str) -> None:
    assert keys_at(instant)[-1] == newest


def test_a_partition_starts_at_midnight_in_new_york_whatever_the_season() -> None:
    for key in ("2025-01-06", "2025-07-01"):
        window = SESSIONS.time_window_for_partition_key(key)
        assert window.start.astimezone(NEW_YORK).isoformat()[:19] == f"{key}T00:00:00"
        assert window.end - window.start >= timedelta(hours=23)
