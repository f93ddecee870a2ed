"""Schedules ask the calendar: a run for the session, or a skip that says why. Missed and doubled ticks do no harm."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.definitions import defs
from trading_pipeline.defs.automation import SCHEDULES, TIMED, request, tick, timed_duties
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.services import timetable
from trading_pipeline.services.timetable import Due, NotDue
from trading_pipeline.settings import Settings

NEW_YORK = ZoneInfo("America/New_York")
BY_NAME = {timed.name: timed for timed in TIMED}
FIRST_TICK = {
    "universe_schedule": "06:00",
    "pre_market_schedule": "07:00",
    "position_monitoring_schedule": "09:15",
    "watchlist_schedule": "09:45",
}
PARTITIONED = {"universe_schedule", "pre_market_schedule", "watchlist_schedule"}


def at(day: str, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK)


def decided(name: str, instant: datetime, *, late: timedelta = timedelta(seconds=2)) -> dg.RunRequest | str:
    """The run that a tick starts, or why it starts none."""
    found = tick(BY_NAME[name], instant, instant + late)
    return found if isinstance(found, dg.RunRequest) else str(found.skip_message)


@pytest.mark.parametrize("day", ["2025-06-10", "2025-07-03", "2025-03-07", "2025-03-10", "2025-10-31", "2025-11-03"])
@pytest.mark.parametrize("name", sorted(FIRST_TICK))
def test_a_session_day_gets_a_run_for_its_own_session(name: str, day: str) -> None:
    found = decided(name, at(day, FIRST_TICK[name]))

    assert isinstance(found, dg.RunRequest)
    assert found.tags["session"] == day
    assert found.partition_key == (day if name in PARTITIONED else None)


@pytest.mark.parametrize(
    ("day", "words"),
    [("2025-07-04", "Friday 2025-07-04"), ("2025-06-14", "Saturday 2025-06-14"), ("2025-01-09", "Thursday 2025-01-09")],
)
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_closed_day_is_skipped_by_name_with_the_next_session(name: str, day: str, words: str) -> None:
    reason = decided(name, at(day, FIRST_TICK.get(name, "16:20")))

    assert isinstance(reason, str)
    assert words in reason
    assert "next session is 20" in reason


@pytest.mark.parametrize(
    ("day", "clock", "is_due"),
    [
        ("2025-07-03", "13:00", True),  # the half-day's close
        ("2025-07-03", "13:15", False),
        ("2025-06-10", "09:30", False),  # no bar has closed yet
        ("2025-06-10", "09:45", True),
        ("2025-06-10", "16:00", True),
        ("2025-03-10", "09:45", True),  # first session of daylight saving time
        ("2025-11-03", "09:45", True),  # and of standard time
    ],
)
def test_a_watchlist_is_due_only_when_a_bar_of_the_session_closes(day: str, clock: str, is_due: bool) -> None:
    found = decided("watchlist_schedule", at(day, clock))

    assert isinstance(found, dg.RunRequest) is is_due
    if isinstance(found, str):
        assert "nothing is due at" in found


@pytest.mark.parametrize(("day", "due"), [("2025-07-03", "13:20"), ("2025-06-10", "16:20")])
def test_the_report_comes_twenty_minutes_after_the_sessions_own_close(day: str, due: str) -> None:
    other = {"13:20": "16:20", "16:20": "13:20"}[due]

    assert isinstance(decided("performance_report_schedule", at(day, due)), dg.RunRequest)
    assert "nothing is due" in str(decided("performance_report_schedule", at(day, other)))


def test_a_tick_evaluated_again_names_the_same_run() -> None:
    first, again = (decided("watchlist_schedule", at("2025-06-10", "10:15")) for _ in range(2))
    later = decided("watchlist_schedule", at("2025-06-10", "10:30"))

    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert isinstance(later, dg.RunRequest)
    assert first.run_key == again.run_key != later.run_key


@pytest.mark.parametrize("name", ["universe_schedule", "position_monitoring_schedule"])
def test_a_schedule_whose_hour_is_edited_during_the_day_starts_nothing_twice(name: str) -> None:
    timed, session = BY_NAME[name], at("2025-06-10", "12:00").date()
    keys = {request(timed, Due(session, at("2025-06-10", clock))).run_key for clock in ("06:00", "09:15", "11:30")}

    assert len(keys) == 1


def test_of_the_ticks_that_were_missed_only_the_newest_starts_a_run() -> None:
    back = at("2025-06-10", "11:07")
    missed = [at("2025-06-10", clock) for clock in ("10:00", "10:15", "10:30", "10:45", "11:00")]

    found = [decided("watchlist_schedule", instant, late=back - instant) for instant in missed]

    assert [isinstance(one, dg.RunRequest) for one in found] == [False, False, False, False, True]
    assert "the tick of 2025-06-10 10:00 was missed; that of 2025-06-10 11:00 replaces it" in found


@pytest.mark.parametrize(
    ("name", "clock", "late", "words"),
    [
        ("universe_schedule", "06:00", timedelta(hours=9), "at most 8:00:00 is of use"),
        ("watchlist_schedule", "16:00", timedelta(minutes=30), "at most 0:15:00 is of use"),
        ("position_monitoring_schedule", "09:15", timedelta(hours=8), "at most 6:00:00 is of use"),
    ],
)
def test_a_tick_too_late_to_be_of_use_is_passed_over(name: str, clock: str, late: timedelta, words: str) -> None:
    assert words in str(decided(name, at("2025-06-10", clock), late=late))


def test_a_report_is_made_however_late() -> None:
    late = decided("performance_report_schedule", at("2025-06-10", "16:20"), late=timedelta(days=3))

    assert isinstance(late, dg.RunRequest)
    assert late.partition_key == "2025-06-10"


def test_what_the_settings_make_needless_is_skipped_with_the_setting_to_change() -> None:
    assert "execution.signals" in str(decided("rebalancing_schedule", at("2025-06-10", "10:05")))
    assert "automation.history_provider" in str(decided("historical_bars_schedule", at("2025-06-10", "16:30")))


def test_the_session_is_that_of_new_york_also_when_the_tick_is_told_in_utc() -> None:
    found = decided("pre_market_schedule", datetime(2025, 6, 10, 11, 0, tzinfo=UTC))

    assert isinstance(found, dg.RunRequest)
    assert found.partition_key == "2025-06-10"


@pytest.mark.parametrize("name", [timed.name for timed in TIMED])
def test_dagster_evaluates_each_schedule_with_its_resource(name: str) -> None:
    schedule = next(one for one in SCHEDULES if one.name == name)
    instant = at("2025-06-10", FIRST_TICK.get(name, "16:20"))
    resource = WorkspaceResource(now=(instant + timedelta(seconds=1)).isoformat())

    with dg.build_schedule_context(
        scheduled_execution_time=instant, resources={"workspace": resource},
        repository_def=defs.get_repository_def(),
    ) as context:  # fmt: skip
        data = schedule.evaluate_tick(context)

    assert data.run_requests or data.skip_message


def instants_of_two_days(settings: Settings, calendar: ExchangeCalendar) -> Iterator[tuple[str, datetime]]:
    first = datetime(2025, 6, 13, tzinfo=UTC).date()  # a Friday: what never closes has a session on Saturday, too
    for timed in timed_duties(settings):
        for session in (first, first + timedelta(days=1)):
            for instant in timetable.instants_of(timed.duty, calendar, session):
                yield timed.name, instant


def test_around_the_clock_every_minute_of_every_day_is_served() -> None:
    settings = Settings.model_validate(
        {"market": {"calendar": "24/7"}, "sabr20": {"t1": "1min", "t2": "5min", "t3": "15min"}}
    )
    calendar = ExchangeCalendar("24/7")
    found = list(instants_of_two_days(settings, calendar))

    by_name = {timed.name: timed for timed in timed_duties(settings)}
    judged = [timetable.judge(by_name[name].duty, calendar, instant, instant) for name, instant in found[::53]]

    assert not [one for one in judged if isinstance(one, NotDue)]
    assert sum(name == "watchlist_schedule" for name, _ in found) == 2 * 24 * 60
    assert timetable.cron_lines(by_name["watchlist_schedule"].duty, calendar) == ["* * * * *"]
    assert timetable.cron_lines(by_name["performance_report_schedule"].duty, calendar) == ["20 0 * * *"]
