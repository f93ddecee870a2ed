"""People who may ask for modes and approve them: kept by name and password, every act and every failure audited.

The first operator is added by whoever can use this home: the name of that machine's user goes on record. From then on,
whatever becomes of that row, only an operator adds, enables or disables others, and sets passwords; the way back for
who has forgotten one is in recovery.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NoReturn

from pydantic import SecretStr

from trading_pipeline.domain.approvals import Operator, Refusal, look_alike, operator_name
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import InputError, ModeRefused
from trading_pipeline.domain.modes import ModeRules
from trading_pipeline.domain.password_rules import weakness
from trading_pipeline.ports import Clock, Ledger, LedgerTransaction, PasswordHasher
from trading_pipeline.services.modes.vouching import (
    ADDED,
    DISABLED,
    ENABLED,
    MARK,
    OF_PEOPLE,
    PASSWORD_RENEWED,
    PASSWORD_SET,
    mark_of,
    require_told,
)

OPERATOR_REFUSED = "operator_refused"
"""Kind of the audit entry that tells of a failed attempt."""
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

    def add(self, name: str, password: SecretStr, by: Credentials | None = None) -> Operator:
        """A new operator, enabled. Raises InputError for a name that is taken or no name, ModeRefused otherwise."""
        act = f"add {operator_name(name)}"
        proven = self._proven(by, act)
        made = Operator(
            name=name, password_hash=self.kept(name, password, self._called(proven)), is_enabled=True,
            added_at=self.clock.now(), added_by=self._called(proven),
        )  # fmt: skip
        with self._acting(proven, act, name) as tx:
            _require_free(tx, name)
            tx.save_operator(made)
            self.tell(tx, ADDED, name, made.added_by, **{MARK: mark_of(made)})
        return made

    def set_enabled(self, name: str, *, enabled: bool, by: Credentials | None = None, reason: str = "") -> Operator:
        """Enable or disable; approvals that a disabled operator gave do not count any more. One stays enabled."""
        self.require_known(name)
        act = f"{'enable' if enabled else 'disable'} {name}"
        proven = self._proven(by, act)
        with self._acting(proven, act, name) as tx:
            if not enabled:
                _require_another(tx, name)
            after = replace(_there(tx, name), is_enabled=enabled, failures=0, last_failure_at=None)
            tx.save_operator(after)
            self.tell(tx, ENABLED if enabled else DISABLED, name, self._called(proven), reason=reason)
        return after

    def set_password(self, name: str, password: SecretStr, by: Credentials | None = None) -> Operator:
        """A new password; by the operator or by another one."""
        self.require_known(name)
        act = f"passwd {name}"
        proven = self._proven(by, act)
        kept = self.kept(name, password, self._called(proven))
        with self._acting(proven, act, name) as tx:
            after = replace(_there(tx, name), password_hash=kept, failures=0, last_failure_at=None)
            tx.save_operator(after)
            self.tell(tx, PASSWORD_SET, name, self._called(proven), **{MARK: mark_of(after)})
        return after

    def kept(self, name: str, password: SecretStr, actor: str) -> str:
        """What is kept of a new password; raises ModeRefused, audited, for a weak one."""
        wrong = weakness(password.get_secret_value(), name)
        if wrong:
            words = f"the password of {name} is too weak: {wrong}. Take a sentence of your own"
            self.refuse(actor, f"password of {name}", ModeRefused(Refusal.WEAK_PASSWORD, words), subject=name)
        return self.passwords.hash(password)

    def prove(self, who: Credentials, act: str) -> Operator:
        """The operator whose password it is. Raises ModeRefused for anybody else, audited, and after too many attempts.

        An attempt counts before the password is looked at, so that many at once are many.
        """
        operator, refusal = self._attempt(who.name)
        if refusal is None and operator is not None and self.passwords.fits(operator.password_hash, who.password):
            try:
                return self._succeeded(operator, who.password)
            except ModeRefused as refused:
                self.refuse(who.name, act, refused)
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
            if until is not None and operator.last_failure_at is not None and now < operator.last_failure_at:
                tx.save_operator(replace(operator, last_failure_at=now))  # the clock was set back: it waits from now on
                until = now + wait
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
            require_told(tx, now)
            proven = replace(now, password_hash=renewed, failures=0, last_failure_at=None)
            tx.save_operator(proven)
            if renewed != kept:
                self.tell(tx, PASSWORD_RENEWED, operator.name, operator.name, **{MARK: mark_of(proven)})
        return proven

    def _proven(self, by: Credentials | None, act: str) -> Operator | None:
        """The operator who acts; None for the machine's user, who may as long as there never was an operator."""
        if by is not None:
            return self.prove(by, act)
        with self._acting(None, act):
            return None

    @contextmanager
    def _acting(self, proven: Operator | None, act: str, subject: str = "") -> Iterator[LedgerTransaction]:
        """A transaction for who may act still, as it was proven; what is refused in it goes on record."""
        try:
            with self.ledger.transaction() as tx:
                if proven is not None:
                    require_unchanged(tx, proven)
                else:
                    _require_nobody(tx, act)
                yield tx
        except ModeRefused as refused:
            self.refuse(self._called(proven), act, refused, subject=subject)

    def _called(self, proven: Operator | None) -> str:
        return proven.name if proven is not None else f"local:{self.local_user}"

    def tell(self, tx: LedgerTransaction, kind: str, subject: str, actor: str, account: str = "", **data: str) -> None:
        """An entry in the audit log, with the machine's user beside the operator."""
        said = {name: text for name, text in {**data, "local_user": self.local_user}.items() if text}
        tx.add_audit(
            AuditEntry(
                occurred_at=self.clock.now(), kind=kind, account=account, subject=subject, actor=actor, data=said
            )
        )


def _require_free(tx: LedgerTransaction, name: str) -> None:
    """Raises InputError for a name that is taken, or that people would take for one that is."""
    if tx.operator(name) is not None:
        raise InputError(f"there is an operator {name} already: operators enable, or operators passwd")
    if like := look_alike(name, (one.name for one in tx.operators())):
        raise InputError(f"{name} is too much like the operator {like}: in the audit log one is taken for the other")


def _there(tx: LedgerTransaction, name: str) -> Operator:
    found = tx.operator(name)
    assert found is not None
    return found


def _require_nobody(tx: LedgerTransaction, act: str) -> None:
    """Raises ModeRefused when there is an operator, or ever was one: then an operator acts."""
    there = tx.operators()
    if any(one.is_enabled for one in there):
        raise ModeRefused(Refusal.UNKNOWN_OPERATOR, f"operators are there: one of them has to {act}: --by NAME")
    if there or tx.entries_of(OF_PEOPLE):
        words = f"nobody may {act}: operators were there, and none is enabled now. One of them: operators recover NAME"
        raise ModeRefused(Refusal.UNKNOWN_OPERATOR, words)


def _require_another(tx: LedgerTransaction, name: str) -> None:
    """Raises ModeRefused when nobody is enabled but this one."""
    if not any(one.is_enabled for one in tx.operators() if one.name != name):
        words = f"{name} is the last enabled operator: add or enable another first, who then disables {name}"
        raise ModeRefused(Refusal.LAST_OPERATOR, words)


def require_unchanged(tx: LedgerTransaction, proven: Operator) -> Operator:
    """The operator as on record now; raises ModeRefused when disabled, or with another password, since proven."""
    now = tx.operator(proven.name)
    if now is None or not now.is_enabled or now.password_hash != proven.password_hash:
        raise ModeRefused(Refusal.DISABLED_OPERATOR, f"{proven.name} was disabled, or has another password, just now")
    return now
