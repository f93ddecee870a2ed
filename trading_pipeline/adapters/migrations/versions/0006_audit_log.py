"""The audit log: its name, its entries, its checkpoints. None of their rows is ever changed or deleted."""

import sqlalchemy as sa
from alembic import op

from trading_pipeline.adapters.tables import types
from trading_pipeline.domain.audit import Why

revision = "0006"
down_revision = "0005"

NEW_APPEND_ONLY = ("audit_checkpoints", "audit_log", "audit_logs")


def upgrade() -> None:
    create_log()
    create_checkpoints()
    for table in NEW_APPEND_ONLY:
        refuse_changes(table)


def create_log() -> None:
    op.create_table(
        "audit_log",
        count("seq"),
        count("outbox_no"),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("leaf", sa.String(), nullable=False),
        sa.Column("head", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("occurred_at", types.UtcInstant(), nullable=False),
        sa.CheckConstraint("seq > 0", name=op.f("ck_audit_log_seq_above_zero")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("outbox_no", name=op.f("uq_audit_log_outbox_no")),
    )
    op.create_index(op.f("ix_audit_log_kind_seq"), "audit_log", ["kind", "seq"], unique=False)
    op.create_index(op.f("ix_audit_log_occurred_at"), "audit_log", ["occurred_at"], unique=False)
    op.create_table(
        "audit_logs",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("log_id", sa.String(), nullable=False),
        sa.Column("created_at", types.UtcInstant(), nullable=False),
        sa.CheckConstraint("number = 1", name=op.f("ck_audit_logs_only_one")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_logs")),
        sa.UniqueConstraint("log_id", name=op.f("uq_audit_logs_log_id")),
    )


def create_checkpoints() -> None:
    op.create_table(
        "audit_checkpoints",
        count("number"),
        count("seq"),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("frontier", sa.String(), nullable=False),
        sa.Column("why", types.Named(Why), nullable=False),
        sa.Column("at", types.UtcInstant(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_audit_checkpoints_number_above_zero")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_checkpoints")),
    )
    op.create_index(op.f("ix_audit_checkpoints_seq"), "audit_checkpoints", ["seq"], unique=False)


def count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False)


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
