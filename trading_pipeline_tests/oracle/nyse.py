"""Sessions of the New York Stock Exchange from its published rules, without a calendar library or a zone database.

Rules 7.2 and the exchange's notices: nine holidays (ten from 2022), with the days on which they are kept when they
fall on a weekend, three kinds of early close at 13:00, and the days it closed unplanned. Times are New York's; summer
time runs from the second Sunday of March to the first Sunday of November (Energy Policy Act of 2005).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

DAY = timedelta(days=1)
MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6
UNPLANNED = {
    date(2012, 10, 29), date(2012, 10, 30),  # hurricane Sandy
    date(2018, 12, 5),  # mourning for George H. W. Bush
    date(2025, 1, 9),  # mourning for Jimmy Carter
}  # fmt: skip
OPENS, CLOSES, CLOSES_EARLY = time(9, 30), time(16), time(13)


def nth(year: int, month: int, weekday: int, number: int) -> date:
    """The number-th such weekday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def easter(year: int) -> date:
    """Easter Sunday (Meeus, Jones, Butcher)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * weekday) // 433
    month = (h + weekday - 7 * m + 90) // 25
    return date(year, month, (h + weekday - 7 * m + 33 * month + 19) % 32)


def kept(day: date) -> date:
    """A holiday on a Saturday is kept on the Friday before, on a Sunday on the Monday after."""
    return day - DAY if day.weekday() == SATURDAY else day + DAY if day.weekday() == SUNDAY else day


@cache
def holidays(year: int) -> frozenset[date]:
    """Days of a year on which the exchange is closed, weekends aside."""
    new_year = date(year, 1, 1)
    found = {
        nth(year, 1, MONDAY, 3), nth(year, 2, MONDAY, 3), easter(year) - 2 * DAY,
        nth(year, 6, MONDAY, 1) - 7 * DAY,  # the last Monday of May
        kept(date(year, 7, 4)), nth(year, 9, MONDAY, 1), nth(year, 11, THURSDAY, 4), kept(date(year, 12, 25)),
    }  # fmt: skip
    if new_year.weekday() != SATURDAY:  # it is not kept in the old year
        found.add(kept(new_year))
    if year >= 2022:
        found.add(kept(date(year, 6, 19)))
    return frozenset(found | {day for day in UNPLANNED if day.year == year})


def is_session(day: date) -> bool:
    """True when the exchange opens on that date."""
    return day.weekday() < SATURDAY and day not in holidays(day.year)


def is_half_day(day: date) -> bool:
    """True for a session that ends at 13:00: before Independence Day and Christmas, after Thanksgiving."""
    eves = {date(day.year, 7, 3), date(day.year, 12, 24), nth(day.year, 11, THURSDAY, 4) + DAY}
    return is_session(day) and day in eves


def sessions(first: date, last: date) -> Iterator[date]:
    """Every session between two dates, both included."""
    return (day for day in (first + n * DAY for n in range((last - first).days + 1)) if is_session(day))


def utc(day: date, at: time) -> datetime:
    """An instant of the day by New York's clocks; none is asked for while they change, on Sunday nights."""
    is_summer = nth(day.year, 3, SUNDAY, 2) <= day < nth(day.year, 11, SUNDAY, 1)
    return datetime.combine(day, at, UTC) + timedelta(hours=4 if is_summer else 5)


def closes(day: date) -> datetime:
    """When the session ends, in UTC."""
    return utc(day, CLOSES_EARLY if is_half_day(day) else CLOSES)
