"""The ledger's section of the audit log: entries with their number, checkpoints, and what still waits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from trading_pipeline.domain.errors import AuditFormatError
from trading_pipeline.ports.audit import Running, Waiting

LOGGED = Kind(LoggedEntry, tables.AuditLogRow, (("seq",), ("outbox_no",)))
OUTBOX, LOG = kinds.AUDIT.table, LOGGED.table
LOGS, CHECKPOINTS = (Base.metadata.tables[name] for name in ("audit_logs", "audit_checkpoints"))

# Made once: building a statement costs more than sending it.
NEWEST = LOGGED.select().order_by(LOG.c.seq.desc()).limit(1)
LOGGED_AFTER = LOGGED.select().where(LOG.c.seq > bindparam("after")).order_by(LOG.c.seq).limit(bindparam("at_most"))
NUMBERED = kinds.AUDIT.select().add_columns(OUTBOX.c.record_no).order_by(OUTBOX.c.record_no)
TAKEN = select(LOG.c.outbox_no).where(LOG.c.outbox_no == OUTBOX.c.record_no, LOG.c.seq > 0).exists()
UNLOGGED = NUMBERED.where(OUTBOX.c.record_no > bindparam("after"), ~TAKEN).limit(bindparam("at_most"))
ONE_OF_OUTBOX = NUMBERED.where(OUTBOX.c.record_no == bindparam("record_no"))
HIGHEST = select(LOG.c.outbox_no).where(LOG.c.seq > 0).order_by(LOG.c.outbox_no.desc()).limit(1).scalar_subquery()
"""Rows that no sequencer wrote (it begins with 1) take nothing out of the outbox: verify finds them."""
WAITING = select(func.count(), func.min(OUTBOX.c.record_no)).where(OUTBOX.c.record_no > func.coalesce(HIGHEST, 0))
SIGNED = select(CHECKPOINTS.c.text, CHECKPOINTS.c.signature, CHECKPOINTS.c.public_key)
FRONTIER = select(CHECKPOINTS.c.frontier).where(CHECKPOINTS.c.number == bindparam("number"))
SIGNED_AFTER = (
    SIGNED.where(CHECKPOINTS.c.number > bindparam("after")).order_by(CHECKPOINTS.c.number).limit(bindparam("at_most"))
)
RUNNING = text("SELECT pg_snapshot_xmin(seen)::text, pg_snapshot_xmax(seen)::text FROM pg_current_snapshot() AS seen")


class AuditLogRows(Rows):
    """ports.AuditTransaction's part that the ledger alone does not have."""

    def log_id(self) -> str | None:
        found = self._connection.execute(select(LOGS.c.log_id)).scalar()
        return None if found is None else str(found)

    def name_log(self, log_id: str, at: datetime) -> None:
        self._require_writable()
        self._connection.execute(LOGS.insert(), {"number": 1, "log_id": log_id, "created_at": at})

    def newest_logged(self) -> LoggedEntry | None:
        with readable("the last entry of the audit log"):
            found = _texts(LOGGED.found(self._wire, NEWEST, {}))
        return found[0] if found else None

    def logged(self, *, after: int = 0, limit: int = 1000) -> Sequence[LoggedEntry]:
        with readable(f"an entry of the audit log after {after}"):
            return _texts(LOGGED.found(self._wire, LOGGED_AFTER, {"after": after, "at_most": limit}))

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
        try:
            ((_, first),) = self._numbered(ONE_OF_OUTBOX, {"record_no": oldest})
        except AuditFormatError:
            return Waiting(entries=entries, oldest_no=oldest)
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
        return str(found[0]) if found else None

    def add_checkpoint(self, signed: SignedCheckpoint, frontier: str) -> None:
        self._require_writable()
        said = signed.checkpoint
        self._connection.execute(CHECKPOINTS.insert(), {
            "number": said.number, "seq": said.seq, "text": signed.text, "signature": signed.signature,
            "public_key": signed.public_key, "frontier": frontier, "why": said.why, "at": said.at,
        })  # fmt: skip

    def _numbered(self, query: Select[Any], values: Mapping[str, int]) -> list[tuple[int, AuditEntry]]:
        self.flush()
        with readable("an audit_outbox row"):
            return [(number, told(said)) for *said, number in map(tuple, self._wire.rows(query, dict(values)))]


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Raises AuditFormatError where the database gives what this program would never have written."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise AuditFormatError(
            f"{what} cannot be read: {type(error).__name__}: {error}. Somebody wrote it by hand"
        ) from error


def told(said: Sequence[Any]) -> AuditEntry:
    """An outbox row; data that are no names and texts are kept as one text, so that the row can be logged."""
    fields = dict(zip(kinds.AUDIT.names, said, strict=True))
    if not isinstance(fields["data"], dict):
        fields["data"] = {"unreadable": json.dumps(fields["data"])}
    return AuditEntry(**fields)


def _texts(found: Sequence[LoggedEntry]) -> Sequence[LoggedEntry]:
    """The same entries; raises TypeError for one whose text or hash is none."""
    for one in found:
        if not type(one.body) is type(one.head) is type(one.kind) is str:
            raise TypeError(f"entry {one.seq} has bytes where a text belongs")
    return found


def _signed(row: Sequence[Any]) -> SignedCheckpoint:
    return SignedCheckpoint(text=str(row[0]), signature=str(row[1]), public_key=str(row[2]))
