"""Bars as delivered, the universe, and bars rolled up."""

import dagster as dg

from trading_pipeline.analytics.schemas import BAR_COLUMNS, STORED_BAR_COLUMNS
from trading_pipeline.defs.checks import report_checks
from trading_pipeline.defs.entering import entered
from trading_pipeline.defs.metadata import frame_metadata, named_schema, picture
from trading_pipeline.defs.partitions import SESSIONS
from trading_pipeline.defs.pictures import bars_svg
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource, sessions_of
from trading_pipeline.services import research
from trading_pipeline.services.awaiting import await_newest_bar

OWNERS = ["team:market-data"]

RAW_BARS = dg.AssetSpec(
    "raw_bars",
    description="Bars as delivered, unadjusted, by timeframe and session; every correction is a version of its own. "
    "Written by `trading-pipeline data import`, `fetch` and `stream` and by the synthetic market, never by a run.",
    partitions_def=SESSIONS,
    group_name="market_data",
    kinds={"parquet"},
    owners=OWNERS,
    metadata={"dagster/column_schema": named_schema(*STORED_BAR_COLUMNS)},
)


@dg.asset(
    partitions_def=SESSIONS, deps=[RAW_BARS], group_name="market_data", kinds={"python", "parquet"}, owners=OWNERS,
    code_version="1", backfill_policy=dg.BackfillPolicy.single_run(),
)  # fmt: skip
@without_secrets
def universe(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Who may be traded: every symbol judged by the sessions before this one, with the reason it is out."""
    desk = entered(context, workspace).research
    for session in sessions_of(context):
        frame = research.make_universe(desk, session)
        reasons = frame.loc[~frame["included"].astype(bool), "reason"].value_counts().to_dict()
        shown = {"included": float(frame["included"].sum()), **{str(k): float(v) for k, v in reasons.items()}}
        context.add_asset_metadata(
            frame_metadata(frame, included=int(frame["included"].sum()), reasons=picture(bars_svg(shown), "universe")),
            partition_key=session.isoformat(),
        )
        report_checks(context, desk, session, "universe")


@dg.asset(
    partitions_def=SESSIONS, deps=[RAW_BARS, universe], group_name="market_data", kinds={"python", "parquet"},
    owners=OWNERS, code_version="1", backfill_policy=dg.BackfillPolicy.single_run(),
    metadata={"dagster/column_schema": named_schema(*BAR_COLUMNS)},
)  # fmt: skip
@without_secrets
def bars(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Base bars rolled up to 15min, 1h, 4h and 1d, anchored on the session's open."""
    opened = entered(context, workspace)
    desk, patience = opened.research, opened.settings.automation.bar_wait_seconds
    for session in sessions_of(context):
        if not await_newest_bar(desk, session, patience):
            context.log.warning("session %s: the newest bar is not stored after %s s", session, patience)
        rows = research.make_bars(desk, session)
        context.add_asset_metadata(
            {"dagster/row_count": sum(rows.values()), **{f"rows_{name}": count for name, count in rows.items()}},
            partition_key=session.isoformat(),
        )
        report_checks(context, desk, session, "bars")
