"""Who may act and whether at all; what is told to others; what reconciliation found."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from trading_pipeline.adapters.tables.base import Base, Computed, Document, Recorded
from trading_pipeline.domain.control import AlertLevel, BlockKind, TradingState
from trading_pipeline.domain.reconciliation import Break


class LeaseRow(Base):
    """The right to lead. A writer that holds it is checked against this row in every transaction."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    token: Mapped[int] = mapped_column(BigInteger())
    acquired_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class TradingStateRow(Base):
    """An account's present trading state; its history is in the audit outbox."""

    __tablename__ = "trading_states"

    account: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[TradingState]
    reason: Mapped[str]
    set_by: Mapped[str]
    changed_at: Mapped[datetime]
    flattens: Mapped[bool] = mapped_column(server_default=false())


class SessionPeakRow(Base):
    """The highest equity of a session so far: a process that starts in the middle of it knows it."""

    __tablename__ = "session_peaks"

    account: Mapped[str] = mapped_column(primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    equity_usd: Mapped[Computed]
    reached_at: Mapped[datetime]


class BlockRow(Recorded, Base):
    """Why no entry may leave, until cleared."""

    __tablename__ = "blocks"
    __table_args__ = (Index(None, "account", "cleared_at"),)

    block_id: Mapped[str] = mapped_column(unique=True)
    account: Mapped[str]
    symbol: Mapped[str]
    kind: Mapped[BlockKind]
    reason: Mapped[str]
    since: Mapped[datetime]
    cleared_at: Mapped[datetime | None]
    cleared_by: Mapped[str]


class AuditRow(Recorded, Base):
    """One entry of the audit outbox, written in the transaction of the change it tells of."""

    __tablename__ = "audit_outbox"

    occurred_at: Mapped[datetime]
    kind: Mapped[str]
    account: Mapped[str]
    subject: Mapped[str]
    actor: Mapped[str]
    data: Mapped[Document]


class AlertRow(Recorded, Base):
    """Something a person should hear of."""

    __tablename__ = "alerts"
    __table_args__ = (Index(None, "account", "session"),)

    alert_id: Mapped[str] = mapped_column(unique=True)
    account: Mapped[str]
    session: Mapped[date]
    occurred_at: Mapped[datetime]
    level: Mapped[AlertLevel]
    kind: Mapped[str]
    message: Mapped[str]
    data: Mapped[Document]


class ReconciliationRow(Recorded, Base):
    """One pass over the venue's record and ours."""

    __tablename__ = "reconciliations"
    __table_args__ = (UniqueConstraint("account", "at"),)

    account: Mapped[str]
    session: Mapped[date]
    at: Mapped[datetime]
    breaks: Mapped[tuple[Break, ...]]
    suspected: Mapped[tuple[Break, ...]]
