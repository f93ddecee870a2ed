"""Whether a session's loop must be started again: by its lease and by what became of the runs that hosted it.

Whatever else is hosted all session long (the stream of its bars) is watched by the same rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.domain.market import SessionTimes


class SupervisionRules(BaseModel):
    """How a run that hosts the loop is watched, and how patiently one that keeps dying is started again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lead_minutes: int = Field(15, ge=1, le=120, description="how long before the open the loop is started")
    start_seconds: int = Field(90, ge=10, le=600, description="how long a run may take until its loop leads")
    steady_seconds: int = Field(300, ge=30, le=3600, description="a run that lived as long did not crash at once")
    backoff_seconds: int = Field(10, ge=1, le=300, description="before the second restart in a row; each wait doubles")
    max_backoff_seconds: int = Field(300, ge=1, le=3600, description="longest wait before a restart")
    finish_minutes: int = Field(30, ge=1, le=240, description="how long after the close a session is still finished")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRun:
    """A run that hosts or hosted the session's loop. ended_at: None while nobody has said that it is over."""

    run_id: str
    number: int
    created_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """What is known of a session's loop.

    leads_until: end of the lease as last renewed, None when nobody led; is_begun, is_closed: the session's record;
    what: is hosted, in words.
    """

    times: SessionTimes
    runs: Sequence[HostRun] = ()
    leads_until: datetime | None = None
    holder: str = ""
    is_begun: bool = False
    is_closed: bool = False
    last_number: int = 0
    what: str = "loop"


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start the loop: the run of this number, after giving up runs that do not live though nobody said so."""

    number: int
    why: str
    lost: tuple[str, ...] = ()


def supervise(now: datetime, state: LoopState, rules: SupervisionRules) -> Wait | Start:
    """What to do about the loop at `now` (aware UTC). The lease tells whether it lives, a run's status never does."""
    idle = _not_due(now, state, rules)
    if idle:
        return Wait(idle)
    if state.leads_until is not None and now < state.leads_until:
        return Wait(f"{state.holder} leads until {state.leads_until:%H:%M:%S} UTC")
    newest = max(state.runs, key=lambda run: run.number, default=None)
    number = max(state.last_number, newest.number if newest else 0) + 1
    if newest is None:
        return Start(number, f"no run hosts the session's {state.what}")
    if newest.ended_at is None:
        ready_at = newest.created_at + timedelta(seconds=rules.start_seconds)
        if now < ready_at and not _has_led(state, newest):
            return Wait(f"run {newest.run_id[:8]} is starting; its {state.what} has until {ready_at:%H:%M:%S} UTC")
        lost = tuple(run.run_id for run in state.runs if run.ended_at is None)
        return Start(number, f"nobody leads though run {newest.run_id[:8]} was not seen to end", lost)
    due_at = newest.ended_at + backoff(state.runs, rules)
    if now < due_at:
        return Wait(f"run {newest.run_id[:8]} ended; the next one starts at {due_at:%H:%M:%S} UTC")
    return Start(number, f"run {newest.run_id[:8]} ended and the session is not over")


def _not_due(now: datetime, state: LoopState, rules: SupervisionRules) -> str:
    times = state.times
    if state.is_closed:
        return f"session {times.session} is closed"
    begins_at = times.opens_at - timedelta(minutes=rules.lead_minutes)
    if now < begins_at:
        return f"the {state.what} of {times.session} is started at {begins_at:%H:%M} UTC"
    if now >= times.closes_at and not state.is_begun:
        return f"session {times.session} ended at {times.closes_at:%H:%M} UTC and was never begun"
    if now >= times.closes_at + timedelta(minutes=rules.finish_minutes):
        return (
            f"session {times.session} ended at {times.closes_at:%H:%M} UTC and is not closed: "
            f"trading-pipeline session replay --session {times.session}"
        )
    return ""


def _has_led(state: LoopState, run: HostRun) -> bool:
    """True when somebody led after the run was made: it has come up, and what it led with has ended since."""
    return state.leads_until is not None and state.leads_until > run.created_at + timedelta(seconds=1)


def backoff(runs: Sequence[HostRun], rules: SupervisionRules) -> timedelta:
    """How long to wait after the newest run: nothing after one that lived, else longer with each short one in a row."""
    short = 0
    for run in sorted(runs, key=lambda run: run.number, reverse=True):
        lived = run.ended_at - run.created_at if run.ended_at else timedelta.max
        if lived >= timedelta(seconds=rules.steady_seconds):
            break
        short += 1
    if short < 2:
        return timedelta(0)
    return timedelta(seconds=min(rules.backoff_seconds * 2 ** min(short - 2, 20), rules.max_backoff_seconds))
