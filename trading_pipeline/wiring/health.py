"""Health of a home: its record, its machine and its processes, read at one instant."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.logs.reading import errors_since
from trading_pipeline.adapters.logs.setup import log_file
from trading_pipeline.adapters.processes import read_processes
from trading_pipeline.domain.control import Alert
from trading_pipeline.domain.errors import AuditError, LedgerError, TradingPipelineError
from trading_pipeline.domain.health import HealthReport
from trading_pipeline.domain.market import SessionTimes, Timeframe
from trading_pipeline.domain.processes import ProcessState
from trading_pipeline.ports import Clock
from trading_pipeline.services.alerting.standing import AlertStanding
from trading_pipeline.services.alerting.standing import read_standing as read_alerts
from trading_pipeline.services.audit.standing import AuditStanding, overdue_alert, read_standing
from trading_pipeline.services.breaker import ControlView, StandingCause, read_control
from trading_pipeline.services.dead_man import dead_man, raise_alarm
from trading_pipeline.services.health import judge
from trading_pipeline.services.health_facts import HOUR, Facts, Look, Stream, Surroundings, read_facts
from trading_pipeline.services.latch import look_at as look_at_latch
from trading_pipeline.wiring.audit import audit_desk
from trading_pipeline.wiring.workspace import Workspace

log = logging.getLogger(__name__)
STREAM_STATUS = "stream.json"
"""File in the home that says how the stream of the running session stands."""


def look_at(workspace: Workspace, clock: Clock | None = None) -> Look:
    """One look by the machine's clock. A database that does not answer is part of what is seen, and raises nothing."""
    now = (clock or SystemClock()).now()
    times = workspace.calendar.times(workspace.calendar.session_of(now))
    facts, trouble = _facts(workspace, times, now)
    is_known = facts is not None
    around = replace(
        _around(workspace, times, now), control=_control(workspace, is_known=is_known),
        audit=_audit(workspace, now, is_known=is_known),
        audit_overdue_seconds=workspace.settings.audit.overdue_seconds,
        alerts=_alerts(workspace, now, is_known=is_known),
    )  # fmt: skip
    return Look(now=now, times=times, facts=facts, around=around, trouble=trouble)


def read_health(workspace: Workspace, clock: Clock | None = None) -> HealthReport:
    """How well everything is, by the machine's clock."""
    return judged(workspace, look_at(workspace, clock))


def judged(workspace: Workspace, look: Look) -> HealthReport:
    """The same from a look that was taken already."""
    return judge(look, workspace.settings.health, workspace.settings.execution.risk)


def watch(workspace: Workspace, clock: Clock | None = None) -> HealthReport:
    """Read the health, and raise the dead-man's alarm when it is due and the record takes it."""
    look = look_at(workspace, clock)
    for alarm in alarms_due(workspace, look):
        _raise_alarm(workspace, alarm)
    return judged(workspace, look)


def alarms_due(workspace: Workspace, look: Look) -> list[Alert]:
    """What the processes that should say it may be too dead to say: the loop stopped, or the audit log stands still."""
    dead = dead_man(look, workspace.settings.health, workspace.settings.execution.account)
    standing = look.around.audit if look.is_in_use else None
    late = _late(workspace, look, standing) if standing is not None else None
    return [alarm for alarm in (dead, late) if alarm is not None]


def _late(workspace: Workspace, look: Look, standing: AuditStanding) -> Alert | None:
    return overdue_alert(audit_desk(workspace), standing, look.now, look.around.audit_overdue_seconds)


def _raise_alarm(workspace: Workspace, alarm: Alert) -> None:
    """A record that cannot be written is itself a finding; the next look tries again."""
    try:
        raise_alarm(workspace.ledger, alarm)
    except LedgerError as trouble:
        log.error("%s It is not on record: %s", alarm.message, trouble)  # noqa: TRY400


def _facts(workspace: Workspace, times: SessionTimes, now: datetime) -> tuple[Facts | None, str]:
    try:
        return read_facts(workspace.ledger, workspace.settings.execution.account, times.session, now), ""
    except LedgerError as trouble:
        return None, str(trouble)


def _audit(workspace: Workspace, now: datetime, *, is_known: bool) -> AuditStanding | None:
    try:
        return read_standing(workspace.ledger, now) if is_known else None
    except (LedgerError, AuditError):
        return None


def _alerts(workspace: Workspace, now: datetime, *, is_known: bool) -> AlertStanding | None:
    try:
        return read_alerts(workspace.ledger, workspace.settings.alerts.in_order(), now) if is_known else None
    except LedgerError:
        return None


def _control(workspace: Workspace, *, is_known: bool) -> ControlView | None:
    """Without the record the latch file still tells, when it holds something back."""
    execution = workspace.settings.execution
    if is_known:
        return read_control(workspace.ledger, workspace.latch, execution.account, execution.breaker)
    latched = look_at_latch(workspace.latch)
    if latched.state.allows_entries:
        return None
    cause = StandingCause(kind="file", name="latch file", words=latched.words)
    return ControlView(account=execution.account, state=latched.state, causes=(cause,))


def _around(workspace: Workspace, times: SessionTimes, now: datetime) -> Surroundings:
    base = workspace.bars.base_timeframe() or Timeframe.DAY1
    is_open = times.opens_at <= now < times.closes_at
    minutes = 0 if base is Timeframe.DAY1 else base.minutes
    return Surroundings(
        disk_free_bytes=_free(workspace.home), stream=read_stream(workspace.home, times.session),
        bars_until=workspace.bars.last_end(base, times.session) if is_open else None, bar_minutes=minutes,
        logged_errors=errors_since(log_file(workspace.home), now - HOUR), processes=_processes(workspace.home),
    )  # fmt: skip


def _free(home: Path) -> int | None:
    """Bytes free where the home is, or would be."""
    place = next((folder for folder in (home, *home.parents) if folder.exists()), None)
    try:
        return shutil.disk_usage(place).free if place else None
    except OSError:
        return None


def read_stream(home: Path, session: date) -> Stream | None:
    """How the recorder of the session's bars stood when it last said so; None when it never did, for this session."""
    try:
        told = json.loads((home / STREAM_STATUS).read_text(encoding="utf-8"))
        if told["session"] != session.isoformat():
            return None
        until = told["closed_until"]
        return Stream(
            at=datetime.fromisoformat(told["at"]), is_connected=told["is_connected"], is_stale=told["is_stale"],
            closed_until=datetime.fromisoformat(until) if until else None, problem=told["problem"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none, or of another release: what is stored tells as well


def _processes(home: Path) -> tuple[ProcessState, ...]:
    try:
        return read_processes(home)
    except TradingPipelineError:
        return ()  # its own command says what is wrong with the record
