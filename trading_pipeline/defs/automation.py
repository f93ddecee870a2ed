"""Schedules: what happens at its own time of every session. The timetable asks the exchange's calendar."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import dagster as dg

from trading_pipeline.defs.partitions import calendar, configured
from trading_pipeline.defs.periods import first_of_month, first_of_week, is_last_of_month, is_last_of_week
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.services import timetable
from trading_pipeline.services.timetable import Due, Duty, after_close, before_open, in_session, together
from trading_pipeline.settings import Settings

Decision = dg.RunRequest | dg.SkipReason
STATUS = dg.DefaultScheduleStatus.RUNNING if configured().automation.enabled else dg.DefaultScheduleStatus.STOPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A duty and the job that does it.

    when: for people. partitioned: its runs are of the session's partition, or of the one that `key` gives. needless:
    why there is nothing to do at all under the settings, empty when there is. of_begun: only of a session that the
    loop has begun.
    """

    duty: Duty
    job: str
    what: str
    when: str
    partitioned: bool = True
    key: Callable[[date], date] = lambda session: session
    needless: Callable[[Settings], str] = lambda _: ""
    of_begun: bool = False

    @property
    def name(self) -> str:
        """Of its schedule."""
        return f"{self.duty.name}_schedule"


def _hours(number: float) -> timedelta:
    return timedelta(hours=number)


def _no_vendor(settings: Settings) -> str:
    if settings.automation.history_provider:
        return ""
    return "no vendor is configured (automation.history_provider): bars are imported, streamed or synthetic"


def _no_targets(settings: Settings) -> str:
    if settings.execution.signals == "external":
        return ""
    return "watchlists are traded (execution.signals: sabr20): there are no targets to rebalance to"


def _streamed(settings: Settings) -> str:
    if settings.live.provider == "none":
        return ""
    return f"the stream makes each watchlist as its bars close (live.provider: {settings.live.provider})"


def _made_up(settings: Settings) -> str:
    return _streamed(settings) if settings.live.provider == "synthetic" else ""


def no_stream(settings: Settings) -> str:
    """Why no run records the session's bars; empty when one does."""
    if settings.live.provider == "none":
        return "no stream is configured (live.provider: none): bars are imported, or streamed by hand"
    if settings.monitor.host == "service":
        return "a service records the session (monitor.host: service): trading-pipeline data stream"
    return ""


def timed_duties(settings: Settings) -> tuple[Timed, ...]:
    """Everything with a time of its own, in the order of a day."""
    return *_before_the_open(settings), *_in_session(settings), *_after_the_close()


def _before_the_open(settings: Settings) -> tuple[Timed, ...]:
    start = before_open(settings.automation.supervision.lead_minutes)
    return (
        Timed(
            duty=Duty(name="universe", rule=before_open(210), grace=_hours(8)), job="universe_job",
            what="The session's universe.", when="3 h 30 min before the open (06:00)", needless=_made_up,
        ),
        Timed(
            duty=Duty(name="pre_market", rule=together(before_open(150), before_open(30)), grace=_hours(2)),
            job="research_job", what="Pre-market scan, regime and its report; the second one shows what has changed.",
            when="2 h 30 min and 30 min before the open (07:00, 09:00)", needless=_made_up,
        ),
        Timed(
            duty=Duty(name="market_data", rule=start, grace=_hours(6)), job="market_data_job", partitioned=False,
            when="15 min before the open (09:15)", needless=no_stream,
            what="The session's stream, to the close: bars as they close, and a watchlist after each trigger bar.",
        ),
        Timed(
            duty=Duty(name="position_monitoring", rule=start, grace=_hours(6)), job="position_monitoring_job",
            partitioned=False, what="The session's loop, to the close.", when="15 min before the open (09:15)",
        ),
    )  # fmt: skip


def _in_session(settings: Settings) -> tuple[Timed, ...]:
    trigger, cycle = settings.sabr20.t1.length, timedelta(minutes=settings.execution.rebalance.cycle_minutes)
    return (
        Timed(
            duty=Duty(name="watchlist", rule=in_session(trigger), grace=trigger), job="research_job",
            what="A watchlist at each close of a trigger bar (15 min); at every second one (10:00, 10:30, ...) first "
            "the coarse screen and the regime, in the same run. Each shows what has changed since the one before.",
            when="every 15 min, from 09:45 to the session's own close", needless=_streamed,
        ),
        Timed(
            duty=Duty(name="rebalancing", rule=in_session(cycle), grace=cycle), job="execution_job",
            what="Looks for new external signals; the loop rebalances to them.", partitioned=False,
            when="every 5 min in session", needless=_no_targets,
        ),
        *_interim_reports(settings.automation.report_every_minutes),
    )  # fmt: skip


