"""The calendar knows holidays, half-days and daylight saving."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.domain.errors import NaiveDatetimeError, NotASessionError

CALENDAR = ExchangeCalendar()


def test_a_full_session_is_half_past_nine_to_four_in_new_york_summer_and_winter() -> None:
    summer, winter = CALENDAR.times(date(2025, 7, 1)), CALENDAR.times(date(2025, 1, 6))

    assert (summer.opens_at, summer.closes_at) == (
        datetime(2025, 7, 1, 13, 30, tzinfo=UTC),
        datetime(2025, 7, 1, 20, 0, tzinfo=UTC),
    )
    assert (winter.opens_at, winter.closes_at) == (
        datetime(2025, 1, 6, 14, 30, tzinfo=UTC),
        datetime(2025, 1, 6, 21, 0, tzinfo=UTC),
    )


def test_a_half_day_closes_at_one() -> None:
    times = CALENDAR.times(date(2025, 7, 3))

    assert times.is_half_day
    assert times.closes_at - times.opens_at == timedelta(hours=3, minutes=30)


@pytest.mark.parametrize("day", [date(2025, 7, 4), date(2025, 1, 9), date(2025, 4, 18)])
def test_a_holiday_is_refused_with_its_neighbours(day: date) -> None:
    with pytest.raises(NotASessionError, match=r"exchange holiday.*Nearest sessions"):
        CALENDAR.times(day)


def test_a_weekend_day_is_called_one() -> None:
    with pytest.raises(NotASessionError, match="weekend"):
        CALENDAR.times(date(2025, 6, 7))


def test_steps_skip_weekends_and_holidays() -> None:
    assert CALENDAR.next(date(2025, 7, 3)) == date(2025, 7, 7)
    assert CALENDAR.previous(date(2025, 7, 7)) == date(2025, 7, 3)
    assert CALENDAR.previous(date(2025, 7, 7), 2) == date(2025, 7, 2)


def test_an_instant_belongs_to_its_exchange_date_or_the_next_session() -> None:
    assert CALENDAR.session_of(datetime(2025, 7, 1, 13, 30, tzinfo=UTC)) == date(2025, 7, 1)
    assert CALENDAR.session_of(datetime(2025, 7, 2, 2, 0, tzinfo=UTC)) == date(2025, 7, 1)
    assert CALENDAR.session_of(datetime(2025, 7, 4, 15, 0, tzinfo=UTC)) == date(2025, 7, 7)


def test_e40_a_naive_instant_is_refused() -> None:
    with pytest.raises(NaiveDatetimeError):
        CALENDAR.session_of(datetime(2025, 7, 1, 13, 30))  # noqa: DTZ001


def test_holidays_are_closed_weekdays_only() -> None:
    assert CALENDAR.holidays(date(2025, 7, 1), date(2025, 7, 31)) == [date(2025, 7, 4)]


def test_a_market_that_never_closes_has_a_session_of_24_hours_each_day_of_the_week() -> None:
    always = ExchangeCalendar("24/7")
    christmas = always.times(date(2025, 12, 25))

    assert (christmas.opens_at, christmas.closes_at) == (
        datetime(2025, 12, 25, tzinfo=UTC),
        datetime(2025, 12, 26, tzinfo=UTC),
    )
    assert not christmas.is_half_day
    assert always.session_of(datetime(2025, 12, 27, 23, 59, tzinfo=UTC)) == date(2025, 12, 27)
    assert always.holidays(date(2025, 1, 1), date(2025, 12, 31)) == []
    assert (always.weekdays, CALENDAR.weekdays) == ("*", "1-5")
