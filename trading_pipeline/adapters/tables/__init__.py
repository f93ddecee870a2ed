"""The ledger's tables: one per record, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from trading_pipeline.adapters.tables.accounts import (
    CashActivityRow,
    DailyPerformanceRow,
    EquityPointRow,
    RiskEventRow,
    SessionRecordRow,
    SplitRow,
)
from trading_pipeline.adapters.tables.audit import AuditCheckpointRow, AuditLogRow, AuditLogsRow
from trading_pipeline.adapters.tables.base import Base
from trading_pipeline.adapters.tables.control import (
    AlertRow,
    AuditRow,
    BlockRow,
    LeaseRow,
    ReconciliationRow,
    SessionPeakRow,
    TradingStateRow,
)
from trading_pipeline.adapters.tables.modes import (
    ApprovalRow,
    ApprovalUseRow,
    GateReportRow,
    ModeChangeRow,
    ModeRequestRow,
    ModeStateRow,
    OperatorRow,
)
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
    "alerts",
    "approval_uses",
    "approvals",
    "audit_checkpoints",
    "audit_log",
    "audit_logs",
    "audit_outbox",
    "cash_activities",
    "equity_points",
    "execution_reports",
    "fills",
    "gate_reports",
    "intents",
    "mode_changes",
    "mode_requests",
    "reconciliations",
    "regime_snapshots",
    "risk_decisions",
    "risk_events",
    "scan_snapshots",
    "setups",
    "splits",
    "trade_plans",
    "trades",
)  # the database itself refuses to change or delete their rows

__all__ = [
    "APPEND_ONLY",
    "AlertRow",
    "ApprovalRow",
    "ApprovalUseRow",
    "AuditCheckpointRow",
    "AuditLogRow",
    "AuditLogsRow",
    "AuditRow",
    "Base",
    "BlockRow",
    "CashActivityRow",
    "DailyPerformanceRow",
    "EquityPointRow",
    "ExecutionReportRow",
    "FillRow",
    "GateReportRow",
    "IntentRow",
    "LeaseRow",
    "ModeChangeRow",
    "ModeRequestRow",
    "ModeStateRow",
    "OperatorRow",
    "OrderRow",
    "PositionRow",
    "ReconciliationRow",
    "RegimeSnapshotRow",
    "RiskDecisionRow",
    "RiskEventRow",
    "ScanSnapshotRow",
    "SessionPeakRow",
    "SessionRecordRow",
    "SetupRow",
    "SplitRow",
    "TradePlanRow",
    "TradeRow",
    "TradingStateRow",
]
