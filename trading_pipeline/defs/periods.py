"""Weeks and months: what their sessions earned together, read only from the record."""

from datetime import date, datetime, timedelta

import dagster as dg

from trading_pipeline.adapters.report_page.period import write_period
from trading_pipeline.defs.entering import entered
from trading_pipeline.defs.metadata import record_schema, table
from trading_pipeline.defs.partitions import FIRST_PARTITION, calendar
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.reports import OWNERS, daily_performance
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.performance import DailyPerformance
from trading_pipeline.domain.period import summarise_period
from trading_pipeline.services.decision_log import as_json
from trading_pipeline.services.reporting import record_daily_performance
from trading_pipeline.services.timetable import SessionCalendar
from trading_pipeline.wiring import Workspace


def _partitions(cron: str, first: date) -> dg.TimeWindowPartitionsDefinition:
    """end_offset 1: the running week or month is a partition."""
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule=cron, start=datetime(first.year, first.month, first.day), timezone=str(calendar().zone),  # noqa: DTZ001
        fmt="%Y-%m-%d", end_offset=1,
    )  # fmt: skip


WEEKS = _partitions("0 0 * * 1", FIRST_PARTITION + timedelta(days=-FIRST_PARTITION.weekday() % 7))
MONTHS = _partitions("0 0 1 * *", FIRST_PARTITION.replace(day=1))


def first_of_week(session: date) -> date:
    """Its Monday: the key of the week."""
    return session - timedelta(days=session.weekday())


def first_of_month(session: date) -> date:
    """The first day: the key of the month."""
    return session.replace(day=1)


def is_last_of_week(exchange: SessionCalendar, session: date) -> bool:
    """True when the exchange's next session is of another week."""
    return first_of_week(exchange.next(session)) != first_of_week(session)


def is_last_of_month(exchange: SessionCalendar, session: date) -> bool:
    """True when the exchange's next session is of another month."""
    return first_of_month(exchange.next(session)) != first_of_month(session)


def _report(name: str, partitions: dg.TimeWindowPartitionsDefinition, what: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"{name}_report", partitions_def=partitions, deps=[daily_performance], group_name="reports",
        kinds={"python", "html"}, owners=OWNERS, code_version="1", backfill_policy=dg.BackfillPolicy.single_run(),
        description=f"What the sessions of a {what} earned together, session by session; backfillable at any time.",
        metadata={"dagster/column_schema": record_schema(DailyPerformance)},
    )  # fmt: skip
    @without_secrets
    def report(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
        opened = entered(context, workspace)
        for key in sorted(context.partition_keys):
            window = partitions.time_window_for_partition_key(key)
            _write(context, opened, name, key, window.start.date(), window.end.date() - timedelta(days=1))

    return report


def _write(
    context: dg.AssetExecutionContext, workspace: Workspace, name: str, key: str, first: date, last: date
) -> None:
    days = _days(workspace, first, last)
    if not days:
        context.log.info("no session from %s to %s is on record", first, last)
        return
    period, account = summarise_period(days), workspace.settings.execution.account
    path = write_period(
        workspace.home / "reports" / f"{account}-{name}-{key}.html", period, f"{name} from {key}".title()
    )
    context.add_asset_metadata(
        {
            "dagster/row_count": period.sessions, "net_usd": float(period.net_usd), "trades": period.trades,
            "report": dg.MetadataValue.path(str(path)), "sessions": table([as_json(day) for day in days]),
        },
        partition_key=key,
    )  # fmt: skip


def _days(workspace: Workspace, first: date, last: date) -> list[DailyPerformance]:
    """The results of the sessions on record, computed where they were not."""
    account = workspace.settings.execution.account
    with workspace.ledger.read() as tx:
        sessions = [one.session for one in tx.session_records(account) if first <= one.session <= last]
    return [record_daily_performance(workspace.ledger, account, day, clock=workspace.clock) for day in sessions]


weekly_report = _report("weekly", WEEKS, "week")
monthly_report = _report("monthly", MONTHS, "month")


ASSETS = (weekly_report, monthly_report)
JOBS = (
    dg.define_asset_job(
        "weekly_report_job", selection=dg.AssetSelection.assets("weekly_report"), partitions_def=WEEKS,
        description="The result of a week's sessions; backfill any range.", executor_def=dg.in_process_executor,
    ),
    dg.define_asset_job(
        "monthly_report_job", selection=dg.AssetSelection.assets("monthly_report"), partitions_def=MONTHS,
        description="The result of a month's sessions; backfill any range.", executor_def=dg.in_process_executor,
    ),
)  # fmt: skip
