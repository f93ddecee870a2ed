"""Modes, operators, gate reports and approvals."""

import sqlalchemy as sa
from alembic import op

from trading_pipeline.adapters.tables import types
from trading_pipeline.adapters.tables.modes import GateItems
from trading_pipeline.domain.modes import ChangeKind
from trading_pipeline.domain.risk_book import Mode

revision = "0005"
down_revision = "0004"

NEW_APPEND_ONLY = ("approval_uses", "approvals", "gate_reports", "mode_changes", "mode_requests")


def upgrade() -> None:
    create_states()
    create_evidence()
    create_approvals()
    for table in NEW_APPEND_ONLY:
        refuse_changes(table)


def create_states() -> None:
    op.create_table(
        "operators",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("added_at", types.UtcInstant(), nullable=False),
        sa.Column("added_by", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_failure_at", types.UtcInstant(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_operators")),
    )
    op.create_table(
        "mode_states",
        sa.Column("account", sa.String(), nullable=False),
        *rung(),
        sa.Column("is_stopped", sa.Boolean(), nullable=False),
        sa.Column("entered_at", types.UtcInstant(), nullable=False),
        sa.Column("change_id", sa.String(), nullable=False),
        *hashes(),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_mode_states")),
    )
    op.create_table(
        "mode_changes",
        sa.Column("change_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("at", types.UtcInstant(), nullable=False),
        sa.Column("kind", types.Named(ChangeKind), nullable=False),
        sa.Column("from_mode", types.Named(Mode), nullable=False),
        sa.Column("from_step", sa.Integer(), nullable=False),
        sa.Column("from_symbols", sa.Integer(), nullable=True),
        sa.Column("from_stopped", sa.Boolean(), nullable=False),
        *rung(),
        sa.Column("is_stopped", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("report_id", sa.String(), nullable=False),
        sa.Column("approvals", sa.JSON(), nullable=False),
        *hashes(),
        record_no(),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_mode_changes")),
        sa.UniqueConstraint("change_id", name=op.f("uq_mode_changes_change_id")),
    )
    op.create_index(op.f("ix_mode_changes_account"), "mode_changes", ["account"], unique=False)


def create_evidence() -> None:
    op.create_table(
        "gate_reports",
        sa.Column("report_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("evidence_account", sa.String(), nullable=False),
        sa.Column("kind", types.Named(ChangeKind), nullable=False),
        *rung(),
        sa.Column("since", types.UtcInstant(), nullable=True),
        sa.Column("made_at", types.UtcInstant(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        *hashes(),
        sa.Column("items", GateItems(), nullable=False),
        record_no(),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_gate_reports")),
        sa.UniqueConstraint("report_id", name=op.f("uq_gate_reports_report_id")),
    )
    op.create_table(
        "mode_requests",
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("kind", types.Named(ChangeKind), nullable=False),
        *rung(),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("requested_at", types.UtcInstant(), nullable=False),
        sa.Column("expires_at", types.UtcInstant(), nullable=False),
        sa.Column("approvers", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.String(), nullable=False),
        sa.Column("from_change", sa.String(), nullable=False),
        *hashes(),
        record_no(),
        sa.ForeignKeyConstraint(["requested_by"], ["operators.name"], name=op.f("fk_mode_requests_requested_by")),
        sa.ForeignKeyConstraint(["report_id"], ["gate_reports.report_id"], name=op.f("fk_mode_requests_report_id")),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_mode_requests")),
        sa.UniqueConstraint("request_id", name=op.f("uq_mode_requests_request_id")),
    )
    op.create_index(op.f("ix_mode_requests_account"), "mode_requests", ["account"], unique=False)


def create_approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("operator", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("approved_at", types.UtcInstant(), nullable=False),
        sa.Column("expires_at", types.UtcInstant(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        *rung(),
        sa.Column("report_id", sa.String(), nullable=False),
        *hashes(),
        record_no(),
        sa.ForeignKeyConstraint(["request_id"], ["mode_requests.request_id"], name=op.f("fk_approvals_request_id")),
        sa.ForeignKeyConstraint(["operator"], ["operators.name"], name=op.f("fk_approvals_operator")),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_approvals")),
        sa.UniqueConstraint("approval_id", name=op.f("uq_approvals_approval_id")),
        sa.UniqueConstraint("request_id", "operator", name=op.f("uq_approvals_request_id_operator")),
    )
    op.create_table(
        "approval_uses",
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("change_id", sa.String(), nullable=False),
        sa.Column("used_at", types.UtcInstant(), nullable=False),
        record_no(),
        sa.ForeignKeyConstraint(["approval_id"], ["approvals.approval_id"], name=op.f("fk_approval_uses_approval_id")),
        sa.PrimaryKeyConstraint("record_no", name=op.f("pk_approval_uses")),
        sa.UniqueConstraint("approval_id", name=op.f("uq_approval_uses_approval_id")),
    )


def rung() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("mode", types.Named(Mode), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("symbols", sa.Integer(), nullable=True),
    )


def hashes() -> tuple[sa.Column[str], ...]:
    return (
        sa.Column("config_hash", sa.String(), nullable=False),
        sa.Column("limits_hash", sa.String(), nullable=False),
    )


def record_no() -> sa.Column[int]:
    return sa.Column(
        "record_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
    )


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
