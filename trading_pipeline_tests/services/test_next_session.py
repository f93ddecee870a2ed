"""The session a service hosts next: holidays, half-days, what was left unfinished."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.domain.errors import NaiveDatetimeError
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.next_session import NextSession, next_to_host
from trading_pipeline_tests.adapters.ledger_samples import SESSION_RECORD

CALENDAR = ExchangeCalendar()
LEAD = timedelta(minutes=15)


def a_record(session: date, phase: SessionPhase) -> SessionRecord:
    return replace(SESSION_RECORD, session=session, phase=phase)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "session", "starts_at"),
    [
        ("2025-07-03T11:00", date(2025, 7, 3), "2025-07-03T13:15"),  # before a half-day
        ("2025-07-03T16:59", date(2025, 7, 3), "2025-07-03T13:15"),  # in it
        ("2025-07-03T17:00", date(2025, 7, 7), "2025-07-07T13:15"),  # over at 13:00 New York; then the 4th, a weekend
        ("2025-07-04T15:00", date(2025, 7, 7), "2025-07-07T13:15"),
        ("2025-01-08T23:00", date(2025, 1, 10), "2025-01-10T14:15"),  # a day of mourning
        ("2025-03-07T22:00", date(2025, 3, 10), "2025-03-10T13:15"),  # summer time began
    ],
)
def test_the_exchange_says_which_session_is_next(now: str, session: date, starts_at: str) -> None:
    assert next_to_host(CALENDAR, (), at(now), LEAD) == NextSession(session, at(starts_at))


def test_a_closed_session_is_not_hosted_again_and_an_unfinished_one_at_once() -> None:
    now = at("2025-06-10T15:00")
    closed, running = (a_record(date(2025, 6, 10), phase) for phase in (SessionPhase.CLOSED, SessionPhase.RUNNING))
    left = a_record(date(2025, 6, 9), SessionPhase.RUNNING)

    assert next_to_host(CALENDAR, (closed,), now, LEAD).session == date(2025, 6, 11)
    assert next_to_host(CALENDAR, (running,), now, LEAD) == NextSession(date(2025, 6, 10), now)
    assert next_to_host(CALENDAR, (left,), now, LEAD) == NextSession(date(2025, 6, 9), now)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(NaiveDatetimeError):
        next_to_host(CALENDAR, (), datetime(2025, 6, 10, 12), LEAD)  # noqa: DTZ001