def _after_the_close() -> tuple[Timed, ...]:
    return (
        Timed(
            duty=Duty(name="performance_report", rule=after_close(20)), job="performance_report_job",
            what="The session's performance and report.", when="20 min after the session's own close (16:20, 13:20)",
        ),
        Timed(
            duty=Duty(name="weekly_report", rule=after_close(40), on=is_last_of_week), job="weekly_report_job",
            what="What the week's sessions earned.", key=first_of_week,
            when="40 min after the close of the week's last one (16:40, 13:40)",
        ),
        Timed(
            duty=Duty(name="monthly_report", rule=after_close(45), on=is_last_of_month), job="monthly_report_job",
            what="What the month's sessions earned.", key=first_of_month,
            when="45 min after the close of the month's last one (16:45, 13:45)",
        ),
        Timed(
            duty=Duty(name="historical_bars", rule=after_close(30)), job="historical_bars_job", partitioned=False,
            what="Bars and corporate actions that are missing, from the configured vendor.",
            when="30 min after the session's own close (16:30, 13:30)", needless=_no_vendor,
        ),
    )  # fmt: skip


def _interim_reports(every_minutes: int | None) -> tuple[Timed, ...]:
    """What the running session came to so far; the report after the close replaces it."""
    if every_minutes is None:
        return ()
    every = timedelta(minutes=every_minutes)
    return (
        Timed(
            duty=Duty(name="interim_report", rule=in_session(every), grace=every), job="performance_report_job",
            what="The running session's performance and report so far.", when=f"every {every_minutes} min in session",
            of_begun=True,
        ),
    )  # fmt: skip


TIMED = timed_duties(configured())


def tick(timed: Timed, at: datetime, now: datetime) -> Decision:
    """A run for the session the tick belongs to, or a skip that says why there is none.

    The run's key is the session's (and, where it is due more than once a day, the instant's): a tick that is evaluated
    twice, or a schedule whose hours were edited during the day, starts nothing twice.
    """
    found = timetable.judge(timed.duty, calendar(), at, max(at, now))
    why = "" if isinstance(found, Due) else found.why
    why = why or timed.needless(configured())
    if why or not isinstance(found, Due):
        return dg.SkipReason(why)
    return request(timed, found)


def request(timed: Timed, due: Due) -> dg.RunRequest:
    """The run of a duty that is due."""
    key = due.session.isoformat()
    is_once = len(timetable.instants_of(timed.duty, calendar(), due.session)) == 1
    return dg.RunRequest(
        run_key=f"{timed.duty.name}-{key}" if is_once else f"{timed.duty.name}-{key}-{due.at:%H%M}Z",
        partition_key=timed.key(due.session).isoformat() if timed.partitioned else None,
        tags={"session": key},
    )


def _schedule(timed: Timed) -> dg.ScheduleDefinition:
    """Off where the settings leave it nothing to do: its ticks would only fill the timeline."""
    lines, needless = timetable.cron_lines(timed.duty, calendar()), timed.needless(configured())

    @dg.schedule(
        name=timed.name, job_name=timed.job, cron_schedule=lines[0] if len(lines) == 1 else lines,
        execution_timezone=str(calendar().zone), description=f"{timed.what} {timed.when}.",
        default_status=dg.DefaultScheduleStatus.STOPPED if needless else STATUS,
    )  # fmt: skip
    @without_secrets
    def run(context: dg.ScheduleEvaluationContext, workspace: WorkspaceResource) -> Decision:
        found = tick(timed, context.scheduled_execution_time, workspace.clock().now())
        return _only_of_begun(workspace, found) if timed.of_begun else found

    return run


def _only_of_begun(workspace: WorkspaceResource, found: Decision) -> Decision:
    """A skip in place of a run for a session that is not on record."""
    if isinstance(found, dg.SkipReason):
        return found
    session = date.fromisoformat(found.tags["session"])
    with workspace.looked_into() as opened, opened.ledger.read() as tx:
        is_begun = tx.session_record(opened.settings.execution.account, session) is not None
    return found if is_begun else dg.SkipReason(f"session {session} has not been begun by the loop")


def _nightly(name: str, job: str, at: str, what: str) -> dg.ScheduleDefinition:
    """Every night, session or not. at: minute and hour."""
    return dg.ScheduleDefinition(
        name=name, job_name=job, cron_schedule=f"{at} * * *", execution_timezone=str(calendar().zone),
        default_status=STATUS, description=what,
    )  # fmt: skip


UPKEEP = (
    _nightly("retention_schedule", "retention_job", "30 2", "Removes runs of Dagster that others have replaced."),
)
SCHEDULES: tuple[dg.ScheduleDefinition, ...] = (*map(_schedule, TIMED), *UPKEEP)
