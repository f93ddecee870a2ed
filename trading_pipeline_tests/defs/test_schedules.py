"""Schedules ask the calendar: a run for today's session, or a skip that says why."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from trading_pipeline.defs import automation
from trading_pipeline.defs.automation import SCHEDULES

NEW_YORK = ZoneInfo("America/New_York")
BY_NAME = {schedule.name: schedule for schedule in SCHEDULES}
HOURS = {
    "universe_schedule": (6, 0),
    "pre_market_schedule": (7, 0),
    "watchlist_schedule": (10, 0),
    "position_monitoring_schedule": (9, 15),
    "performance_report_schedule": (16, 20),
}


def evaluate(name: str, at: datetime) -> dg.RunRequest | dg.SkipReason:
    found = BY_NAME[name](dg.build_schedule_context(scheduled_execution_time=at))
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


def skipped(name: str, at: datetime) -> str:
    found = evaluate(name, at)
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


def on(day: str, name: str) -> datetime:
    return datetime.combine(datetime.fromisoformat(day), datetime.min.time(), NEW_YORK).replace(
        hour=HOURS[name][0], minute=HOURS[name][1]
    )


@pytest.mark.parametrize("day", ["2025-06-10", "2025-07-03", "2025-03-07", "2025-03-10", "2025-10-31", "2025-11-03"])
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_session_day_gets_a_run_for_its_own_session(name: str, day: str) -> None:
    found = evaluate(name, on(day, name))

    assert isinstance(found, dg.RunRequest)
    assert found.tags["session"] == day
    assert found.partition_key == (None if name == "position_monitoring_schedule" else day)


@pytest.mark.parametrize(
    ("day", "words"),
    [("2025-07-04", "Friday 2025-07-04"), ("2025-06-14", "Saturday 2025-06-14"), ("2025-01-09", "Thursday 2025-01-09")],
)
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_closed_day_is_skipped_by_name_with_the_next_session(name: str, day: str, words: str) -> None:
    reason = skipped(name, on(day, name))

    assert words in reason
    assert "next session is 20" in reason


@pytest.mark.parametrize(
    ("at", "runs"),
    [
        (datetime(2025, 7, 3, 13, 0, tzinfo=NEW_YORK), True),  # the half-day's close
        (datetime(2025, 7, 3, 14, 0, tzinfo=NEW_YORK), False),
        (datetime(2025, 6, 10, 9, 30, tzinfo=NEW_YORK), False),  # no bar has closed yet
        (datetime(2025, 6, 10, 9, 45, tzinfo=NEW_YORK), True),
        (datetime(2025, 6, 10, 16, 0, tzinfo=NEW_YORK), True),
        (datetime(2025, 6, 10, 16, 15, tzinfo=NEW_YORK), False),
        (datetime(2025, 3, 10, 9, 45, tzinfo=NEW_YORK), True),  # first session of daylight saving time
        (datetime(2025, 11, 3, 9, 30, tzinfo=NEW_YORK), False),  # first of standard time
    ],
)
def test_a_watchlist_is_due_only_when_a_bar_of_the_session_closes(at: datetime, runs: bool) -> None:
    found = evaluate("watchlist_schedule", at)

    assert isinstance(found, dg.RunRequest) is runs
    if not runs:
        assert "no 15-minute bar closes now" in skipped("watchlist_schedule", at)


def test_the_session_is_that_of_new_york_also_when_the_tick_is_told_in_utc() -> None:
    at = datetime(2025, 6, 10, 11, 0, tzinfo=ZoneInfo("UTC"))

    assert automation.closed_reason(at) is None


def test_the_session_loop_is_hosted_once_per_session_however_often_the_schedule_ticks() -> None:
    at = on("2025-06-10", "position_monitoring_schedule")
    first, again = evaluate("position_monitoring_schedule", at), evaluate("position_monitoring_schedule", at)

    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key == "monitor-2025-06-10"
