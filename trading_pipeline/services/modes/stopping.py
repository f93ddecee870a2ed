"""The emergency stop of an account's mode: set by whatever halts trading, ended by people alone.

The halt itself is the trading state's: a stop and a halt are put on record in one transaction, and so is their end.
"""

from __future__ import annotations

from datetime import datetime

from trading_pipeline.domain.control import TradingState, TradingStateRecord
from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.modes import EMERGENCY_STOP, ChangeKind, ModeState
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.modes.transitions import change_mode, present_mode

GO_ON = "trading-pipeline mode request RESUME"


def put_state(tx: LedgerTransaction, record: TradingStateRecord) -> None:
    """Set a trading state; one that halts also stops the account's mode, which remembers its rung."""
    tx.set_trading_state(record)
    if record.state is TradingState.HALTED:
        stop_mode(tx, record.account, at=record.changed_at, reason=record.reason, actor=record.set_by)


def stop_mode(tx: LedgerTransaction, account: str, *, at: datetime, reason: str, actor: str) -> ModeState:
    """Put the account into the emergency stop; doing it again changes nothing."""
    return change_mode(tx, account, ChangeKind.STOP, at=at, reason=reason or "halted", actor=actor or "unknown")


def needs_approval(tx: LedgerTransaction, account: str) -> bool:
    """True when going on takes more than a person's word: everywhere but in SIMULATION, until people have approved."""
    state = present_mode(tx, account)
    return state.mode is not Mode.SIMULATION and not _went_on(tx, account)


def _went_on(tx: LedgerTransaction, account: str) -> bool:
    changes = tx.mode_changes(account)
    return bool(changes) and changes[-1].kind is ChangeKind.RESUME and bool(changes[-1].approvals)


def require_approved(tx: LedgerTransaction, account: str) -> None:
    """Raises TradingError unless people have approved that a halted account goes on, or need not."""
    if needs_approval(tx, account):
        rung = present_mode(tx, account).rung
        raise TradingError(
            f"not resumed: account {account} is in {EMERGENCY_STOP}, from {rung}, and going on takes approval: "
            f"{GO_ON}, then mode approve, then resume again"
        )


def go_on(tx: LedgerTransaction, account: str, *, at: datetime, reason: str, actor: str) -> None:
    """End a stop in SIMULATION by a person's word; where people had to approve, their approval has ended it."""
    if present_mode(tx, account).is_stopped:
        change_mode(tx, account, ChangeKind.RESUME, at=at, reason=reason, actor=actor)
