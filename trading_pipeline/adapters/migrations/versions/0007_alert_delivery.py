"""What became of an alert: deliveries, acknowledgements, escalation."""

import sqlalchemy as sa
from alembic import op

from trading_pipeline.adapters.tables import types
from trading_pipeline.domain.alerting import CircuitState, DeliveryState
from trading_pipeline.domain.control import AlertLevel

revision = "0007"
down_revision = "0006"

DELIVERY_INDEXES = (
    ("state", "channel", "due_at"),
    ("channel", "same", "handed_at"),
    ("channel", "rule", "handed_at"),
    ("alert_no",),
    ("message_id",),
)


def upgrade() -> None:
    create_deliveries()
    create_watches()
    create_channels()
    create_acknowledgements()


def create_deliveries() -> None:
    op.create_table(
        "alert_deliveries",
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("alert_no", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("occurred_at", types.UtcInstant(), nullable=False),
        sa.Column("level", types.Named(AlertLevel), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("same", sa.String(), nullable=False),
        sa.Column("state", types.Named(DeliveryState), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("bundle", sa.String(), nullable=False),
        sa.Column("due_at", types.UtcInstant(), nullable=False),
        sa.Column("created_at", types.UtcInstant(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("maybe_sent", sa.Boolean(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("handed_at", types.UtcInstant(), nullable=True),
        sa.Column("settled_at", types.UtcInstant(), nullable=True),
        sa.Column("escalated_from", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", "channel", name=op.f("pk_alert_deliveries")),
    )
    for columns in DELIVERY_INDEXES:
        op.create_index(op.f(f"ix_alert_deliveries_{'_'.join(columns)}"), "alert_deliveries", list(columns))


def create_watches() -> None:
    op.create_table(
        "alert_watches",
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("alert_no", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("since", types.UtcInstant(), nullable=False),
        sa.Column("next_at", types.UtcInstant(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("ended_at", types.UtcInstant(), nullable=True),
        sa.Column("ended_why", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alert_watches")),
    )
    op.create_index(op.f("ix_alert_watches_ended_at_next_at"), "alert_watches", ["ended_at", "next_at"])


def create_channels() -> None:
    op.create_table(
        "alert_channels",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("circuit", types.Named(CircuitState), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened_at", types.UtcInstant(), nullable=True),
        sa.Column("probe_at", types.UtcInstant(), nullable=True),
        sa.Column("free_at", types.UtcInstant(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("last_delivered_at", types.UtcInstant(), nullable=True),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_alert_channels")),
    )


def create_acknowledgements() -> None:
    op.create_table(
        "alert_acknowledgements",
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("operator", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("acknowledged_at", types.UtcInstant(), nullable=False),
        sa.Column(
            "record_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_alert_acknowledgements")),
        sa.UniqueConstraint("alert_id", name=op.f("uq_alert_acknowledgements_alert_id")),
    )
    refuse_changes("alert_acknowledgements")


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
