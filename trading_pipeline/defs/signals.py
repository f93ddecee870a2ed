"""From bars to what is worth trading: indicators, coarse screen, regime, watchlist."""

import dagster as dg

from trading_pipeline.analytics.indicators import INDICATOR_COLUMNS
from trading_pipeline.analytics.regime import describe
from trading_pipeline.analytics.schemas import BAR_COLUMNS
from trading_pipeline.analytics.screening import ScreeningAlertRules, screening_alerts
from trading_pipeline.defs.checks import report_checks
from trading_pipeline.defs.entering import entered
from trading_pipeline.defs.market_data import bars, universe
from trading_pipeline.defs.metadata import frame_metadata, named_schema, picture, table
from trading_pipeline.defs.partitions import SESSIONS
from trading_pipeline.defs.pictures import bars_svg
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource, sessions_of
from trading_pipeline.services import research
from trading_pipeline.services.scan_changes import regime_changes, screen_changes, stored_scan, watchlist_changes

OWNERS = ["team:research"]
SHOWN = ["as_of", "rank", "symbol", "score", "grade", "state", "rr", "entry", "stop", "target"]


@dg.asset(
    partitions_def=SESSIONS, deps=[universe, bars], group_name="signals", kinds={"python", "parquet"}, owners=OWNERS,
    code_version="1", backfill_policy=dg.BackfillPolicy.single_run(),
    metadata={"dagster/column_schema": named_schema(*BAR_COLUMNS, *INDICATOR_COLUMNS)},
)  # fmt: skip
@without_secrets
def indicators(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Trend, momentum and volatility per symbol and timeframe, as known at each bar's close."""
    desk = entered(context, workspace).research
    for session in sessions_of(context):
        rows = research.make_indicators(desk, session)
        context.add_asset_metadata(
            {"dagster/row_count": sum(rows.values()), **{f"rows_{name}": count for name, count in rows.items()}},
            partition_key=session.isoformat(),
        )
        report_checks(context, desk, session, "indicators")


@dg.asset(
    partitions_def=SESSIONS, deps=[universe, indicators], group_name="signals", kinds={"python", "parquet"},
    owners=OWNERS, code_version="1", backfill_policy=dg.BackfillPolicy.single_run(),
)  # fmt: skip
@without_secrets
def coarse_screen(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """The whole universe screened before the open and every half hour; at most 100 symbols are handed on."""
    desk = entered(context, workspace).research
    for session in sessions_of(context):
        before = stored_scan(desk.frames, "coarse_screen", session)
        frame = research.make_coarse_screen(desk, session)
        passed = frame.groupby("as_of")["handed_off"].sum()
        shown = {f"{at:%H:%M}Z": float(count) for at, count in passed.items()}
        context.add_asset_metadata(
            frame_metadata(
                frame,
                handed_off=int(passed.sum()),
                changes=screen_changes(before, frame),
                per_screen=picture(bars_svg(shown), "handed on"),
                alerts="; ".join(screening_alerts(frame, ScreeningAlertRules())) or "none",
            ),
            partition_key=session.isoformat(),
        )
        report_checks(context, desk, session, "coarse_screen")


@dg.asset(
    partitions_def=SESSIONS, deps=[universe, indicators], group_name="signals", kinds={"python", "parquet", "sqlite"},
    owners=OWNERS, code_version="1", backfill_policy=dg.BackfillPolicy.single_run(),
)  # fmt: skip
@without_secrets
def regime_score(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """What kind of market it is, 0–100, and how large to trade in it; a missing input counts as the worst case."""
    desk = entered(context, workspace).research
    for session in sessions_of(context):
        before = stored_scan(desk.frames, "regime_score", session)
        frame = research.make_regime_score(desk, session, newest_only=research.is_live(desk, session))
        shown = {f"{at:%H:%M}Z": float(score) for at, score in zip(frame["as_of"], frame["score"], strict=True)}
        context.add_asset_metadata(
            frame_metadata(
                frame,
                scores=picture(bars_svg(shown, most=100), "regime"),
                pre_market=describe(frame.iloc[0]),
                changes=regime_changes(before, frame),
            ),
            partition_key=session.isoformat(),
        )
        report_checks(context, desk, session, "regime_score")


@dg.asset(
    partitions_def=SESSIONS, deps=[coarse_screen, indicators, regime_score], group_name="signals",
    kinds={"python", "parquet", "sqlite"}, owners=OWNERS, code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
)  # fmt: skip
@without_secrets
def sabr20_watchlist(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Setups scored by SABR20 at every 15-minute close; grades A+ and A, at most 20, are the watchlist."""
    desk = entered(context, workspace).research
    for session in sessions_of(context):
        before = stored_scan(desk.frames, "sabr20_watchlist", session)
        frame = research.make_watchlist(desk, session, newest_only=research.is_live(desk, session))
        scored = frame[frame["scored"].astype(bool)]
        picks = scored[scored["selected"].astype(bool)][SHOWN].astype({"as_of": "str"}).round(2)
        grades = {str(k): float(v) for k, v in scored["grade"].value_counts().sort_index().items()}
        shown = {
            "picks": table(picks), "grades": picture(bars_svg(grades), "grades"),
            "changes": watchlist_changes(before, frame),
        }  # fmt: skip
        context.add_asset_metadata(
            frame_metadata(frame, scored=len(scored), selected=len(picks), **shown),
            partition_key=session.isoformat(),
        )
        report_checks(context, desk, session, "sabr20_watchlist")
