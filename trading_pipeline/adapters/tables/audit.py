"""The audit log: numbered, chained entries of the outbox, and the signed checkpoints over them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from trading_pipeline.adapters.tables.base import Base
from trading_pipeline.domain.audit import Why

Count = BigInteger().with_variant(Integer(), "sqlite")


class AuditLogRow(Base):
    """One entry of the log. The body is the truth; the last four columns are copied out of it, to be looked up."""

    __tablename__ = "audit_log"
    __table_args__ = (
        CheckConstraint("seq > 0", name="seq_above_zero"),
        Index(None, "kind", "seq"),
        Index(None, "occurred_at"),
    )

    seq: Mapped[int] = mapped_column(Count, primary_key=True, autoincrement=False)
    outbox_no: Mapped[int] = mapped_column(Count, unique=True)
    body: Mapped[str]
    leaf: Mapped[str]
    head: Mapped[str]
    kind: Mapped[str]
    account: Mapped[str]
    subject: Mapped[str]
    occurred_at: Mapped[datetime]


class AuditLogsRow(Base):
    """The log's name, made with its first entry: at most one row."""

    __tablename__ = "audit_logs"
    __table_args__ = (CheckConstraint("number = 1", name="only_one"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    log_id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]


class AuditCheckpointRow(Base):
    """One signed checkpoint. The text is the truth; frontier: the Merkle subtrees that its root is made of."""

    __tablename__ = "audit_checkpoints"
    __table_args__ = (CheckConstraint("number > 0", name="number_above_zero"), Index(None, "seq"))

    number: Mapped[int] = mapped_column(Count, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(Count)
    text: Mapped[str]
    signature: Mapped[str]
    public_key: Mapped[str]
    frontier: Mapped[str]
    why: Mapped[Why]
    at: Mapped[datetime]
