"""Results, read only from the record: backfillable for any session that was traded."""

from collections.abc import Iterable, Iterator
from datetime import date

import dagster as dg

from trading_pipeline.defs.entering import entered
from trading_pipeline.defs.metadata import picture, record_schema, table
from trading_pipeline.defs.partitions import SESSIONS
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource, sessions_of
from trading_pipeline.defs.trading import TRADES
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.performance import DailyPerformance
from trading_pipeline.domain.positions import Trade
from trading_pipeline.services.decision_log import as_json
from trading_pipeline.services.reporting import record_daily_performance
from trading_pipeline.wiring import Workspace

OWNERS = ["team:trading"]


@dg.asset(
    partitions_def=SESSIONS, deps=[TRADES], group_name="reports", kinds={"python", "sqlalchemy"}, owners=OWNERS,
    code_version="1", backfill_policy=dg.BackfillPolicy.single_run(),
    metadata={"dagster/column_schema": record_schema(DailyPerformance)},
)  # fmt: skip
@without_secrets
def daily_performance(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Trades, wins, losses, P&L net of costs, average R and drawdown of the session; zeros when nothing traded."""
    opened = entered(context, workspace)
    account = opened.settings.execution.account
    for session in on_record(opened, sessions_of(context)):
        daily = record_daily_performance(opened.ledger, account, session, clock=opened.clock)
        context.add_asset_metadata(
            {"dagster/row_count": 1, "net_usd": float(daily.net_usd), "performance": table([as_json(daily)])},
            partition_key=session.isoformat(),
        )


@dg.asset(
    partitions_def=SESSIONS, deps=[daily_performance], group_name="reports", kinds={"python", "html"}, owners=OWNERS,
    code_version="1", backfill_policy=dg.BackfillPolicy.single_run(),
    metadata={"dagster/column_schema": record_schema(Trade)},
)  # fmt: skip
@without_secrets
def performance_report(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """One HTML page per session: equity, P&L, trades with R, funnel, regime, and where it all came from."""
    opened = entered(context, workspace)
    for session in on_record(opened, sessions_of(context)):
        written = opened.write_report(session)
        context.add_asset_metadata(
            {
                "dagster/row_count": len(written.report.trades),
                "report": dg.MetadataValue.path(str(written.path)),
                "equity": picture(written.equity_svg, "equity"),
                "dagster/uri": written.path.as_uri(),
            },
            partition_key=session.isoformat(),
        )


def on_record(workspace: Workspace, sessions: Iterable[date]) -> Iterator[date]:
    """The sessions that were traded; raises MissingResultError naming the others once the traded ones are done."""
    missing = []
    for session in sessions:
        with workspace.ledger.read() as tx:
            record = tx.session_record(workspace.settings.execution.account, session)
        if record is None:
            missing.append(session)
        else:
            yield session
    if missing:
        raise MissingResultError(
            f"{len(missing)} sessions of the range are not on record (first: {missing[0]}); the others are done. "
            f"Trade them: trading-pipeline session replay --session {missing[0]}"
        )
