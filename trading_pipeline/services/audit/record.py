"""The record beside the audit log: fills, modes, approvals and operators, compared once every entry was read."""

from __future__ import annotations

from dataclasses import dataclass, field

from trading_pipeline.domain.audit import RECORD_ACCEPTED, LoggedEntry
from trading_pipeline.domain.errors import AuditFormatError
from trading_pipeline.ports.audit import AuditTransaction
from trading_pipeline.services.audit.differences import Acceptances, Difference, Judged
from trading_pipeline.services.audit.fills import FillWatch
from trading_pipeline.services.audit.people import MOST_WAITING, PeopleWatch


@dataclass(slots=True)
class RecordWatch:
    """Hears entries. fills: whether fills are compared too, which takes memory for each of them."""

    fills: FillWatch | None = None
    people: PeopleWatch = field(default_factory=PeopleWatch)
    acceptances: Acceptances = field(default_factory=Acceptances)

    def __call__(self, logged: LoggedEntry) -> None:
        """One entry: that holds, or that a person accepted as it is."""
        self.people(logged)
        self.acceptances(logged)
        if self.fills is not None:
            self.fills(logged)

    def judged(self, tx: AuditTransaction, account: str) -> Judged:
        """What differs, of `account` and of all with entries."""
        try:
            waiting = tx.unlogged(limit=MOST_WAITING)
        except AuditFormatError as error:
            return Judged(new=(Difference(subject="outbox", words=f"{error}; nothing else was compared"),))
        for _, entry in waiting:
            if entry.kind == RECORD_ACCEPTED:
                self.acceptances.hear(entry.data, f"accepted by {entry.actor}, in an entry that waits for its number")
        fills = self.fills.differences(tx, account) if self.fills is not None else ()
        return self.acceptances.judged([*fills, *self.people.differences(tx, account)])
