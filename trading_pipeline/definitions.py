"""The Dagster code location: every asset, check, job, schedule and sensor, with their resources."""

from __future__ import annotations

import dagster as dg

from trading_pipeline.defs import automation, checks, jobs, market_data, reports, signals, trading
from trading_pipeline.defs.logs import QUIET, run_logger
from trading_pipeline.defs.resources import WorkspaceResource

defs = dg.Definitions(
    assets=[
        market_data.RAW_BARS,
        market_data.universe,
        market_data.bars,
        signals.indicators,
        signals.coarse_screen,
        signals.regime_score,
        signals.sabr20_watchlist,
        *trading.TRADING_SPECS,
        reports.daily_performance,
        reports.performance_report,
    ],
    asset_checks=list(checks.CHECK_DEFINITIONS),
    jobs=[*jobs.JOBS, trading.session_replay_job, trading.position_monitoring_job, trading.execution_job],
    schedules=list(automation.SCHEDULES),
    sensors=[automation.new_watchlist_sensor],
    resources={"workspace": WorkspaceResource()},
    loggers={QUIET: run_logger},
    executor=dg.in_process_executor,
)
