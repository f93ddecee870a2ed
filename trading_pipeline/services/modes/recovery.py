"""The way back for an operator who has forgotten the password while nobody else can set it.

Whoever owns the home and its audit key may set it, which proves nothing about people: so every account falls to
SIMULATION and is halted, what was asked for and approved is void with it, and everybody is told. What was real money
takes evidence and approvals from the first rung on again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from trading_pipeline.domain.alert_kinds import alert
from trading_pipeline.domain.approvals import Operator, operator_name
from trading_pipeline.domain.control import Alert, TradingState, TradingStateRecord
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.modes import ChangeKind, Rung
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.modes.operators import Operators
from trading_pipeline.services.modes.stopping import put_state, stop_mode
from trading_pipeline.services.modes.transitions import change_mode, present_mode
from trading_pipeline.services.modes.vouching import MARK, OF_PEOPLE, RECOVERED, Told, mark_of

RECOVER = "recover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who does it: the machine's user, who owns the home. key_id: of the audit key that is this user's to sign with.

    account: the home's own; it is stopped whether or not its mode was ever changed.
    """

    account: str
    key_id: str


def recover(
    people: Operators, owner: Owner, name: str, password: SecretStr, reason: str
) -> tuple[Operator, Sequence[str]]:
    """Set the password of an operator who is, or once was, on record; returns the accounts that were stopped.

    Raises InputError for anybody else and without a reason, ModeRefused for a weak password; then nothing was changed.
    """
    if not reason.strip():
        raise InputError("say why, for the record: --reason TEXT")
    actor = f"local:{people.local_user}"
    kept = people.kept(operator_name(name), password, actor)
    with people.ledger.transaction() as tx:
        operator = _enabled(tx, name, kept, actor, people.clock.now())
        tx.save_operator(operator)
        accounts = sorted({*tx.mode_accounts(), owner.account})
        for account in accounts:
            _stop(tx, account, f"operator {name} was recovered: {reason.strip()}", actor, people.clock.now())
        people.tell(
            tx, RECOVERED, name, actor, account=owner.account, reason=reason.strip(), key_id=owner.key_id,
            accounts=",".join(accounts), **{MARK: mark_of(operator)},
        )  # fmt: skip
        tx.raise_alert(_alert(owner, operator, accounts, f"{actor}: {reason.strip()}", people.clock.now()))
    return operator, accounts


def _enabled(tx: LedgerTransaction, name: str, kept: str, actor: str, now: datetime) -> Operator:
    """The operator with the new password; put there again where the row is gone."""
    known = {*Told.read(tx, OF_PEOPLE).people, *(one.name for one in tx.operators())}
    if name not in known:
        raise InputError(f"there never was an operator {name!r}; there were: {', '.join(sorted(known)) or 'none'}")
    row = tx.operator(name)
    added_at, added_by = (row.added_at, row.added_by) if row else (now, actor)
    return Operator(name=name, password_hash=kept, is_enabled=True, added_at=added_at, added_by=added_by)


def _alert(owner: Owner, operator: Operator, accounts: Sequence[str], why: str, at: datetime) -> Alert:
    halted = ", ".join(accounts)
    return alert(
        RECOVERED, operator.name, mark_of(operator), account=owner.account, session=at.date(), at=at,
        message=f"operator {operator.name} was recovered ({why}). Halted, in SIMULATION: {halted}. If that was none of "
        "you, somebody else has this home",
        data={"operator": operator.name, "accounts": ",".join(accounts)},
    )  # fmt: skip


def _stop(tx: LedgerTransaction, account: str, why: str, actor: str, at: datetime) -> None:
    """Down to SIMULATION and halted; that voids what was asked for, for the mode has moved."""
    if present_mode(tx, account).mode is not Mode.SIMULATION:
        change_mode(tx, account, ChangeKind.LOWER, Rung(Mode.SIMULATION), at=at, reason=why, actor=actor)
    halted = TradingStateRecord(account=account, state=TradingState.HALTED, reason=why, set_by=actor, changed_at=at)
    stands = tx.trading_state(account)
    if stands is None or stands.state is not TradingState.HALTED:
        put_state(tx, halted)
    else:  # whatever halted it stays the reason, and what it wants closed
        stop_mode(tx, account, at=at, reason=why, actor=actor)
