"""People who may ask for modes and approve them: kept by name and password, every act and every failure audited.

The first operator is added by whoever can use this home: the name of that machine's user goes on record. From then on
only an operator adds, enables or disables others, and sets passwords.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NoReturn

from pydantic import SecretStr

from trading_pipeline.domain.approvals import Operator, Refusal, operator_name
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import InputError, ModeRefused
from trading_pipeline.domain.modes import ModeRules
from trading_pipeline.domain.password_rules import weakness
from trading_pipeline.ports import Clock, Ledger, LedgerTransaction, PasswordHasher

OPERATOR_REFUSED = "operator_refused"
"""Kind of the audit entry that tells of a failed attempt."""
ADDED, ENABLED, DISABLED = "operator_added", "operator_enabled", "operator_disabled"
PASSWORDS = PASSWORD_SET, PASSWORD_RENEWED = "operator_password_set", "operator_password_renewed"
"""Kinds of the entries that tell of what was done."""
MARK = "password_mark"
"""Name in them of what tells one stored password from another."""
NOT_PROVEN = "the operator's name or password is wrong, or the operator is disabled"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who somebody says to be, and the password that proves it."""

    name: str
    password: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """The operators of a ledger. local_user: the machine's user who runs this. clock: the machine's."""

    ledger: Ledger
    passwords: PasswordHasher
    rules: ModeRules
    clock: Clock
    local_user: str

    def all(self) -> Sequence[Operator]:
        """By name."""
        with self.ledger.read() as tx:
            return tx.operators()

    def require_known(self, name: str) -> Operator:
        """Raises InputError for a name that is not there."""
        found = {one.name: one for one in self.all()}
        if name not in found:
            raise InputError(f"there is no operator {name!r}; there are: {', '.join(found) or 'none'}")
        return found[name]

    def needs_proof(self) -> bool:
        """True once somebody is enabled: from then on an operator has to say who is asking."""
        return any(one.is_enabled for one in self.all())

    def add(self, name: str, password: SecretStr, by: Credentials | None = None) -> Operator:
        """A new operator, enabled. Raises InputError for a name that is taken or no name, ModeRefused otherwise."""
        actor = self._actor(by, "add", operator_name(name))
        self._require_strong(name, password, actor)
        made = Operator(
            name=name, password_hash=self.passwords.hash(password), is_enabled=True, added_at=self.clock.now(),
            added_by=actor,
        )  # fmt: skip
        try:
            with self.ledger.transaction() as tx:
                _require_free(tx, name, is_first=by is None)
                tx.save_operator(made)
                self.tell(tx, ADDED, name, actor, **{MARK: mark_of(made)})
        except ModeRefused as refused:
            self.refuse(actor, f"add {name}", refused, subject=name)
        return made

    def set_enabled(self, name: str, *, enabled: bool, by: Credentials | None = None, reason: str = "") -> Operator:
        """Enable or disable; approvals that a disabled operator gave do not count any more."""
        self.require_known(name)
        actor = self._actor(by, "enable" if enabled else "disable", name)
        return self._change(
            name, ENABLED if enabled else DISABLED, actor,
            lambda one: replace(one, is_enabled=enabled, failures=0, last_failure_at=None), reason=reason,
        )  # fmt: skip

    def set_password(self, name: str, password: SecretStr, by: Credentials | None = None) -> Operator:
        """A new password; by the operator or by another one."""
        self.require_known(name)
        actor = self._actor(by, "passwd", name)
        self._require_strong(name, password, actor)
        kept = self.passwords.hash(password)
        return self._change(
            name, PASSWORD_SET, actor,
            lambda one: replace(one, password_hash=kept, failures=0, last_failure_at=None),
        )  # fmt: skip

    def prove(self, who: Credentials, act: str) -> Operator:
        """The operator whose password it is. Raises ModeRefused for anybody else, audited, and after too many attempts.

        An attempt counts before the password is looked at, so that many at once are many.
        """
        operator, refusal = self._attempt(who.name)
        if refusal is None and operator is not None and self.passwords.fits(operator.password_hash, who.password):
            return self._succeeded(operator, who.password)
        if operator is None:
            self.passwords.hash(who.password)  # takes as long as for a name that is there
        return self.refuse(who.name, act, ModeRefused(*(refusal or (Refusal.WRONG_PASSWORD, NOT_PROVEN))))

    def refuse(
        self, actor: str, act: str, refused: ModeRefused, *, kind: str = OPERATOR_REFUSED, account: str = "",
        subject: str = "",
    ) -> NoReturn:  # fmt: skip
        """Put a failed attempt on record, and raise it."""
        with self.ledger.transaction() as tx:
            data = {"act": act, "refusal": refused.refusal, "why": str(refused)}
            self.tell(tx, kind, subject or actor, actor, account=account, **data)
        raise refused

    def _attempt(self, name: str) -> tuple[Operator | None, tuple[Refusal, str] | None]:
        now, rules = self.clock.now(), self.rules
        wait = timedelta(minutes=rules.password_wait_minutes)
        with self.ledger.transaction() as tx:
            operator = tx.operator(name)
            if operator is None:
                return None, (Refusal.UNKNOWN_OPERATOR, NOT_PROVEN)
            until = operator.waits_until(rules.password_attempts, wait)
            if until is not None and now < until:
                words = f"too many wrong passwords of {name}: the next may be tried at {until:%H:%M:%S} UTC"
                return operator, (Refusal.TOO_MANY_ATTEMPTS, words)
            failures = operator.failures + 1 if until is None else 1
            tx.save_operator(replace(operator, failures=failures, last_failure_at=now))
        return operator, None if operator.is_enabled else (Refusal.DISABLED_OPERATOR, NOT_PROVEN)

    def _succeeded(self, operator: Operator, password: SecretStr) -> Operator:
        kept = operator.password_hash
        renewed = self.passwords.hash(password) if self.passwords.is_outdated(kept) else kept
        with self.ledger.transaction() as tx:
            now = require_unchanged(tx, operator)
            proven = replace(now, password_hash=renewed, failures=0, last_failure_at=None)
            tx.save_operator(proven)
            if renewed != kept:
                self.tell(tx, PASSWORD_RENEWED, operator.name, operator.name, **{MARK: mark_of(proven)})
        return proven

    def _actor(self, by: Credentials | None, act: str, name: str) -> str:
        """Who acts: an operator once there is one; before, the machine's user."""
        if by is not None:
            return self.prove(by, f"{act} {name}").name
        if self.needs_proof():
            words = f"operators are there already: one of them has to {act} {name}: --by NAME"
            self.refuse(f"local:{self.local_user}", f"{act} {name}", ModeRefused(Refusal.UNKNOWN_OPERATOR, words))
        return f"local:{self.local_user}"

    def _require_strong(self, name: str, password: SecretStr, actor: str) -> None:
        wrong = weakness(password.get_secret_value(), name)
        if wrong:
            words = f"the password of {name} is too weak: {wrong}. Take a sentence of your own"
            self.refuse(actor, f"password of {name}", ModeRefused(Refusal.WEAK_PASSWORD, words), subject=name)

    def _change(
        self, name: str, kind: str, actor: str, changed: Callable[[Operator], Operator], **data: str
    ) -> Operator:
        with self.ledger.transaction() as tx:
            before = tx.operator(name)
            assert before is not None
            after = changed(before)
            tx.save_operator(after)
            marked = {MARK: mark_of(after)} if kind in PASSWORDS else {}
            self.tell(tx, kind, name, actor, **data, **marked)
        return after

    def tell(self, tx: LedgerTransaction, kind: str, subject: str, actor: str, account: str = "", **data: str) -> None:
        """An entry in the audit log, with the machine's user beside the operator."""
        said = {name: text for name, text in {**data, "local_user": self.local_user}.items() if text}
        tx.add_audit(
            AuditEntry(
                occurred_at=self.clock.now(), kind=kind, account=account, subject=subject, actor=actor, data=said
            )
        )


def mark_of(operator: Operator) -> str:
    """Of the stored hash: tells that it was exchanged, and nothing of the password (its salt is not in it)."""
    return hashlib.sha256(operator.password_hash.encode()).hexdigest()[:16]


def _require_free(tx: LedgerTransaction, name: str, *, is_first: bool) -> None:
    """Raises InputError for a name that is taken, ModeRefused when somebody else was first meanwhile."""
    if is_first and any(one.is_enabled for one in tx.operators()):
        raise ModeRefused(Refusal.UNKNOWN_OPERATOR, "an operator was added meanwhile: --by NAME")
    if tx.operator(name) is not None:
        raise InputError(f"there is an operator {name} already: operators enable, or operators passwd")


def require_unchanged(tx: LedgerTransaction, proven: Operator) -> Operator:
    """The operator as on record now; raises ModeRefused when disabled, or with another password, since proven."""
    now = tx.operator(proven.name)
    if now is None or not now.is_enabled or now.password_hash != proven.password_hash:
        raise ModeRefused(Refusal.DISABLED_OPERATOR, f"{proven.name} was disabled, or has another password, just now")
    return now
