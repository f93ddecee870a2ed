"""What an account did, session by session."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trading_pipeline.adapters.tables.base import Base, Computed, Document, Recorded
from trading_pipeline.domain.corporate import CashKind
from trading_pipeline.domain.trading_session import SessionPhase


class DailyPerformanceRow(Base):
    """One session's result."""

    __tablename__ = "daily_performance"

    account: Mapped[str] = mapped_column(primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    trades: Mapped[int]
    wins: Mapped[int]
    losses: Mapped[int]
    break_even: Mapped[int]
    win_rate: Mapped[Computed | None]
    gross_usd: Mapped[Computed]
    commission_usd: Mapped[Decimal]
    slippage_usd: Mapped[Computed]
    net_usd: Mapped[Computed]
    average_r: Mapped[Computed | None]
    largest_win_usd: Mapped[Computed | None]
    largest_loss_usd: Mapped[Computed | None]
    opening_equity_usd: Mapped[Computed]
    closing_equity_usd: Mapped[Computed]
    return_fraction: Mapped[Computed]
    max_drawdown_fraction: Mapped[Computed]
    computed_at: Mapped[datetime]


class EquityPointRow(Base):
    """Account value at one instant."""

    __tablename__ = "equity_points"
    __table_args__ = (Index(None, "account", "session"),)

    account: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    session: Mapped[date]
    cash_usd: Mapped[Computed]
    positions_usd: Mapped[Computed]
    equity_usd: Mapped[Computed]
    open_risk_usd: Mapped[Computed]
    positions: Mapped[int]


class RiskEventRow(Recorded, Base):
    """Something risk wants remembered."""

    __tablename__ = "risk_events"
    __table_args__ = (Index(None, "account", "session"),)

    event_id: Mapped[str] = mapped_column(unique=True)
    account: Mapped[str]
    session: Mapped[date]
    occurred_at: Mapped[datetime]
    kind: Mapped[str]
    severity: Mapped[str]
    message: Mapped[str]
    data: Mapped[Document]


class SessionRecordRow(Base):
    """How far the loop got with a session."""

    __tablename__ = "session_records"

    account: Mapped[str] = mapped_column(primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    phase: Mapped[SessionPhase]
    opening_cash_usd: Mapped[Computed]
    opening_equity_usd: Mapped[Computed]
    was_flat: Mapped[bool]
    cursor_at: Mapped[datetime | None]
    decision_hash: Mapped[str]
    code_version: Mapped[str]
    config_hash: Mapped[str]
    started_at: Mapped[datetime]
    run_id: Mapped[str]


class CashActivityRow(Recorded, Base):
    """Cash that moved without a fill."""

    __tablename__ = "cash_activities"
    __table_args__ = (UniqueConstraint("broker", "activity_id"), Index(None, "account", "session"))

    broker: Mapped[str]
    activity_id: Mapped[str]
    account: Mapped[str]
    session: Mapped[date]
    kind: Mapped[CashKind]
    amount_usd: Mapped[Computed]
    occurred_at: Mapped[datetime]
    symbol: Mapped[str]
    text: Mapped[str]


class SplitRow(Recorded, Base):
    """A split of something the account held."""

    __tablename__ = "splits"
    __table_args__ = (UniqueConstraint("account", "symbol", "ex_date"),)

    account: Mapped[str]
    symbol: Mapped[str]
    ex_date: Mapped[date]
    ratio: Mapped[Computed]
    effective_at: Mapped[datetime]
