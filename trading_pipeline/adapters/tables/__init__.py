"""The ledger's tables: one per record, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from trading_pipeline.adapters.tables.accounts import (
    DailyPerformanceRow,
    EquityPointRow,
    RiskEventRow,
    SessionRecordRow,
)
from trading_pipeline.adapters.tables.base import Base
from trading_pipeline.adapters.tables.research import RegimeSnapshotRow, ScanSnapshotRow, SetupRow
from trading_pipeline.adapters.tables.trading import (
    ExecutionReportRow,
    FillRow,
    IntentRow,
    OrderRow,
    PositionRow,
    RiskDecisionRow,
    TradePlanRow,
    TradeRow,
)

APPEND_ONLY = (
    "equity_points",
    "execution_reports",
    "fills",
    "intents",
    "regime_snapshots",
    "risk_decisions",
    "risk_events",
    "scan_snapshots",
    "setups",
    "trade_plans",
    "trades",
)  # the database itself refuses to change or delete their rows

__all__ = [
    "APPEND_ONLY",
    "Base",
    "DailyPerformanceRow",
    "EquityPointRow",
    "ExecutionReportRow",
    "FillRow",
    "IntentRow",
    "OrderRow",
    "PositionRow",
    "RegimeSnapshotRow",
    "RiskDecisionRow",
    "RiskEventRow",
    "ScanSnapshotRow",
    "SessionRecordRow",
    "SetupRow",
    "TradePlanRow",
    "TradeRow",
]
