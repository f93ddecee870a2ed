"""The ledger's section of the audit log: entries with their number, checkpoints, and what still waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, func, select, text

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters import tables
from trading_pipeline.adapters.ledger_records import Kind
from trading_pipeline.adapters.ledger_rows import Rows
from trading_pipeline.adapters.tables import Base
from trading_pipeline.domain.audit import LoggedEntry, SignedCheckpoint
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.ports.audit import Running, Waiting

LOGGED = Kind(LoggedEntry, tables.AuditLogRow, (("seq",), ("outbox_no",)))
OUTBOX, LOG = kinds.AUDIT.table, LOGGED.table
LOGS, CHECKPOINTS = (Base.metadata.tables[name] for name in ("audit_logs", "audit_checkpoints"))

# Made once: building a statement costs more than sending it.
NEWEST = LOGGED.select().order_by(LOG.c.seq.desc()).limit(1)
LOGGED_AFTER = LOGGED.select().where(LOG.c.seq > bindparam("after")).order_by(LOG.c.seq).limit(bindparam("at_most"))
NUMBERED = kinds.AUDIT.select().add_columns(OUTBOX.c.record_no).order_by(OUTBOX.c.record_no)
TAKEN = select(LOG.c.outbox_no).where(LOG.c.outbox_no == OUTBOX.c.record_no).exists()
UNLOGGED = NUMBERED.where(OUTBOX.c.record_no > bindparam("after"), ~TAKEN).limit(bindparam("at_most"))
ONE_OF_OUTBOX = NUMBERED.where(OUTBOX.c.record_no == bindparam("record_no"))
HIGHEST = select(func.coalesce(func.max(LOG.c.outbox_no), 0)).scalar_subquery()
WAITING = select(func.count(), func.min(OUTBOX.c.record_no)).where(OUTBOX.c.record_no > HIGHEST)
SIGNED = select(CHECKPOINTS.c.text, CHECKPOINTS.c.signature, CHECKPOINTS.c.public_key)
FRONTIER = select(CHECKPOINTS.c.frontier).where(CHECKPOINTS.c.number == bindparam("number"))
SIGNED_AFTER = (
    SIGNED.where(CHECKPOINTS.c.number > bindparam("after")).order_by(CHECKPOINTS.c.number).limit(bindparam("at_most"))
)
RUNNING = text("SELECT pg_snapshot_xmin(seen)::text, pg_snapshot_xmax(seen)::text FROM pg_current_snapshot() AS seen")


class AuditLogRows(Rows):
    """ports.AuditTransaction's part that the ledger alone does not have."""

    def log_id(self) -> str | None:
        return self._connection.execute(select(LOGS.c.log_id)).scalar()

    def name_log(self, log_id: str, at: datetime) -> None:
        self._require_writable()
        self._connection.execute(LOGS.insert(), {"number": 1, "log_id": log_id, "created_at": at})

    def newest_logged(self) -> LoggedEntry | None:
        found = LOGGED.found(self._wire, NEWEST, {})
        return found[0] if found else None

    def logged(self, *, after: int = 0, limit: int = 1000) -> Sequence[LoggedEntry]:
        return LOGGED.found(self._wire, LOGGED_AFTER, {"after": after, "at_most": limit})

    def unlogged(self, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, AuditEntry]]:
        return self._numbered(UNLOGGED, {"after": after, "at_most": limit})

    def running(self) -> Running:
        if self._wire.dialect.name == "sqlite":  # one writer at a time, and this transaction sees all before it
            return Running(oldest=0, next=0)
        oldest, following = self._connection.execute(RUNNING).one()
        return Running(oldest=int(oldest), next=int(following))

    def waiting(self) -> Waiting:
        self.flush()
        entries, oldest = self._connection.execute(WAITING).one()
        if not entries:
            return Waiting(entries=0)
        ((_, first),) = self._numbered(ONE_OF_OUTBOX, {"record_no": oldest})
        return Waiting(entries=entries, oldest_no=oldest, occurred_at=first.occurred_at)

    def append_logged(self, entries: Sequence[LoggedEntry]) -> None:
        self._require_writable()
        insertion, row = LOGGED.always(self._wire.dialect)
        self._wire.append(insertion, [row(entry) for entry in entries])

    def newest_checkpoint(self) -> SignedCheckpoint | None:
        found = self._connection.execute(SIGNED.order_by(CHECKPOINTS.c.number.desc()).limit(1)).first()
        return _signed(found) if found else None

    def highest_checkpoint(self) -> int:
        return int(self._connection.execute(select(func.coalesce(func.max(CHECKPOINTS.c.number), 0))).scalar_one())

    def checkpoints(self, *, after: int = 0, limit: int = 1000) -> Sequence[SignedCheckpoint]:
        return [_signed(tuple(row)) for row in self._wire.rows(SIGNED_AFTER, {"after": after, "at_most": limit})]

    def frontier(self, number: int) -> str | None:
        found = [frontier for (frontier,) in self._wire.rows(FRONTIER, {"number": number})]
        return found[0] if found else None

    def add_checkpoint(self, signed: SignedCheckpoint, frontier: str) -> None:
        self._require_writable()
        said = signed.checkpoint
        self._connection.execute(CHECKPOINTS.insert(), {
            "number": said.number, "seq": said.seq, "text": signed.text, "signature": signed.signature,
            "public_key": signed.public_key, "frontier": frontier, "why": said.why, "at": said.at,
        })  # fmt: skip

    def _numbered(self, query: Select[Any], values: Mapping[str, int]) -> list[tuple[int, AuditEntry]]:
        self.flush()
        names, found = kinds.AUDIT.names, (tuple(row) for row in self._wire.rows(query, dict(values)))
        return [(number, AuditEntry(**dict(zip(names, said, strict=True)))) for *said, number in found]


def _signed(row: Sequence[Any]) -> SignedCheckpoint:
    return SignedCheckpoint(text=row[0], signature=row[1], public_key=row[2])
