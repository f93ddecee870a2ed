"""Whether what modes rest on was told: a row that no audit entry tells of was written by hand.

Only entries about modes and people are read, by their kinds, which takes milliseconds however long the log is. Whether
the log itself is sound is judged elsewhere (services/audit/verify.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trading_pipeline.domain.approvals import Approval, ModeRequest, Operator, Refusal
from trading_pipeline.domain.audit import MODE_CHANGED
from trading_pipeline.domain.errors import ModeRefused
from trading_pipeline.domain.modes import ModeChange
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.ports import LedgerTransaction

MODE_REQUESTED, MODE_APPROVED = "mode_requested", "mode_approved"
ADDED, ENABLED, DISABLED = "operator_added", "operator_enabled", "operator_disabled"
RECOVERED = "operator_recovered"
PASSWORDS = PASSWORD_SET, PASSWORD_RENEWED = "operator_password_set", "operator_password_renewed"
"""Kinds of the entries that tell of what was done."""
OF_PEOPLE = (ADDED, ENABLED, DISABLED, RECOVERED, *PASSWORDS)
OF_MODES = (MODE_CHANGED, MODE_REQUESTED, MODE_APPROVED)
MARK = "password_mark"
"""Name in them of what tells one stored password from another."""
SWITCHED = {ADDED: True, ENABLED: True, RECOVERED: True, DISABLED: False}
Data = Mapping[str, str]


@dataclass(slots=True)
class Person:
    """An operator by what entries say; mark: empty where none of them says it."""

    is_enabled: bool = True
    mark: str = ""


@dataclass(slots=True)
class Told:
    """What entries say of modes and operators, the last word on each."""

    changes: dict[str, dict[str, Data]] = field(default_factory=dict)
    requests: dict[str, tuple[str, str, Data]] = field(default_factory=dict)
    approvals: dict[str, str] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)

    @classmethod
    def read(cls, tx: LedgerTransaction, kinds: Sequence[str] = (*OF_MODES, *OF_PEOPLE)) -> Told:
        """What this ledger's entries of these kinds say; raises AuditFormatError for one that cannot be read."""
        told = cls()
        for one in tx.entries_of(kinds):
            told.hear(one.kind, one.account, one.subject, one.actor, one.data)
        return told

    def hear(self, kind: str, account: str, subject: str, actor: str, data: Data) -> None:
        """One entry; of other kinds nothing is kept."""
        if kind == MODE_CHANGED:
            self.changes.setdefault(account, {})[subject] = data
        elif kind == MODE_REQUESTED:
            self.requests[subject] = (account, actor, data)
        elif kind == MODE_APPROVED:
            self.approvals[data.get("approval_id", "")] = actor
        elif kind in OF_PEOPLE:
            known = self.people.setdefault(subject, Person())
            known.mark = data.get(MARK, known.mark)
            known.is_enabled = SWITCHED.get(kind, known.is_enabled)

    def of_change(self, change: ModeChange) -> Iterator[str]:
        """How a change of mode differs from what was told of it and its approvals."""
        what = f"change {change.change_id[:12]} of account {change.account} to {change.state.name}"
        told = self.changes.get(change.account, {}).get(change.change_id)
        if told is None:
            yield f"{what}: in the ledger, and no entry tells of it"
        elif any(told.get(name, "") != text for name, text in _said(change).items()):
            yield f"{what}: its entry says {told.get('kind')} to {told.get('after')}, or other approvals or settings"
        for one in change.approvals:
            if one not in self.approvals:
                yield f"{what}: no entry tells of its approval {one[:12]}"

    def of_request(self, request: ModeRequest, approvals: Sequence[Approval]) -> Iterator[str]:
        """The same of a request, and of approvals that were given."""
        account, actor, data = self.requests.get(request.request_id, ("", "", {}))
        said = (account, actor, *(data.get(name, "") for name in ("change", "target", *BOUND)))
        if said != (
            request.account, request.requested_by, request.kind.value, str(request.rung),
            *(getattr(request, name) for name in BOUND),
        ):  # fmt: skip
            yield f"request {request.request_id}: no entry tells of it, or its entry says otherwise"
        for one in approvals:
            if self.approvals.get(one.approval_id) != one.operator:
                yield f"the approval of {one.operator}: in the ledger, and no entry tells of it"

    def of_operator(self, operator: Operator) -> str:
        """The same of an operator, in words; empty when nothing differs."""
        known = self.people.get(operator.name)
        if known is None:
            return "in the ledger, and no entry tells of it"
        if operator.is_enabled != known.is_enabled:
            return f"{'enabled' if operator.is_enabled else 'disabled'}, and its last entry says otherwise"
        return "another password than its last entry says" if known.mark not in {"", mark_of(operator)} else ""

    def of_standing(self, tx: LedgerTransaction, account: str) -> Sequence[str]:
        """The same of what the account's mode rests on: all its changes since it was last in SIMULATION."""
        return [words for change in _resting(tx.mode_changes(account)) for words in self.of_change(change)]


BOUND = ("report_id", "config_hash", "limits_hash")


def _said(change: ModeChange) -> Data:
    """What its entry has to say."""
    return {
        "kind": change.kind.value, "after": change.state.name, "rung": str(change.after),
        "approvals": ",".join(change.approvals), "config_hash": change.config_hash, "limits_hash": change.limits_hash,
    }  # fmt: skip


def _resting(changes: Sequence[ModeChange]) -> Sequence[ModeChange]:
    """After the last one that left it in SIMULATION, which is what anybody may have."""
    lowest = [place for place, one in enumerate(changes, start=1) if one.mode is Mode.SIMULATION]
    return changes[lowest[-1] if lowest else 0 :]


def mark_of(operator: Operator) -> str:
    """Of the stored hash: tells that it was exchanged, and nothing of the password (its salt is not in it)."""
    return hashlib.sha256(operator.password_hash.encode()).hexdigest()[:16]


def require_told(tx: LedgerTransaction, operator: Operator) -> None:
    """Raises ModeRefused for an operator whose row says something else than the entries."""
    words = Told.read(tx, OF_PEOPLE).of_operator(operator)
    if words:
        raise ModeRefused(
            Refusal.WRITTEN_BY_HAND,
            f"operator {operator.name} was written by hand: {words}. Find out who could write there; then set the "
            f"password anew: operators passwd {operator.name} --by NAME, or operators recover {operator.name}",
        )


def require_standing(tx: LedgerTransaction, *accounts: str) -> None:
    """Raises ModeRefused for an account that stands on a change of mode that no entry tells of."""
    told = Told.read(tx, OF_MODES)
    for account in accounts:
        if words := told.of_standing(tx, account):
            raise ModeRefused(Refusal.WRITTEN_BY_HAND, f"{'; '.join(words)}. {way_out(account)}")


def way_out(account: str) -> str:
    """What to do about a mode that somebody wrote into the database."""
    return (
        f"The mode of {account} was written by hand: find out who could write there, then begin anew: "
        "trading-pipeline mode step-down SIMULATION"
    )
