"""Sensors: what happens when something is so, whatever the time. They look at the record, never at single events.

So nothing is missed while the daemon is down, nothing is done twice, and a backfill of old sessions starts nothing.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from trading_pipeline.defs.entering import SESSION
from trading_pipeline.defs.partitions import calendar, configured
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.supervision import HostRun, LoopState, Start, supervise
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.services.gates import raise_once
from trading_pipeline.services.lease import lease_name
from trading_pipeline.services.live import newest_snapshot
from trading_pipeline.services.timetable import closed_reason
from trading_pipeline.wiring import Workspace

Decision = dg.RunRequest | dg.SkipReason
STATUS = dg.DefaultSensorStatus.RUNNING if configured().automation.enabled else dg.DefaultSensorStatus.STOPPED
OFTEN = 4
"""Seconds: Dagster then looks every 5."""
MONITORING, ATTEMPT = "position_monitoring_job", "trading_pipeline/attempt"
TRADING_JOBS = frozenset({MONITORING, "execution_job", "session_replay_job"})


@dg.sensor(
    job_name="execution_job", minimum_interval_seconds=OFTEN, default_status=STATUS,
    description="Each new watchlist of the running session is decided on; one of another session never is.",
)  # fmt: skip
@without_secrets
def new_watchlist_sensor(workspace: WorkspaceResource) -> Decision:
    """Decide on each new watchlist snapshot of the running session; a backfill of other sessions starts nothing."""
    now = workspace.clock().now()
    reason = closed_reason(calendar(), now)
    if reason:
        return dg.SkipReason(reason)
    with workspace.looked_into() as opened:
        return _decide_on_newest(opened, now)


def _decide_on_newest(workspace: Workspace, now: datetime) -> Decision:
    rules = workspace.settings.execution
    if rules.decider == "loop" or rules.signals == "external":
        return dg.SkipReason("the session's loop decides by itself (execution.decider: loop)")
    session = workspace.calendar.session_of(now)
    age = timedelta(minutes=workspace.settings.automation.max_snapshot_age_minutes)
    try:
        with workspace.ledger.read() as tx:
            snapshot = newest_snapshot(tx, session, now, age, origin=workspace.provenance)
    except MissingResultError as nothing:
        return dg.SkipReason(str(nothing))
    return dg.RunRequest(run_key=snapshot.snapshot_id, tags={SESSION: session.isoformat()})


@dg.sensor(
    job_name="historical_bars_job", minimum_interval_seconds=60, default_status=STATUS,
    description="Missing bars are fetched once the universe of the session is made, before the open.",
)  # fmt: skip
@without_secrets
def history_sensor(workspace: WorkspaceResource) -> Decision:
    """Missing bars are fetched once the session's universe is there, before the open."""
    now, settings = workspace.clock().now(), configured()
    reason = closed_reason(calendar(), now)
    if not reason and settings.automation.history_provider is None:
        reason = "no vendor is configured (automation.history_provider): bars are imported, streamed or synthetic"
    if reason:
        return dg.SkipReason(reason)
    times = calendar().times(calendar().session_of(now))
    with workspace.looked_into() as opened:
        if now >= times.opens_at:
            return dg.SkipReason(f"session {times.session} has opened; what is missing comes after its close")
        if times.session not in opened.frames.sessions("universe"):
            return dg.SkipReason(f"the universe of {times.session} is not made yet")
    key = times.session.isoformat()
    return dg.RunRequest(run_key=f"after-universe-{key}", tags={SESSION: key})


