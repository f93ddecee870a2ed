"""Jobs that materialise assets. Range runs plan no checks; they report them per session instead."""

from __future__ import annotations

import dagster as dg

from trading_pipeline.defs.partitions import SESSIONS

RESEARCH = dg.AssetSelection.assets(
    "universe", "bars", "indicators", "coarse_screen", "regime_score", "sabr20_watchlist"
)

universe_job = dg.define_asset_job(
    "universe_job",
    selection=dg.AssetSelection.assets("universe").without_checks(),
    partitions_def=SESSIONS,
    description="Judge every symbol for the session.",
    executor_def=dg.in_process_executor,
)
research_job = dg.define_asset_job(
    "research_job",
    selection=RESEARCH.without_checks(),
    partitions_def=SESSIONS,
    description="From stored bars to watchlist and regime, for one session or a range of them in one run.",
    executor_def=dg.in_process_executor,
)
performance_report_job = dg.define_asset_job(
    "performance_report_job",
    selection=dg.AssetSelection.assets("daily_performance", "performance_report").without_checks(),
    partitions_def=SESSIONS,
    description="Performance and report of traded sessions, from the record alone; backfill any range.",
    executor_def=dg.in_process_executor,
)
JOBS = (universe_job, research_job, performance_report_job)
