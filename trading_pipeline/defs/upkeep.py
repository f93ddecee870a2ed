"""Upkeep: missing history from a vendor, and what Dagster need not keep."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice

import dagster as dg

from trading_pipeline.defs.entering import entered
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.services.fetch import FetchReport, FetchRequest, last_over
from trading_pipeline.services.research_desk import DAILY
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.market_data import Provider, fetch_bars, history

FETCHED_SESSIONS = 5
"""Sessions back that are looked at: enough for a long weekend without a machine. More: trading-pipeline data fetch."""
PAGE, MOST_A_NIGHT = 500, 5000
OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.op(description="Ask the configured vendor for bars of the last sessions that are missing, and for splits.")
@without_secrets
def fetch_missing_history(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    opened = entered(context, workspace)
    provider = opened.settings.automation.history_provider
    if provider is None:
        context.log.warning("no vendor is configured (automation.history_provider): nothing is fetched")
        return
    for timeframe in (opened.bars.base_timeframe() or Timeframe.MIN5, DAILY):
        report = _fetch(opened, provider, timeframe)
        context.log.info(
            "%s of %s: %d new, %d corrected, %d refused", timeframe.value, provider, report.new, report.corrected,
            len(report.refused),
        )  # fmt: skip
        if report.new + report.corrected:
            for session in sorted(report.sessions):
                told = {"source": report.provider, "feed": report.feed, "timeframe": timeframe.value}
                context.log_event(dg.AssetMaterialization("raw_bars", partition=session.isoformat(), metadata=told))


def _fetch(workspace: Workspace, provider: Provider, timeframe: Timeframe) -> FetchReport:
    """What is missing of every symbol with daily bars in the last sessions."""
    last = last_over(workspace.calendar, workspace.clock.now())
    first = workspace.calendar.previous(last, FETCHED_SESSIONS - 1)
    request = FetchRequest(symbols=_symbols(workspace, last), timeframe=timeframe, first=first, last=last)
    with history(workspace, provider) as source:
        return fetch_bars(workspace, source, request)


def _symbols(workspace: Workspace, last: date) -> tuple[str, ...]:
    desk = workspace.research
    stored = [day for day in desk.stored(DAILY) if day <= last][-FETCHED_SESSIONS:]
    known = desk.bars.view(DAILY, stored, as_of=last)["symbol"].unique() if stored else ()
    return tuple(sorted({*map(str, known), *desk.index_symbols()}))


@dg.op(description="Remove old runs that a later run of the same job and session has replaced.")
@without_secrets
def remove_replaced_runs(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    opened = entered(context, workspace)
    before = opened.clock.now() - timedelta(days=opened.settings.automation.keep_runs_days)
    replaced = list(islice(_old_runs(context.instance, before), MOST_A_NIGHT))
    for run_id in replaced:
        context.instance.delete_run(run_id)
    context.log.info(
        "%d runs from before %s were removed: later ones replace them", len(replaced), f"{before:%Y-%m-%d}"
    )


def _old_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    """Runs that are over, were made before the instant, and were replaced; oldest first."""
    cursor: str | None = None
    while True:
        page = instance.get_run_records(
            dg.RunsFilter(statuses=OVER, created_before=before), limit=PAGE, ascending=True, cursor=cursor
        )
        yield from (record.dagster_run.run_id for record in page if _is_replaced(instance, record))
        if len(page) < PAGE:
            return
        cursor = page[-1].dagster_run.run_id


def _is_replaced(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """True when the session's newest successful run of the job is another, younger one: nothing shown is lost."""
    run = record.dagster_run
    session = run.tags.get("session")
    if session is None:
        return False
    newer = instance.get_run_records(
        dg.RunsFilter(
            job_name=run.job_name, tags={"session": session}, statuses=[dg.DagsterRunStatus.SUCCESS],
            created_after=record.create_timestamp,
        ),
        limit=1,
    )  # fmt: skip
    return any(one.dagster_run.run_id != run.run_id for one in newer)


@dg.job(executor_def=dg.in_process_executor)
def historical_bars_job() -> None:
    """Fetch what is missing from the configured vendor."""
    fetch_missing_history()


@dg.job(executor_def=dg.in_process_executor)
def retention_job() -> None:
    """Remove runs of Dagster that later ones have replaced."""
    remove_replaced_runs()


JOBS = (historical_bars_job, retention_job)
