"""Whether an account's mode lets anything be entered under a configuration, by the approvals on record."""

from __future__ import annotations

from collections.abc import Iterator

from trading_pipeline.domain.mode_terms import NEEDED
from trading_pipeline.domain.modes import EMERGENCY_STOP, ModeChange, ModeRules, ModeState, limits_hash, rises
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.modes.transitions import forged, present_mode

ASK = "trading-pipeline mode request"


def last_approved(tx: LedgerTransaction, account: str) -> ModeChange | None:
    """The last change of mode that people approved; what was only lowered or stopped since rests on it."""
    approved = [change for change in tx.mode_changes(account) if change.kind.needs_approval and change.approvals]
    return approved[-1] if approved else None


def bars(
    tx: LedgerTransaction, account: str, *, configured: str, limits: RiskLimits, config_hash: str, rules: ModeRules
) -> tuple[str, ...]:
    """Why nothing may be entered with execution.mode `configured`, each reason by itself; none where it may.

    limits, config_hash, rules: as configured. Whether the account is stopped is a question of its own.
    """
    if written := forged(tx, account):
        return (written,)
    state = present_mode(tx, account)
    if state.mode is not Mode.SIMULATION and (lifted := halt_lifted(tx, account)):  # there a person's word is enough
        return (lifted,)
    if _place(state.mode) < _place(NEEDED[configured]):
        return (f"the account is in {state.rung}, and execution.mode {configured} needs {_least(configured)}: {ASK}",)
    return tuple(_of_live(tx, state, limits, config_hash, rules)) if configured == "live" else ()


def _of_live(
    tx: LedgerTransaction, state: ModeState, limits: RiskLimits, config_hash: str, rules: ModeRules
) -> Iterator[str]:
    approved = last_approved(tx, state.account)
    used = approved is not None and [
        one for one in approved.approvals if (use := tx.approval_use(one)) and use.change_id == approved.change_id
    ]
    if approved is None or not used or not approved.after.is_live:
        yield f"no used approval of a live mode is on record: {ASK}"
        return
    yield from _of_people(tx, approved, rules)
    if rises(approved.after, state.rung):
        yield f"{approved.after} was approved, and the account is in {state.rung}: nobody approved that: {ASK}"
    if approved.config_hash != config_hash:
        yield (
            f"{approved.after} was approved under configuration {approved.config_hash[:12]}, and {config_hash[:12]} is "
            f"set now: set it back, or have this one approved: {ASK}"
        )
    if approved.limits_hash != limits_hash(limits, approved.after):
        yield f"{approved.after} was approved with other limits than those of now: have these approved: {ASK}"


def _of_people(tx: LedgerTransaction, approved: ModeChange, rules: ModeRules) -> Iterator[str]:
    """Who approved, by the rules of now: others may have held where they did."""
    request = tx.mode_request(approved.request_id)
    people = {one.operator for one in tx.approvals(approved.request_id) if one.approval_id in approved.approvals}
    needed = rules.approvers_for(approved.mode)
    if len(people) < needed:
        yield f"{approved.after} was approved by {len(people)} of {needed} people: have it approved by more: {ASK}"
    if request is not None and request.requested_by in people and not rules.requester_may_approve:
        yield f"{approved.after} was approved by {request.requested_by}, who had asked for it: {ASK}"


def by_hand(tx: LedgerTransaction, account: str) -> str:
    """What somebody wrote into the database about the account's mode, and what to do, in words; empty for nothing."""
    return forged(tx, account) or halt_lifted(tx, account)


def halt_lifted(tx: LedgerTransaction, account: str) -> str:
    """In words, where the account is stopped and its trading state lets entries leave: no command leaves that."""
    state, record = present_mode(tx, account), tx.trading_state(account)
    if not state.is_stopped or not (record is None or record.state.allows_entries):
        return ""
    words = f"the account is in {EMERGENCY_STOP}, and its trading state was set by hand: no resume is on record"
    if state.mode is Mode.SIMULATION:
        return (
            f"{words}. In SIMULATION entries leave all the same. Find out who could write there, and put it right: "
            "trading-pipeline pause, then trading-pipeline resume --reason TEXT --operator NAME"
        )
    return f"{words}. Nothing is entered until people approve it: {ASK} RESUME"


def _place(mode: Mode) -> int:
    return tuple(Mode).index(mode)


def _least(configured: str) -> str:
    return f"{NEEDED[configured].value} or above"
