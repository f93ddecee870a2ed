"""Leases, trading states, blocks, the audit outbox, alerts, cash, splits and reconciliations.

Orders, plans and trades may lack what only a setup gives; one working entry and one open position per symbol.
"""

import sqlalchemy as sa
from alembic import op

from trading_pipeline.adapters.tables import types
from trading_pipeline.domain.control import AlertLevel, BlockKind, TradingState
from trading_pipeline.domain.corporate import CashKind

revision = "0003"
down_revision = "0002"

NEW_APPEND_ONLY = ("alerts", "audit_outbox", "cash_activities", "reconciliations", "splits")

NEWEST_WORKING_ENTRY = """
UPDATE orders SET is_working_entry = true WHERE record_no IN (
    SELECT max(record_no) FROM orders
    WHERE leg = 'entry' AND strategy <> 'EXTERNAL'
        AND status NOT IN ('Filled', 'Canceled', 'Replaced', 'Rejected', 'Expired', 'Denied')
    GROUP BY account, symbol)
"""


def upgrade() -> None:
    alter_research()
    alter_orders()
    alter_trades()
    create_control()
    create_accounts()
    for table in NEW_APPEND_ONLY:
        refuse_changes(table)


def alter_research() -> None:
    op.add_column("scan_snapshots", sa.Column("source", sa.String(), server_default="sabr20", nullable=False))
    with op.batch_alter_table("setups") as setups:
        setups.alter_column("target", existing_type=types.Finite(), nullable=True)
    with op.batch_alter_table("trade_plans") as plans:
        plans.alter_column("target", existing_type=types.Exact(), nullable=True)
    after_rebuild("setups", "trade_plans")


def alter_orders() -> None:
    op.add_column("execution_reports", sa.Column("ref_exec_id", sa.String(), server_default="", nullable=False))
    with op.batch_alter_table("orders") as orders:
        orders.alter_column("intent_id", existing_type=sa.String(), nullable=True)
        orders.add_column(sa.Column("trail_amount", types.Exact(), nullable=True))
        orders.add_column(sa.Column("is_working_entry", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(NEWEST_WORKING_ENTRY)
    only_one("uq_orders_working_entry", "orders", "is_working_entry")
    only_one("uq_positions_open", "positions", "quantity > 0")


def only_one(name: str, table: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, ["account", "symbol"], unique=True, sqlite_where=where, postgresql_where=where)


def alter_trades() -> None:
    with op.batch_alter_table("trades") as trades:
        trades.drop_constraint(op.f("fk_trades_trade_id"), type_="foreignkey")  # a correction has an id of its own,
        trades.drop_constraint(op.f("ck_trades_quantity_above_zero"), type_="check")  # and may take shares back
        trades.alter_column("initial_stop", existing_type=types.Exact(), nullable=True)
        trades.alter_column("target", existing_type=types.Exact(), nullable=True)
        trades.alter_column("r_multiple", existing_type=types.Derived(), nullable=True)
        trades.alter_column("score", existing_type=types.Finite(), nullable=True)
        trades.alter_column("snapshot_id", existing_type=sa.String(), nullable=True)
        trades.alter_column("setup_id", existing_type=sa.String(), nullable=True)
    after_rebuild("trades")


def create_control() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("acquired_at", types.UtcInstant(), nullable=False),
        sa.Column("heartbeat_at", types.UtcInstant(), nullable=False),
        sa.Column("expires_at", types.UtcInstant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "trading_states",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("state", types.Named(TradingState), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("changed_at", types.UtcInstant(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_trading_states")),
    )
    op.create_table(
        "blocks",
        sa.Column("block_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("kind", types.Named(BlockKind), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", types.UtcInstant(), nullable=False),
        sa.Column("cleared_at", types.UtcInstant(), nullable=True),
        sa.Column("cleared_by", sa.String(), nullable=False),
        record_no(),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_blocks")),
        sa.UniqueConstraint("block_id", name=op.f("uq_blocks_block_id")),
    )
    op.create_index(op.f("ix_blocks_account_cleared_at"), "blocks", ["account", "cleared_at"], unique=False)
    op.create_table(
        "audit_outbox",
        sa.Column("occurred_at", types.UtcInstant(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        record_no(),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_audit_outbox")),
    )
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("occurred_at", types.UtcInstant(), nullable=False),
        sa.Column("level", types.Named(AlertLevel), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        record_no(),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_alerts")),
        sa.UniqueConstraint("alert_id", name=op.f("uq_alerts_alert_id")),
    )
    op.create_index(op.f("ix_alerts_account_session"), "alerts", ["account", "session"], unique=False)


def create_accounts() -> None:
    op.create_table(
        "cash_activities",
        sa.Column("broker", sa.String(), nullable=False),
        sa.Column("activity_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("kind", types.Named(CashKind), nullable=False),
        sa.Column("amount_usd", types.Derived(), nullable=False),
        sa.Column("occurred_at", types.UtcInstant(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        record_no(),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_cash_activities")),
        sa.UniqueConstraint("broker", "activity_id", name=op.f("uq_cash_activities_broker_activity_id")),
    )
    op.create_index(op.f("ix_cash_activities_account_session"), "cash_activities", ["account", "session"], unique=False)
    op.create_table(
        "splits",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("ex_date", sa.Date(), nullable=False),
        sa.Column("ratio", types.Derived(), nullable=False),
        sa.Column("effective_at", types.UtcInstant(), nullable=False),
        record_no(),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_splits")),
        sa.UniqueConstraint("account", "symbol", "ex_date", name=op.f("uq_splits_account_symbol_ex_date")),
    )
    op.create_table(
        "reconciliations",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("at", types.UtcInstant(), nullable=False),
        sa.Column("breaks", types.Breaks(), nullable=False),
        sa.Column("suspected", types.Breaks(), nullable=False),
        record_no(),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_reconciliations")),
        sa.UniqueConstraint("account", "at", name=op.f("uq_reconciliations_account_at")),
    )


def record_no() -> sa.Column[int]:
    return sa.Column(
        "record_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
    )


def after_rebuild(*tables: str) -> None:
    """SQLite changes a table by rebuilding it, and its triggers go with the old one; PostgreSQL keeps them."""
    if op.get_context().dialect.name == "sqlite":
        for table in tables:
            refuse_changes(table)


def refuse_changes(table: str) -> None:
    if op.get_context().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN "
                f"SELECT RAISE(ABORT, '{table} is append-only: its rows are never changed or deleted'); END"
            )
        return
    op.execute(
        f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
