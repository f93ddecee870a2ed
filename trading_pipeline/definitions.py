"""The Dagster code location: every asset, check, job, schedule and sensor, with their resources."""

from __future__ import annotations

import dagster as dg

from trading_pipeline.defs import (
    automation,
    check_alerts,
    checks,
    health,
    hosting,
    jobs,
    live_data,
    market_data,
    periods,
    relay,
    reports,
    sensors,
    signals,
    trading,
    upkeep,
)
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
        *periods.ASSETS,
        health.system_health,
    ],
    asset_checks=list(checks.CHECK_DEFINITIONS),
    jobs=[
        *jobs.JOBS,
        *periods.JOBS,
        *trading.JOBS,
        hosting.position_monitoring_job,
        *live_data.JOBS,
        *upkeep.JOBS,
        *health.JOBS,
        *relay.JOBS,
    ],
    schedules=[*automation.SCHEDULES, *health.SCHEDULES, *relay.SCHEDULES],
    sensors=[*sensors.SENSORS, *live_data.SENSORS, *health.SENSORS, *check_alerts.SENSORS, *relay.SENSORS],
    resources={"workspace": WorkspaceResource()},
    loggers={QUIET: run_logger},
    executor=dg.in_process_executor,
)
