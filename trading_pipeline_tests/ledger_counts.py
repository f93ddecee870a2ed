"""What a ledger holds, apart from who led when: every command that may trade takes a lease, and that is audited."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.ports import LedgerTransaction

PAGE = 1000
OF_LEADERSHIP = frozenset({"leases", "audit_log", "audit_checkpoints"})
"""The log numbers every row of the outbox, those about leases too."""


def rows_but_leadership(tx: LedgerTransaction) -> dict[str, int]:
    """Rows per table; of the audit entries those that are not about leases."""
    counts = {name: rows for name, rows in tx.row_counts().items() if name not in OF_LEADERSHIP}
    return {**counts, "audit_outbox": sum(not entry.kind.startswith("lease_") for entry in _entries(tx))}


def _entries(tx: LedgerTransaction) -> Iterator[AuditEntry]:
    last = 0
    for _ in count():
        page = tx.audit_entries(after=last, limit=PAGE)
        if not page:
            return
        yield from (entry for _, entry in page)
        last = page[-1][0]


def rows_of_home(home: Path) -> dict[str, int]:
    """The same of the ledger of a home folder."""
    ledger = SqlLedger(default_url(home))
    with ledger.read() as tx:
        found = rows_but_leadership(tx)
    ledger.close()
    return found
