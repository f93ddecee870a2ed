"""What is due when: each duty is a rule that gives the instants of a session, so the exchange's calendar decides.

Cron lines are made from the rules. Full days, half-days and markets that never close need no rule of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Protocol
from zoneinfo import ZoneInfo

from trading_pipeline.domain.market import SessionTimes, require_aware
from trading_pipeline.ports import TradingCalendar

Rule = Callable[[SessionTimes], Sequence[datetime]]


class SessionCalendar(TradingCalendar, Protocol):
    """A calendar that knows its exchange's time zone and days of the week."""

    @property
    def zone(self) -> ZoneInfo:
        """Of the exchange."""

    @property
    def weekdays(self) -> str:
        """Days of the week with sessions, as the last field of a cron line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Something due at certain instants of every session, or of some.

    grace: how late it may still begin; None: at any time. on: the sessions that it is due in.
    """

    name: str
    rule: Rule
    grace: timedelta | None = None
    on: Callable[[SessionCalendar, date], bool] = lambda _calendar, _session: True


@dataclass(frozen=True, slots=True)
class Due:
    """It is due now, for this session."""

    session: date
    at: datetime


@dataclass(frozen=True, slots=True)
class NotDue:
    """Nothing to do, and why."""

    why: str


def before_open(minutes: int) -> Rule:
    """Once, so many minutes before the open."""
    return lambda times: (times.opens_at - timedelta(minutes=minutes),)


def after_close(minutes: int) -> Rule:
    """Once, so many minutes after the session's own close."""
    return lambda times: (times.closes_at + timedelta(minutes=minutes),)


def in_session(every: timedelta) -> Rule:
    """At every multiple of `every` after the open, up to the session's own close."""

    def instants(times: SessionTimes) -> Sequence[datetime]:
        return [times.opens_at + number * every for number in range(1, (times.closes_at - times.opens_at) // every + 1)]

    return instants


def together(*rules: Rule) -> Rule:
    """At the instants of all rules."""
    return lambda times: sorted(instant for rule in rules for instant in rule(times))


def instants_of(duty: Duty, calendar: SessionCalendar, session: date) -> Sequence[datetime]:
    """When the duty is due in a session: never before the session's date has begun in the exchange's zone."""
    return _instants(duty.rule, calendar.times(session), calendar.zone) if duty.on(calendar, session) else ()


@lru_cache(maxsize=32)  # of all ticks of a session, one works it out: around the clock there is one each minute
def _instants(rule: Rule, times: SessionTimes, zone: ZoneInfo) -> tuple[datetime, ...]:
    begins_at = datetime.combine(times.session, time(), zone).astimezone(UTC)  # as the times are: compared quickly
    return tuple(sorted({max(instant, begins_at) for instant in rule(times)}))


def judge(duty: Duty, calendar: SessionCalendar, at: datetime, now: datetime) -> Due | NotDue:
    """Whether a tick of `at`, looked at `now` (aware), is to be followed, and for which session.

    A tick is passed over when a later one of the same session has come already (the newest stands for all that were
    missed), or when it is later than its grace.
    """
    require_aware(at), require_aware(now)
    session = _session_with(duty, calendar, at)
    if session is None:
        return NotDue(_why_not_at(calendar, at))
    later = [instant for instant in instants_of(duty, calendar, session) if at < instant <= now]
    if later:
        return NotDue(
            f"the tick of {_clock(at, calendar)} was missed; that of {_clock(later[-1], calendar)} replaces it"
        )
    if duty.grace is not None and now - at > duty.grace:
        return NotDue(f"the tick of {_clock(at, calendar)} comes {now - at} late; at most {duty.grace} is of use")
    return Due(session, at)


def _session_with(duty: Duty, calendar: SessionCalendar, at: datetime) -> date | None:
    """The session with a moment at `at`: of that day, or the one before when it ended at midnight."""
    day, instant = at.astimezone(calendar.zone).date(), at.astimezone(UTC)
    near = [*calendar.sessions(day - timedelta(days=7), day)][-2:]
    return next((session for session in reversed(near) if instant in instants_of(duty, calendar, session)), None)


def _why_not_at(calendar: SessionCalendar, at: datetime) -> str:
    closed = closed_reason(calendar, at)
    if closed:
        return closed
    times = calendar.times(at.astimezone(calendar.zone).date())
    opens, closes = (f"{instant.astimezone(calendar.zone):%H:%M}" for instant in (times.opens_at, times.closes_at))
    return f"{times.session}: nothing is due at {_clock(at, calendar)}; the session runs from {opens} to {closes}"


def closed_reason(calendar: SessionCalendar, at: datetime) -> str:
    """Why there is no session on the instant's date in the exchange's zone; empty when there is one."""
    day = at.astimezone(calendar.zone).date()
    if calendar.is_session(day):
        return ""
    return f"{day:%A %Y-%m-%d}: the exchange is closed; the next session is {calendar.session_of(at)}"


def _clock(at: datetime, calendar: SessionCalendar) -> str:
    return f"{at.astimezone(calendar.zone):%Y-%m-%d %H:%M}"


def cron_lines(duty: Duty, calendar: SessionCalendar) -> list[str]:
    """Cron lines, in the exchange's zone, that tick at the duty's instants of every kind of session there is."""
    kinds: dict[tuple[time, time], SessionTimes] = {}
    for session in calendar.sessions(date.min, date.max):
        times = calendar.times(session)
        kinds[_wall(times.opens_at, calendar), _wall(times.closes_at, calendar)] = times
    walls = {_wall(at, calendar) for times in kinds.values() for at in _instants(duty.rule, times, calendar.zone)}
    hours = {minute: tuple(sorted(wall.hour for wall in walls if wall.minute == minute)) for minute in range(60)}
    together_ = sorted((found, minute) for minute, found in hours.items() if found)
    lines = [
        (_field([minute for _, minute in group], 60), _field(found, 24))
        for found, group in groupby(together_, key=lambda one: one[0])
    ]
    return [f"{minutes} {when} * * {calendar.weekdays}" for minutes, when in sorted(lines)]


def _wall(at: datetime, calendar: SessionCalendar) -> time:
    return at.astimezone(calendar.zone).time()


def _field(numbers: Sequence[int], count: int) -> str:
    """Numbers as a field of a cron line: all, a step, ranges, or one by one."""
    if len(numbers) == count:
        return "*"
    if len(numbers) > 1 and list(numbers) == list(range(0, count, numbers[1] or 1)):
        return f"*/{numbers[1]}"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
