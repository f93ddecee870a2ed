"""Whether the database still refuses to change or delete what is recorded: its triggers, looked for by name."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, text

APPEND_ONLY = (
    "alert_acknowledgements", "alerts", "approval_uses", "approvals", "audit_checkpoints", "audit_log", "audit_logs",
    "audit_outbox", "cash_activities", "equity_points", "execution_reports", "fills", "gate_reports", "intents",
    "mode_changes", "mode_requests", "reconciliations", "regime_snapshots", "risk_decisions", "risk_events",
    "scan_snapshots", "setups", "splits", "trade_plans", "trades",
)  # fmt: skip
"""Tables whose rows are never changed or deleted."""
ON_SQLITE = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
ON_POSTGRESQL = text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'")
CHANGES = {"sqlite": ("update", "delete")}


def missing_guards(engine: Engine) -> Sequence[str]:
    """Names of triggers that are not there, or are switched off; empty when the record is append-only."""
    name = engine.dialect.name
    with engine.connect() as connection:
        found = set(connection.scalars(ON_SQLITE if name == "sqlite" else ON_POSTGRESQL))
    needed = [f"{table}_refuses_{change}" for table in APPEND_ONLY for change in CHANGES.get(name, ("change",))]
    return [trigger for trigger in needed if trigger not in found]
