"""What became of an alert: deliveries by channel, who waits for an acknowledgement, how the channels do."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from trading_pipeline.adapters.tables.base import Base, Recorded
from trading_pipeline.domain.alerting import CircuitState, DeliveryState
from trading_pipeline.domain.control import AlertLevel


class AlertDeliveryRow(Base):
    """One alert on its way through one channel."""

    __tablename__ = "alert_deliveries"
    __table_args__ = (
        Index(None, "state", "channel", "due_at"),
        Index(None, "channel", "same", "handed_at"),
        Index(None, "channel", "rule", "handed_at"),
        Index(None, "alert_no"),
        Index(None, "message_id"),
    )

    alert_id: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    alert_no: Mapped[int] = mapped_column(BigInteger())
    account: Mapped[str]
    occurred_at: Mapped[datetime]
    level: Mapped[AlertLevel]
    kind: Mapped[str]
    rule: Mapped[str]
    same: Mapped[str]
    state: Mapped[DeliveryState]
    reason: Mapped[str]
    bundle: Mapped[str]
    due_at: Mapped[datetime]
    created_at: Mapped[datetime]
    attempts: Mapped[int]
    maybe_sent: Mapped[bool]
    message_id: Mapped[str]
    handed_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    escalated_from: Mapped[str]


class AlertWatchRow(Base):
    """A CRITICAL alert until it is acknowledged or expires."""

    __tablename__ = "alert_watches"
    __table_args__ = (Index(None, "ended_at", "next_at"),)

    alert_id: Mapped[str] = mapped_column(primary_key=True)
    alert_no: Mapped[int] = mapped_column(BigInteger())
    account: Mapped[str]
    kind: Mapped[str]
    since: Mapped[datetime]
    next_at: Mapped[datetime]
    told: Mapped[int]
    ended_at: Mapped[datetime | None]
    ended_why: Mapped[str]


class AcknowledgementRow(Recorded, Base):
    """A person has taken notice of an alert."""

    __tablename__ = "alert_acknowledgements"

    alert_id: Mapped[str] = mapped_column(unique=True)
    operator: Mapped[str]
    reason: Mapped[str]
    acknowledged_at: Mapped[datetime]


class AlertChannelRow(Base):
    """How a channel has done so far: its circuit, and when it may be used again."""

    __tablename__ = "alert_channels"

    name: Mapped[str] = mapped_column(primary_key=True)
    circuit: Mapped[CircuitState]
    failures: Mapped[int]
    opened_at: Mapped[datetime | None]
    probe_at: Mapped[datetime | None]
    free_at: Mapped[datetime | None]
    last_error: Mapped[str]
    last_delivered_at: Mapped[datetime | None]
    delivered: Mapped[int]
    failed: Mapped[int]
