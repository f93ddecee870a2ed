"""The account's trading state: read before anything leaves, set by a person or by a rule that tripped."""

from __future__ import annotations

from datetime import date, datetime

from trading_pipeline.domain.control import TradingState, TradingStateRecord
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import Ledger, LedgerTransaction

SEVERITY = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}


def current_state(tx: LedgerTransaction, account: str) -> TradingState:
    """The state in force; ACTIVE when it was never set."""
    record = tx.trading_state(account)
    return record.state if record else TradingState.ACTIVE


def set_trading_state(
    ledger: Ledger, account: str, state: TradingState, *, reason: str, operator: str, at: datetime
) -> TradingStateRecord:
    """A person's word: it holds until the next one. Raises InputError without a reason or a name.

    The audit entry is written in the same transaction by the ledger.
    """
    if not reason.strip() or not operator.strip():
        raise InputError("a change of the trading state needs a reason and a name: --reason TEXT --operator NAME")
    record = TradingStateRecord(
        account=account, state=state, reason=reason.strip(), set_by=operator.strip(),
        changed_at=require_aware(at, "instant of a change of trading state"),
    )  # fmt: skip
    with ledger.transaction() as tx:
        tx.set_trading_state(record)
    return record


def trip(
    tx: LedgerTransaction, account: str, session: date, state: TradingState, *, rule: str, reason: str, at: datetime,
    data: dict[str, str] | None = None,
) -> bool:  # fmt: skip
    """A rule's word, with its CRITICAL risk event; a rule only ever tightens. False when it was as tight already."""
    if SEVERITY[current_state(tx, account)] >= SEVERITY[state]:
        return False
    tx.set_trading_state(
        TradingStateRecord(account=account, state=state, reason=reason, set_by=rule, changed_at=at)
    )  # fmt: skip
    event = RiskEvent(
        event_id=_event_id(rule, account, at), account=account, session=session, occurred_at=at, kind=rule,
        severity="CRITICAL", message=f"{reason}. Trading is {state.value} until a person resumes it: "
        "trading-pipeline resume --reason TEXT --operator NAME", data=data or {},
    )  # fmt: skip
    if tx.risk_event(event.event_id) is None:
        tx.add_risk_event(event)
    return True


def tripped_by(tx: LedgerTransaction, record: TradingStateRecord) -> RiskEvent | None:
    """The risk event of the rule that set a state; None when a person did."""
    return tx.risk_event(_event_id(record.set_by, record.account, record.changed_at))


def is_of_a_rule(event: RiskEvent) -> bool:
    """True for the risk event of a rule that tripped."""
    return event.event_id == _event_id(event.kind, event.account, event.occurred_at)


def _event_id(rule: str, account: str, at: datetime) -> str:
    return f"{rule}-{account}-{at.isoformat()}"
