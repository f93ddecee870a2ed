"""Whether who may approve, and what was approved, still is what the audit log says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from trading_pipeline.domain.audit import LoggedEntry
from trading_pipeline.ports.audit import AuditTransaction
from trading_pipeline.services.audit.differences import Difference
from trading_pipeline.services.modes.transitions import forged
from trading_pipeline.services.modes.vouching import OF_MODES, OF_PEOPLE, Told, mark_of

KINDS = frozenset({*OF_MODES, *OF_PEOPLE})
MOST_WAITING = 100_000


@dataclass(slots=True)
class PeopleWatch:
    """Remembers what entries say of modes and operators, to be compared once all of them were read."""

    _told: Told = field(default_factory=Told)

    def __call__(self, logged: LoggedEntry) -> None:
        """One entry that holds."""
        if logged.kind in KINDS:
            body = json.loads(logged.body)
            self._told.hear(logged.kind, logged.account, logged.subject, body["actor"], body["data"])

    def differences(self, tx: AuditTransaction, account: str) -> Sequence[Difference]:
        """What differs, is missing or is there without an entry, of `account` and of all with entries."""
        self._take_waiting(tx)
        return [
            *(found for one in sorted({*self._told.changes, account}) for found in self._of_account(tx, one)),
            *self._of_operators(tx),
        ]

    def standing(self, tx: AuditTransaction, account: str) -> Sequence[str]:
        """The same of what the account's present mode rests on."""
        self._take_waiting(tx)
        by_hand = forged(tx, account)
        return [*([by_hand] if by_hand else []), *self._told.of_standing(tx, account)]

    def _take_waiting(self, tx: AuditTransaction) -> None:
        for _, entry in tx.unlogged(limit=MOST_WAITING):
            self._told.hear(entry.kind, entry.account, entry.subject, entry.actor, entry.data)

    def _of_account(self, tx: AuditTransaction, account: str) -> Iterator[Difference]:
        if words := forged(tx, account):
            yield Difference(subject=f"mode of {account}", words=words, state=repr(tx.mode_state(account)))
        changes, told = tx.mode_changes(account), self._told.changes.get(account, {})
        for one in changes:
            state = f"{one!r} {sorted(told.get(one.change_id, {}).items())}"
            for words in self._told.of_change(one):
                yield Difference(subject=f"mode of {account}", words=words, state=state)
        for change_id in sorted({*told} - {one.change_id for one in changes}):
            words = f"change {change_id[:12]} of the mode of {account}: an entry tells of it, the ledger has none"
            state = f"{change_id} {sorted(told[change_id].items())}"
            yield Difference(subject=f"mode of {account}", words=words, state=state)

    def _of_operators(self, tx: AuditTransaction) -> Iterator[Difference]:
        there = {one.name: one for one in tx.operators()}
        for name, operator in there.items():
            if words := self._told.of_operator(operator):
                state = f"{operator.is_enabled} {mark_of(operator)} {self._told.people.get(name)}"
                yield Difference(subject=f"operator {name}", words=words, state=state)
        for name in sorted({*self._told.people} - {*there}):
            words = "entries tell of it, the ledger has none"
            yield Difference(subject=f"operator {name}", words=words, state=repr(self._told.people[name]))
