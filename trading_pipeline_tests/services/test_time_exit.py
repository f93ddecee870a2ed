"""Every session of the exchange from 2010 to 2030: positions are left 15 minutes before its own close, wherever.

What is right comes from the exchange's published rules and from facts written down here, not from a library.
"""

from __future__ import annotations

import os
import time as host
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from trading_pipeline.adapters.bar_feed import StoredBarFeed
from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock, SystemClock
from trading_pipeline.domain.errors import NotASessionError
from trading_pipeline.domain.market import SessionTimes, Timeframe
from trading_pipeline.domain.positions import ExitReason, Position
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.care.reasons import Occasion, exit_reason, occasion_of
from trading_pipeline.services.desk import Desk
from trading_pipeline_tests.oracle import nyse
from trading_pipeline_tests.services.scripted import OPENS, Stage
from trading_pipeline_tests.services.test_position_care import holding

FIRST, LAST = date(2010, 1, 1), date(2030, 12, 31)
LEAD, SECOND = timedelta(minutes=15), timedelta(seconds=1)
ZONES = ("UTC", "America/New_York", "America/Chicago", "Europe/Berlin", "Asia/Tokyo", "Australia/Sydney")
CLOSES_UTC = {  # from the exchange's notices and a clock on the wall
    date(2025, 7, 3): "17:00",  # half-days: 13:00 in New York, in summer
    date(2025, 11, 28): "18:00",  # and in winter
    date(2025, 12, 24): "18:00",
    date(2025, 3, 7): "21:00",  # the Friday before the clocks go forward, and the Monday after
    date(2025, 3, 10): "20:00",
    date(2025, 10, 31): "20:00",  # before they go back, and after
    date(2025, 11, 3): "21:00",
    date(2025, 9, 10): "20:00",
    date(2012, 10, 31): "20:00",  # after the hurricane
}
HALF_DAYS = {date(2025, 7, 3), date(2025, 11, 28), date(2025, 12, 24)}
CLOSED = (date(2012, 10, 29), date(2012, 10, 30), date(2018, 12, 5), date(2025, 1, 9))


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The process as if it ran on a machine in that zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = str(request.param)
    host.tzset()
    yield str(request.param)
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    host.tzset()


@cache
def calendar_made_in(zone: str) -> ExchangeCalendar:
    assert os.environ["TZ"] == zone
    return ExchangeCalendar(first=FIRST, last=LAST)


@dataclass(frozen=True)
class Holder:
    """Somebody who holds 200 XYZ, asked at any instant of any session whether to leave."""

    desk: Desk
    clock: FixedClock
    position: Position
    tx: LedgerTransaction
    occasion: Occasion

    def reason(self, times: SessionTimes, at: datetime) -> ExitReason | None:
        self.clock.instant = at
        return exit_reason(self.desk, self.tx, times, self.position, self.occasion)


@pytest.fixture(scope="module")
def holder(stage: Stage) -> Iterator[Holder]:
    scene, clock = holding(stage.scene()), FixedClock(OPENS)
    desk = replace(scene.desk(at=25), clock=clock)
    with scene.ledger.read() as tx:
        (position,) = tx.positions("A")
        yield Holder(desk, clock, position, tx, occasion_of(desk, tx, [position], None))


def test_e40_every_session_from_2010_to_2030_is_left_fifteen_minutes_before_its_own_close(
    zone: str, holder: Holder
) -> None:
    calendar, sessions = calendar_made_in(zone), list(nyse.sessions(FIRST, LAST))

    assert list(calendar.sessions(FIRST, LAST)) == sessions
    assert len(sessions) == 5279
    for session in sessions:
        due, times = nyse.closes(session) - LEAD, calendar.times(session)
        assert holder.reason(times, due - SECOND) is None, session
        assert holder.reason(times, due) is ExitReason.TIME, session


class Store(ParquetBarStore):
    """A store of 5-minute bars, of which none is looked at."""

    def base_timeframe(self) -> Timeframe:
        return Timeframe.MIN5


def test_the_loop_has_a_step_at_the_very_instant_of_each_time_exit(tmp_path: Path) -> None:
    calendar = ExchangeCalendar(first=FIRST, last=LAST)
    feed = StoredBarFeed(Store(tmp_path, calendar, FixedClock(OPENS)))

    late = [
        session for session in nyse.sessions(FIRST, LAST)
        if nyse.closes(session) - LEAD not in feed.bar_ends(calendar.times(session))
    ]  # fmt: skip

    assert not late


@pytest.mark.parametrize(("session", "closes"), CLOSES_UTC.items())
def test_e41_the_close_in_utc_is_what_people_wrote_down(session: date, closes: str) -> None:
    times = ExchangeCalendar(first=FIRST).times(session)

    assert f"{times.closes_at:%H:%M}" == closes == f"{nyse.closes(session):%H:%M}"
    assert times.is_half_day == (session in HALF_DAYS) == nyse.is_half_day(session)


@pytest.mark.parametrize("day", CLOSED)
def test_days_on_which_the_exchange_stayed_closed_are_no_sessions(day: date) -> None:
    with pytest.raises(NotASessionError, match="holiday"):
        ExchangeCalendar(first=FIRST).times(day)
    assert not nyse.is_session(day)


@pytest.mark.parametrize(
    ("session", "opens_utc"),
    [(date(2025, 9, 10), "13:30"), (date(2025, 1, 10), "14:30"), (date(2025, 7, 10), "13:30")],
)
def test_e41_half_past_eight_in_chicago_is_no_fixed_hour_in_utc(session: date, opens_utc: str) -> None:
    opens = ExchangeCalendar().times(session).opens_at

    assert f"{opens:%H:%M}" == opens_utc
    assert f"{opens.astimezone(ZoneInfo('America/Chicago')):%H:%M}" == "08:30"


def test_e41_new_york_time_is_not_eastern_standard_time() -> None:
    calendar = ExchangeCalendar()
    summer = calendar.times(date(2025, 7, 10)).opens_at.astimezone(calendar.zone)

    assert (str(calendar.zone), summer.tzname()) == ("America/New_York", "EDT")


def test_e40_the_clock_is_that_of_no_zone(zone: str) -> None:
    now = SystemClock().now()

    assert now.tzinfo is UTC, zone
    assert abs(now.timestamp() - host.time()) < 5
