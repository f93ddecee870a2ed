"""Whole sessions on a virtual clock: every tick of every cron line, against a timetable written down by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.defs import automation
from trading_pipeline.defs.automation import Timed, tick, timed_duties
from trading_pipeline.defs.instance import ROOT
from trading_pipeline.services.timetable import cron_lines
from trading_pipeline.settings import Settings, load_settings
from trading_pipeline_tests.oracle import nyse

NEW_YORK = ZoneInfo("America/New_York")
MORNING = (
    "universe 06:00; pre_market 07:00 09:00; position_monitoring 09:15; "
    "watchlist 09:45 10:00 10:15 10:30 10:45 11:00 11:15 11:30 11:45 12:00 12:15 12:30 12:45 13:00"
)
FULL_DAY = (
    MORNING + " 13:15 13:30 13:45 14:00 14:15 14:30 14:45 15:00 15:15 15:30 15:45 16:00; performance_report 16:20;"
    " historical_bars 16:30"
)
HALF_DAY = MORNING + "; performance_report 13:20; historical_bars 13:30"
REBALANCINGS = {"full": 78, "half": 42}
"""Every 5 minutes: 6 h 30 min and 3 h 30 min of trading."""
FULLY = Settings.model_validate(
    {
        "automation": {"history_provider": "alpaca"},
        "execution": {"signals": "external", "external_signals": {"file": "signals.csv"}},
    }
)
"""Settings under which nothing is needless but the stream."""
STREAMED = Settings.model_validate({"live": {"provider": "alpaca"}})
NO_STREAM = "no stream is configured (live.provider: none): bars are imported, or streamed by hand"
SPANS = {
    "thanksgiving": (date(2024, 11, 25), date(2024, 12, 2)),
    "christmas": (date(2024, 12, 23), date(2024, 12, 27)),
    "a day of mourning": (date(2025, 1, 8), date(2025, 1, 13)),
    "spring forward": (date(2025, 3, 7), date(2025, 3, 11)),
    "independence day": (date(2025, 7, 2), date(2025, 7, 7)),
    "fall back": (date(2025, 10, 30), date(2025, 11, 4)),
    "hurricane, and fall back": (date(2012, 10, 26), date(2012, 11, 6)),
    "mourning in 2018": (date(2018, 12, 3), date(2018, 12, 7)),
}


def expected(session: date) -> Counter[tuple[str, str]]:
    """What is due in a session: (duty, New York time), from the table above."""
    is_half = nyse.is_half_day(session)
    found = Counter[tuple[str, str]]()
    for row in (HALF_DAY if is_half else FULL_DAY).split(";"):
        duty, *clocks = row.split()
        found.update((duty, clock) for clock in clocks)
    after = next(nyse.sessions(session + timedelta(days=1), session + timedelta(days=10)))
    if after.isocalendar().week != session.isocalendar().week:
        found["weekly_report", "13:40" if is_half else "16:40"] += 1
    if after.month != session.month:
        found["monthly_report", "13:45" if is_half else "16:45"] += 1
    first = datetime.combine(session, nyse.OPENS)
    count = REBALANCINGS["half" if is_half else "full"]
    found.update(("rebalancing", f"{first + timedelta(minutes=5 * n):%H:%M}") for n in range(1, count + 1))
    return found


def ticks(timed: Timed, calendar: ExchangeCalendar, first: date, last: date) -> Iterator[datetime]:
    """Every instant at which Dagster would look at the schedule, by its own reading of the cron lines."""
    start = datetime.combine(first, time(), calendar.zone).timestamp()
    end = datetime.combine(last + timedelta(days=1), time(), calendar.zone)
    for at in schedule_execution_time_iterator(start, cron_lines(timed.duty, calendar), str(calendar.zone)):
        if at >= end:
            return
        yield at


def day_by_day(
    calendar: ExchangeCalendar, first: date, last: date, monkeypatch: pytest.MonkeyPatch, settings: Settings = FULLY
) -> tuple[Mapping[date, Counter[tuple[str, str]]], Counter[str], set[str]]:
    """The runs of each session; how often no run was started, by reason; and all run keys."""
    monkeypatch.setattr(automation, "calendar", lambda: calendar)
    monkeypatch.setattr(automation, "configured", lambda: settings)
    runs, skips, keys = defaultdict[date, Counter[tuple[str, str]]](Counter), Counter[str](), set[str]()
    for timed in timed_duties(settings):
        for at in ticks(timed, calendar, first, last):
            found = tick(timed, at, at + timedelta(seconds=3))
            if isinstance(found, dg.RunRequest):
                assert found.run_key not in keys
                keys.add(str(found.run_key))
                clock = f"{at.astimezone(NEW_YORK):%H:%M}"
                runs[date.fromisoformat(found.tags["session"])][timed.duty.name, clock] += 1
            else:
                skips[str(found.skip_message)] += 1
    return runs, skips, keys


def check_span(first: date, last: date, monkeypatch: pytest.MonkeyPatch) -> int:
    calendar = ExchangeCalendar(first=date(2010, 1, 1))
    runs, skips, keys = day_by_day(calendar, first, last, monkeypatch)

    sessions = list(nyse.sessions(first, last))
    assert sorted(runs) == sessions
    for session in sessions:
        assert runs[session] == expected(session), session
    assert len(keys) == sum(found.total() for found in runs.values())
    assert skips.pop(NO_STREAM) == len(sessions)
    assert all("the exchange is closed" in why or "nothing is due at" in why for why in skips)
    return len(sessions)


@pytest.mark.parametrize("span", SPANS)
def test_every_session_starts_exactly_what_is_due(span: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = SPANS[span]

    assert check_span(first, last, monkeypatch) >= 3


def test_the_spans_hold_the_days_that_are_unlike_others() -> None:
    days = {day for first, last in SPANS.values() for day in (first + timedelta(n) for n in range((last - first).days))}

    assert {date(2024, 11, 29), date(2024, 12, 24), date(2025, 7, 3)} <= {day for day in days if nyse.is_half_day(day)}
    assert {day for day in days if not nyse.is_session(day)} >= nyse.UNPLANNED
    assert {date(2025, 3, 9), date(2025, 11, 2), date(2012, 11, 4)} <= days  # the clocks are changed


@pytest.mark.soak
def test_three_years_of_sessions_start_exactly_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_span(date(2023, 1, 1), date(2025, 12, 31), monkeypatch) == 752


def test_where_a_stream_makes_the_watchlists_it_is_started_before_the_open_and_no_schedule_makes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, last = SPANS["thanksgiving"]

    runs, skips, _ = day_by_day(ExchangeCalendar(), first, last, monkeypatch, STREAMED)

    assert sorted(runs) == list(nyse.sessions(first, last))
    for found in runs.values():
        assert (found["market_data", "09:15"], found["pre_market", "07:00"]) == (1, 1)
        assert not [clock for duty, clock in found if duty == "watchlist"]
    assert skips["the stream makes each watchlist as its bars close (live.provider: alpaca)"] > 26 * 4


AROUND_THE_CLOCK = load_settings(profile=ROOT / "config" / "profiles" / "around-the-clock.yaml", environ={})


def test_around_the_clock_each_day_starts_its_stream_and_loop_at_midnight_and_reports_all_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saturday, tuesday = date(2026, 1, 3), date(2026, 1, 6)

    runs, skips, keys = day_by_day(
        ExchangeCalendar("24/7"), saturday, tuesday, monkeypatch, AROUND_THE_CLOCK
    )  # fmt: skip

    assert sorted(runs)[1:] == [saturday + timedelta(days=number) for number in range(4)]
    for session in sorted(runs)[1:-1]:  # of the first and the last, a midnight lies outside
        duties = Counter(duty for duty, _ in runs[session].elements())
        duties -= Counter({"weekly_report": 1, "monthly_report": 1})  # on the last days of week and month
        assert duties == {"market_data": 1, "position_monitoring": 1, "interim_report": 288, "performance_report": 1}
    assert len(keys) == sum(found.total() for found in runs.values())
    assert {why.partition(" (")[0] for why in skips if "nothing is due at" not in why} == {
        "the stream makes each watchlist as its bars close", "watchlists are traded", "no vendor is configured",
    }  # fmt: skip


def test_dagster_reads_the_cron_lines_in_new_york_on_both_sides_of_a_clock_change() -> None:
    calendar = ExchangeCalendar()
    (universe,) = (timed for timed in timed_duties(FULLY) if timed.duty.name == "universe")

    found = list(ticks(universe, calendar, date(2025, 3, 7), date(2025, 3, 10)))

    assert [at.astimezone(UTC).hour for at in found] == [11, 10]
