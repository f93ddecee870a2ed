"""The session's loop as a run: hosted here, or looked after where a service hosts it."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from trading_pipeline.defs.entering import entered, session_now
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.defs.trading import ACTS, NO_RETRY, report_session, trading_materialization
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import HomeInUseError, LeaseHeld
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.gates import raise_once
from trading_pipeline.services.monitor import MonitorState, read_monitor
from trading_pipeline.services.session_rows import TRADING_ASSETS, session_rows
from trading_pipeline.wiring import Workspace

REPORT_EVERY = timedelta(minutes=1)
LOOK_EVERY = timedelta(seconds=15)
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class TradingReports:
    """Tells Dagster of what the loop has written of the session, each asset when it has changed, at most once a minute.

    Positions are told of at once, also when there are none: the session is looked after.
    """

    context: dg.OpExecutionContext
    workspace: Workspace
    session: date
    _told: dict[str, object] = field(default_factory=dict)
    _told_at: datetime = NEVER

    def tell(self, at: datetime) -> None:
        """Look, and log a materialisation of every asset of which there is news."""
        if at - self._told_at < REPORT_EVERY:
            return
        self._told_at, account = at, self.workspace.settings.execution.account
        with self.workspace.ledger.read() as tx:
            rows = {name: session_rows(tx, account, self.session, name) for name in TRADING_ASSETS}
        for name, found in rows.items():
            if found != self._told.get(name, None if name == "positions" else []):
                self.context.log_event(trading_materialization(self.workspace, self.session, name, found))
                self._told[name] = found


@dg.op(description="Host today's session loop on the real clock: guard positions, decide, dispatch, record.")
@without_secrets
def host_session_loop(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    opened = entered(context, workspace)
    times = session_now(context, opened)
    if times is None or _is_too_late(context, opened, times):
        return
    if opened.settings.monitor.host == "service":
        look_after(context, opened, times)
    elif not host(context, opened, times.session):
        return
    report_session(context, opened, times.session)


def _is_too_late(context: dg.OpExecutionContext, workspace: Workspace, times: SessionTimes) -> bool:
    """True for a session that is over and was never begun: all of it at once would be decided on what is past."""
    is_late = workspace.clock.now() >= times.closes_at and _record(workspace, times.session) is None
    if is_late:
        context.log.warning("nothing done: session %s is over and was never begun", times.session)
    return is_late


def host(context: dg.OpExecutionContext, workspace: Workspace, session: date) -> bool:
    """Run the loop to the close; False, at once, when another process leads."""
    reports = TradingReports(context, workspace, session)
    try:
        record = workspace.host(session, lambda at, _done, _total: reports.tell(at))
    except (HomeInUseError, LeaseHeld) as led:
        context.log.warning("nothing done: %s", led)
        return False
    if record is None:
        context.log.warning("nothing done: the run was stopped before session %s was begun", session)
        return False
    context.log.info("session %s is %s; decision log %s", session, record.phase.value, record.decision_hash or "-")
    return True


def look_after(context: dg.OpExecutionContext, workspace: Workspace, times: SessionTimes) -> None:
    """Where the loop runs as a service: see that somebody leads and report positions, until the session is closed."""
    reports, rules = TradingReports(context, workspace, times.session), workspace.settings.automation.supervision
    until = times.closes_at + timedelta(minutes=rules.finish_minutes)
    quiet_since: datetime | None = None
    while (now := workspace.clock.now()) < until and not _is_closed(workspace, times.session):
        state = read_monitor(workspace.ledger, workspace.settings.execution.account, now)
        quiet_since = None if state.is_alive else quiet_since or now
        if quiet_since and now >= max(times.opens_at, quiet_since + timedelta(seconds=rules.start_seconds)):
            _alarm(context, workspace, times.session, now, state)
        reports.tell(now)
        workspace.clock.sleep_until(now + LOOK_EVERY)


def _alarm(
    context: dg.OpExecutionContext, workspace: Workspace, session: date, now: datetime, dead: MonitorState
) -> None:
    message = f"nobody guards the positions: {dead.words()}. Start it: trading-pipeline session run"
    is_new = raise_once(
        workspace.ledger, dead.account, session, cause=f"token {dead.token}", at=now, level=AlertLevel.CRITICAL,
        kind="loop_dead", message=message,
    )  # fmt: skip
    if is_new:
        context.log.error("%s", message)


def _record(workspace: Workspace, session: date) -> SessionRecord | None:
    with workspace.ledger.read() as tx:
        return tx.session_record(workspace.settings.execution.account, session)


def _is_closed(workspace: Workspace, session: date) -> bool:
    record = _record(workspace, session)
    return record is not None and record.phase is SessionPhase.CLOSED


@dg.job(tags={ACTS: "trade", **NO_RETRY}, executor_def=dg.in_process_executor)
def position_monitoring_job() -> None:
    """Host today's session loop from before the open to the close; where a service hosts it, see that it lives."""
    host_session_loop()
