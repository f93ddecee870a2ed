"""What was seen: scan snapshots, the setups scored in them, and the market regime."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trading_pipeline.adapters.tables.base import Base, Document, Recorded


class ScanSnapshotRow(Recorded, Base):
    """One run of the scanner at one instant."""

    __tablename__ = "scan_snapshots"
    __table_args__ = (Index(None, "session", "as_of"),)

    snapshot_id: Mapped[str] = mapped_column(unique=True)
    session: Mapped[date]
    as_of: Mapped[datetime]
    code_version: Mapped[str]
    config_hash: Mapped[str]
    input_hash: Mapped[str]
    scored: Mapped[int]
    selected: Mapped[int]
    created_at: Mapped[datetime]
    run_id: Mapped[str]
    changes: Mapped[Document]
    source: Mapped[str] = mapped_column(server_default="sabr20")


class SetupRow(Base):
    """One scored symbol of a snapshot, selected for the watchlist or not. It was executed when an intent names it."""

    __tablename__ = "setups"
    __table_args__ = (UniqueConstraint("snapshot_id", "symbol"), Index(None, "session", "symbol"))

    setup_id: Mapped[str] = mapped_column(primary_key=True)
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("scan_snapshots.snapshot_id"))
    symbol: Mapped[str]
    session: Mapped[date]
    as_of: Mapped[datetime]
    score: Mapped[float]
    grade: Mapped[str]
    state: Mapped[str]
    phase: Mapped[str]
    reward_risk: Mapped[float]
    entry: Mapped[float]
    stop: Mapped[float]
    target: Mapped[float | None]
    lowest_low: Mapped[float]
    lower_band: Mapped[float]
    atr: Mapped[float]
    atr_mean: Mapped[float]
    rank: Mapped[int]
    selected: Mapped[bool]
    components: Mapped[Document]
    details: Mapped[Document]


class RegimeSnapshotRow(Recorded, Base):
    """The market regime at one instant."""

    __tablename__ = "regime_snapshots"
    __table_args__ = (Index(None, "session", "as_of"),)

    regime_id: Mapped[str] = mapped_column(unique=True)
    session: Mapped[date]
    as_of: Mapped[datetime]
    regime_class: Mapped[str]
    score: Mapped[float]
    size_multiplier: Mapped[float]
    positions_allowed: Mapped[int]
    only_a_plus: Mapped[bool]
    missing: Mapped[tuple[str, ...]]
    parts: Mapped[Document]
    details: Mapped[Document]
    code_version: Mapped[str]
    config_hash: Mapped[str]
    input_hash: Mapped[str]
    created_at: Mapped[datetime]
    run_id: Mapped[str]
