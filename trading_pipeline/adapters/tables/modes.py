"""Modes: where each account stands, how it got there, on what evidence and on whose word."""

# ruff: noqa: ARG002  SQLAlchemy passes the dialect to every conversion, needed or not

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Dialect, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from trading_pipeline.adapters.tables.base import Base, Recorded
from trading_pipeline.adapters.tables.types import Named
from trading_pipeline.domain.mode_gate import GateItem
from trading_pipeline.domain.modes import ChangeKind
from trading_pipeline.domain.risk_book import Mode


class GateItems(TypeDecorator[tuple[GateItem, ...]]):
    """The items of a gate report, as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[GateItem, ...] | None, dialect: Dialect) -> list[dict[str, Any]] | None:
        return None if value is None else [asdict(item) for item in value]

    def process_result_value(self, value: list[dict[str, Any]] | None, dialect: Dialect) -> tuple[GateItem, ...] | None:
        return None if value is None else tuple(GateItem(**document) for document in value)


class OperatorRow(Base):
    """A person who may ask and approve; what was done with the row is in the audit log."""

    __tablename__ = "operators"

    name: Mapped[str] = mapped_column(primary_key=True)
    password_hash: Mapped[str]
    is_enabled: Mapped[bool]
    added_at: Mapped[datetime]
    added_by: Mapped[str]
    failures: Mapped[int]
    last_failure_at: Mapped[datetime | None]


class ModeStateRow(Base):
    """An account's present mode; how it got there is in mode_changes."""

    __tablename__ = "mode_states"

    account: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[Mode] = mapped_column(Named(Mode))
    step: Mapped[int]
    symbols: Mapped[int | None]
    is_stopped: Mapped[bool]
    entered_at: Mapped[datetime]
    change_id: Mapped[str]
    config_hash: Mapped[str]
    limits_hash: Mapped[str]


class ModeChangeRow(Recorded, Base):
    """One change of an account's mode."""

    __tablename__ = "mode_changes"
    __table_args__ = (Index(None, "account"),)

    change_id: Mapped[str] = mapped_column(unique=True)
    account: Mapped[str]
    at: Mapped[datetime]
    kind: Mapped[ChangeKind] = mapped_column(Named(ChangeKind))
    from_mode: Mapped[Mode] = mapped_column(Named(Mode))
    from_step: Mapped[int]
    from_symbols: Mapped[int | None]
    from_stopped: Mapped[bool]
    mode: Mapped[Mode] = mapped_column(Named(Mode))
    step: Mapped[int]
    symbols: Mapped[int | None]
    is_stopped: Mapped[bool]
    reason: Mapped[str]
    actor: Mapped[str]
    request_id: Mapped[str]
    report_id: Mapped[str]
    approvals: Mapped[tuple[str, ...]]
    config_hash: Mapped[str]
    limits_hash: Mapped[str]


class GateReportRow(Recorded, Base):
    """The evidence for one request, under the hash of its content."""

    __tablename__ = "gate_reports"

    report_id: Mapped[str] = mapped_column(unique=True)
    account: Mapped[str]
    evidence_account: Mapped[str]
    kind: Mapped[ChangeKind] = mapped_column(Named(ChangeKind))
    mode: Mapped[Mode] = mapped_column(Named(Mode))
    step: Mapped[int]
    symbols: Mapped[int | None]
    since: Mapped[datetime | None]
    made_at: Mapped[datetime]
    made_by: Mapped[str]
    config_hash: Mapped[str]
    limits_hash: Mapped[str]
    items: Mapped[tuple[GateItem, ...]] = mapped_column(GateItems())


class ModeRequestRow(Recorded, Base):
    """A rung that somebody asked for."""

    __tablename__ = "mode_requests"
    __table_args__ = (Index(None, "account"),)

    request_id: Mapped[str] = mapped_column(unique=True)
    account: Mapped[str]
    kind: Mapped[ChangeKind] = mapped_column(Named(ChangeKind))
    mode: Mapped[Mode] = mapped_column(Named(Mode))
    step: Mapped[int]
    symbols: Mapped[int | None]
    requested_by: Mapped[str] = mapped_column(ForeignKey("operators.name"))
    reason: Mapped[str]
    requested_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    approvers: Mapped[int]
    report_id: Mapped[str] = mapped_column(ForeignKey("gate_reports.report_id"))
    from_change: Mapped[str]
    config_hash: Mapped[str]
    limits_hash: Mapped[str]


class ApprovalRow(Recorded, Base):
    """One person's word for one request: nobody gives it twice."""

    __tablename__ = "approvals"
    __table_args__ = (UniqueConstraint("request_id", "operator"),)

    approval_id: Mapped[str] = mapped_column(unique=True)
    request_id: Mapped[str] = mapped_column(ForeignKey("mode_requests.request_id"))
    operator: Mapped[str] = mapped_column(ForeignKey("operators.name"))
    reason: Mapped[str]
    approved_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    account: Mapped[str]
    mode: Mapped[Mode] = mapped_column(Named(Mode))
    step: Mapped[int]
    symbols: Mapped[int | None]
    report_id: Mapped[str]
    config_hash: Mapped[str]
    limits_hash: Mapped[str]


class ApprovalUseRow(Recorded, Base):
    """An approval that was used up: each can be, once."""

    __tablename__ = "approval_uses"

    approval_id: Mapped[str] = mapped_column(ForeignKey("approvals.approval_id"), unique=True)
    change_id: Mapped[str]
    used_at: Mapped[datetime]
