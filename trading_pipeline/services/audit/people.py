"""Whether who may approve, and what was approved, still is what the audit log says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trading_pipeline.domain.approvals import Operator
from trading_pipeline.domain.audit import LoggedEntry
from trading_pipeline.domain.modes import ModeChange
from trading_pipeline.ports.audit import AuditTransaction
from trading_pipeline.services.modes.approvals import MODE_APPROVED
from trading_pipeline.services.modes.operators import ADDED, DISABLED, ENABLED, MARK, PASSWORDS, mark_of
from trading_pipeline.services.modes.standing import last_approved
from trading_pipeline.services.modes.transitions import MODE_CHANGED, forged

KINDS = frozenset({MODE_CHANGED, MODE_APPROVED, ADDED, DISABLED, ENABLED, *PASSWORDS})
MOST_WAITING = 100_000
Data = Mapping[str, str]


@dataclass(slots=True)
class _Known:
    """An operator by what entries say."""

    is_enabled: bool = True
    mark: str = ""


@dataclass(slots=True)
class PeopleWatch:
    """Remembers what entries say of modes and operators, to be compared once all of them were read."""

    _changes: dict[str, dict[str, Data]] = field(default_factory=dict)
    _approvals: dict[str, str] = field(default_factory=dict)
    _operators: dict[str, _Known] = field(default_factory=dict)

    def __call__(self, logged: LoggedEntry) -> None:
        """One entry that holds."""
        if logged.kind in KINDS:
            body = json.loads(logged.body)
            self._take(logged.kind, logged.account, logged.subject, body["actor"], body["data"])

    def differences(self, tx: AuditTransaction, account: str) -> Sequence[str]:
        """What differs, is missing or is there without an entry, of `account` and of all with entries, in words."""
        self._take_waiting(tx)
        return [
            *(words for one in sorted({*self._changes, account}) for words in self._of_account(tx, one)),
            *self._of_operators(tx),
        ]

    def standing(self, tx: AuditTransaction, account: str) -> Sequence[str]:
        """The same of what the account's present mode rests on: the last approved change, and those since."""
        self._take_waiting(tx)
        changes, last = tx.mode_changes(account), last_approved(tx, account)
        resting = changes[changes.index(last) if last else 0 :]
        by_hand = forged(tx, account)
        return [*([by_hand] if by_hand else []), *(words for one in resting for words in self._of_change(one))]

    def _take_waiting(self, tx: AuditTransaction) -> None:
        for _, entry in tx.unlogged(limit=MOST_WAITING):
            if entry.kind in KINDS:
                self._take(entry.kind, entry.account, entry.subject, entry.actor, entry.data)

    def _take(self, kind: str, account: str, subject: str, actor: str, data: Data) -> None:
        if kind == MODE_CHANGED:
            self._changes.setdefault(account, {})[subject] = data
        elif kind == MODE_APPROVED:
            self._approvals[data["approval_id"]] = actor
        else:
            known = self._operators.setdefault(subject, _Known())
            known.mark = data.get(MARK, known.mark)
            known.is_enabled = {DISABLED: False, ENABLED: True}.get(kind, known.is_enabled)

    def _of_account(self, tx: AuditTransaction, account: str) -> Iterator[str]:
        if words := forged(tx, account):
            yield words
        changes = tx.mode_changes(account)
        for one in changes:
            yield from self._of_change(one)
        for change_id in sorted({*self._changes.get(account, {})} - {one.change_id for one in changes}):
            yield f"change {change_id[:12]} of the mode of {account}: an entry tells of it, the ledger has none"

    def _of_change(self, change: ModeChange) -> Iterator[str]:
        what = f"change {change.change_id[:12]} of account {change.account} to {change.state.name}"
        told = self._changes.get(change.account, {}).get(change.change_id)
        if told is None:
            yield f"{what}: in the ledger, and no entry tells of it"
        elif any(told.get(name, "") != text for name, text in _said(change).items()):
            yield f"{what}: its entry says {told.get('kind')} to {told.get('after')}, or other approvals or settings"
        for one in change.approvals:
            if one not in self._approvals:
                yield f"{what}: no entry tells of its approval {one[:12]}"

    def _of_operators(self, tx: AuditTransaction) -> Iterator[str]:
        there = {one.name: one for one in tx.operators()}
        for name, operator in there.items():
            known = self._operators.get(name)
            words = _differs(operator, known) if known else "in the ledger, and no entry tells of it"
            if words:
                yield f"operator {name}: {words}"
        for name in sorted({*self._operators} - {*there}):
            yield f"operator {name}: entries tell of it, the ledger has none"


def _said(change: ModeChange) -> Data:
    """What its entry has to say."""
    return {
        "kind": change.kind.value, "after": change.state.name, "rung": str(change.after),
        "approvals": ",".join(change.approvals), "config_hash": change.config_hash, "limits_hash": change.limits_hash,
    }  # fmt: skip


def _differs(operator: Operator, known: _Known) -> str:
    if operator.is_enabled != known.is_enabled:
        return f"{'enabled' if operator.is_enabled else 'disabled'}, and its last entry says otherwise"
    return "another password than its last entry says" if known.mark not in {"", mark_of(operator)} else ""