@dg.sensor(
    job_name=MONITORING, minimum_interval_seconds=OFTEN, default_status=STATUS,
    description="The loop of the session is started again when its lease is dead; never beside one that lives.",
)  # fmt: skip
@without_secrets
def loop_supervisor_sensor(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> dg.SensorResult | dg.SkipReason:
    """Start the session's loop again when its lease is dead, however its run looks; never beside one that lives."""

    def look(opened: Workspace, now: datetime) -> LoopState | str:
        if opened.settings.live.provider == "synthetic" and opened.bars.base_timeframe() is None:
            return "the home holds no bars yet: the stream fetches the made-up market's past first"
        session = opened.calendar.session_of(now)
        return loop_state(context.instance, opened, session, last_number(context.cursor, session))

    return keep_alive(context, workspace, "monitor", look, on_restart=_tell_restart)


def keep_alive(
    context: dg.SensorEvaluationContext,
    workspace: WorkspaceResource,
    name: str,
    look: Callable[[Workspace, datetime], LoopState | str],
    *,
    start_seconds: int | None = None,
    on_restart: Callable[[Workspace, date, Start, datetime], None] | None = None,
) -> dg.SensorResult | dg.SkipReason:
    """The run that brings back what is dead in the running session, or why there is none.

    look: how it stands, or why nobody need look. start_seconds: how long a start may take, where that is not as set.
    on_restart: told when it is not the session's first.
    """
    now = workspace.clock().now()
    reason = closed_reason(calendar(), now)
    if reason:
        return dg.SkipReason(reason)
    with workspace.looked_into() as opened:
        state = look(opened, now)
        if isinstance(state, str):
            return dg.SkipReason(state)
        rules, session = opened.settings.automation.supervision, state.times.session
        if start_seconds is not None:
            rules = rules.model_copy(update={"start_seconds": start_seconds})
        found = supervise(now, state, rules)
        if not isinstance(found, Start):
            return dg.SkipReason(found.why)
        for run_id in found.lost:
            give_up(context.instance, run_id, found.why)
        if state.runs and on_restart is not None:
            on_restart(opened, session, found, now)
    return _started(context, name, session, found)


def _started(context: dg.SensorEvaluationContext, name: str, session: date, found: Start) -> dg.SensorResult:
    """The run that a supervisor asks for; its number is kept, so that none is asked for twice."""
    key = session.isoformat()
    context.log.info("session %s, start %d: %s", key, found.number, found.why)
    request = dg.RunRequest(run_key=f"{name}-{key}-{found.number}", tags={SESSION: key, ATTEMPT: str(found.number)})
    return dg.SensorResult([request], cursor=json.dumps({SESSION: key, "number": found.number}))


def last_number(cursor: str | None, session: date) -> int:
    """The number of the last start that was asked for in the session; 0 for none."""
    known = json.loads(cursor) if cursor else {}
    return int(known["number"]) if known.get(SESSION) == session.isoformat() else 0


def loop_state(instance: dg.DagsterInstance, workspace: Workspace, session: date, number: int = 0) -> LoopState:
    """What record, lease and runs tell of the session's loop."""
    account = workspace.settings.execution.account
    with workspace.ledger.read() as tx:
        record, lease = tx.session_record(account, session), tx.lease(lease_name(account))
    is_service = workspace.settings.monitor.host == "service"
    runs = host_runs(instance, session)
    alive = runs[-1] if runs and runs[-1].ended_at is None else None
    return LoopState(
        times=workspace.calendar.times(session), runs=runs, last_number=number,
        leads_until=lease.expires_at if lease and not (is_service and alive is None) else None,
        holder=lease.holder if lease else "", is_begun=record is not None,
        is_closed=record is not None and record.phase is SessionPhase.CLOSED,
    )  # fmt: skip


def host_runs(instance: dg.DagsterInstance, session: date, job_name: str = MONITORING) -> Sequence[HostRun]:
    """Runs that hosted the session's loop (or what else the job hosts) or were made to, oldest first."""
    found = instance.get_run_records(dg.RunsFilter(job_name=job_name, tags={SESSION: session.isoformat()}), limit=100)
    return [_host_run(number, record) for number, record in enumerate(reversed(found), start=1)]


def _host_run(number: int, record: dg.RunRecord) -> HostRun:
    run = record.dagster_run
    ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
    return HostRun(
        run_id=run.run_id, number=max(number, int(run.tags.get(ATTEMPT, "0"))), created_at=record.create_timestamp,
        ended_at=ended if run.is_finished else None,
    )  # fmt: skip


def give_up(instance: dg.DagsterInstance, run_id: str, why: str) -> None:
    """Say that a run is over whose process is gone, so that it holds no place in the queue."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, f"given up by the supervisor: {why}")


def _tell_restart(workspace: Workspace, session: date, found: Start, now: datetime) -> None:
    raise_once(
        workspace.ledger, workspace.settings.execution.account, session, cause=f"start {found.number}", at=now,
        level=AlertLevel.ERROR if found.number > 3 else AlertLevel.WARNING, kind="loop_restarted",
        message=f"the session's loop is started again (start {found.number}): {found.why}",
    )  # fmt: skip


@dg.run_failure_sensor(
    minimum_interval_seconds=OFTEN, default_status=STATUS,
    description="A failed run leaves an alert, once: CRITICAL for jobs that trade, ERROR for the others.",
)  # fmt: skip
@without_secrets
def run_failure_alert_sensor(context: dg.RunFailureSensorContext, workspace: WorkspaceResource) -> None:
    """A failed run of any job leaves an alert, once: CRITICAL for jobs that trade, ERROR for the others."""
    run = context.dagster_run
    record = context.instance.get_run_record_by_id(run.run_id)
    ended_at = datetime.fromtimestamp(record.end_time, UTC) if record and record.end_time else workspace.clock().now()
    with workspace.looked_into() as opened:
        raise_once(
            opened.ledger, opened.settings.execution.account, _session_of_run(run, ended_at), cause=run.run_id,
            at=ended_at, level=AlertLevel.CRITICAL if run.job_name in TRADING_JOBS else AlertLevel.ERROR,
            kind="run_failed", message=f"{run.job_name} failed (run {run.run_id[:8]}): {_why(context)}",
        )  # fmt: skip


def _session_of_run(run: dg.DagsterRun, ended_at: datetime) -> date:
    made_for = run.tags.get(SESSION) or run.tags.get("dagster/partition")
    return date.fromisoformat(made_for) if made_for else calendar().session_of(ended_at)


def _why(context: dg.RunFailureSensorContext) -> str:
    """The first line of what the failed step said, else of the run's own failure."""
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            return error.message.strip().splitlines()[0][:500]
    return (context.failure_event.message or "no reason given").strip().splitlines()[0][:500]


SENSORS = (new_watchlist_sensor, history_sensor, loop_supervisor_sensor, run_failure_alert_sensor)
