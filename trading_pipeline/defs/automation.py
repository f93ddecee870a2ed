"""When things happen by themselves. All of it is off until a person turns it on."""

from collections.abc import Callable
from datetime import datetime, timedelta

import dagster as dg

from trading_pipeline.defs.jobs import performance_report_job, research_job, universe_job
from trading_pipeline.defs.partitions import ZONE, calendar
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.defs.trading import execution_job, position_monitoring_job
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.services.live import newest_snapshot

Decision = dg.RunRequest | dg.SkipReason
STOPPED = dg.DefaultScheduleStatus.STOPPED


def closed_reason(at: datetime) -> str | None:
    """Why the exchange has no session on the instant's New York date; None when it has one."""
    day = at.astimezone(calendar().zone).date()
    if calendar().is_session(day):
        return None
    return f"{day:%A %Y-%m-%d}: the exchange is closed; the next session is {calendar().session_of(at)}"


def on_session_day(context: dg.ScheduleEvaluationContext, request: Callable[[str], dg.RunRequest]) -> Decision:
    """A run for today's session, or a skip that says why there is none."""
    at = context.scheduled_execution_time
    reason = closed_reason(at)
    return dg.SkipReason(reason) if reason else request(at.astimezone(calendar().zone).date().isoformat())


def in_market_hours(at: datetime) -> str | None:
    """Why no snapshot is due at the instant: closed day, or outside the session's own hours (half-days included)."""
    reason = closed_reason(at)
    if reason:
        return reason
    times = calendar().times(at.astimezone(calendar().zone).date())
    if times.opens_at + timedelta(minutes=15) <= at <= times.closes_at + timedelta(minutes=1):
        return None
    close = times.closes_at.astimezone(calendar().zone)
    return f"{times.session}: no 15-minute bar closes now (session ends {close:%H:%M} New York)"


def _partition(key: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=None, partition_key=key, tags={"session": key})


@dg.schedule(job=universe_job, cron_schedule="0 6 * * 1-5", execution_timezone=ZONE, default_status=STOPPED)
def universe_schedule(context: dg.ScheduleEvaluationContext) -> Decision:
    """The day's universe at 06:00."""
    return on_session_day(context, _partition)


@dg.schedule(job=research_job, cron_schedule="0 7 * * 1-5", execution_timezone=ZONE, default_status=STOPPED)
def pre_market_schedule(context: dg.ScheduleEvaluationContext) -> Decision:
    """Pre-market scan and regime at 07:00."""
    return on_session_day(context, _partition)


@dg.schedule(job=research_job, cron_schedule="*/15 9-16 * * 1-5", execution_timezone=ZONE, default_status=STOPPED)
def watchlist_schedule(context: dg.ScheduleEvaluationContext) -> Decision:
    """A new watchlist after every 15-minute close in market hours."""
    reason = in_market_hours(context.scheduled_execution_time)
    return dg.SkipReason(reason) if reason else on_session_day(context, _partition)


@dg.schedule(job=position_monitoring_job, cron_schedule="15 9 * * 1-5", execution_timezone=ZONE, default_status=STOPPED)
def position_monitoring_schedule(context: dg.ScheduleEvaluationContext) -> Decision:
    """The session loop, from 09:15 to the close."""
    return on_session_day(context, lambda key: dg.RunRequest(run_key=f"monitor-{key}", tags={"session": key}))


@dg.schedule(job=performance_report_job, cron_schedule="20 16 * * 1-5", execution_timezone=ZONE, default_status=STOPPED)
def performance_report_schedule(context: dg.ScheduleEvaluationContext) -> Decision:
    """The day's performance report at 16:20."""
    return on_session_day(context, _partition)


@dg.sensor(job=execution_job, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.STOPPED)
def new_watchlist_sensor(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> Decision:
    """Decide on each new watchlist snapshot of the running session; a backfill of other sessions starts nothing."""
    opened = workspace.open()
    now = opened.clock.now()
    reason = closed_reason(now)
    if reason:
        return dg.SkipReason(reason)
    session = now.astimezone(calendar().zone).date()
    age = timedelta(minutes=opened.settings.automation.max_snapshot_age_minutes)
    try:
        with opened.ledger.read() as tx:
            snapshot = newest_snapshot(tx, session, now, age, origin=opened.provenance)
    except MissingResultError as nothing:
        return dg.SkipReason(str(nothing))
    context.log.info("snapshot %s", snapshot.snapshot_id)
    return dg.RunRequest(run_key=snapshot.snapshot_id, tags={"session": session.isoformat()})


SCHEDULES = (
    universe_schedule,
    pre_market_schedule,
    watchlist_schedule,
    position_monitoring_schedule,
    performance_report_schedule,
)
