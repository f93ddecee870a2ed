"""The audit log beside the outbox rows that its entries were made from, for whoever compares the two."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.audit_rows import LOG, LOGGED, OUTBOX, told
from trading_pipeline.adapters.ledger_rows import Rows
from trading_pipeline.domain.audit import LoggedEntry
from trading_pipeline.domain.control import AuditEntry

COMPARED = (
    select(
        *(LOG.c[name] for name in LOGGED.names),
        OUTBOX.c.record_no,
        *(OUTBOX.c[name] for name in kinds.AUDIT.names),
    )
    .select_from(LOG.outerjoin(OUTBOX, OUTBOX.c.record_no == LOG.c.outbox_no))
    .where(LOG.c.seq > bindparam("after"))
    .order_by(LOG.c.seq)
    .limit(bindparam("at_most"))
)
OF_LOG = len(LOGGED.names)


class ComparedRows(Rows):
    """ports.AuditTransaction's part for those who verify."""

    def compared(self, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[LoggedEntry, AuditEntry | None]]:
        return [
            (
                LoggedEntry(**dict(zip(LOGGED.names, row[:OF_LOG], strict=True))),
                None if row[OF_LOG] is None else told(row[OF_LOG + 1 :]),
            )
            for row in self._wire.rows(COMPARED, {"after": after, "at_most": limit})
        ]
