"""Where an account stands on the ladder of modes, and the one place where that changes.

Down, and into the emergency stop, at once and by anybody. Up, or on after a stop, only by a request with a gate report
that passed and with the approvals it takes, which are used up in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from trading_pipeline.domain.approvals import Approval, ApprovalUse, Refusal
from trading_pipeline.domain.audit import MODE_CHANGED
from trading_pipeline.domain.control import Alert, AlertLevel, AuditEntry, Block, BlockKind
from trading_pipeline.domain.errors import InputError, ModeRefused
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.mode_permit import Case, denied
from trading_pipeline.domain.modes import (
    ChangeKind,
    ModeChange,
    ModeRules,
    ModeState,
    Rung,
    content_hash,
    limits_hash,
    rises,
)
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.modes.vouching import OF_MODES, Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The configuration a mode is asked for and held under: whose account, which settings, which limits.

    config_hash: what an approval is bound to; digest: what sessions run under, which knows of no broker. Empty: not
    asked for.
    """

    account: str
    config_hash: str
    limits: RiskLimits
    rules: ModeRules
    digest: str = ""

    def limits_hash(self, rung: Rung) -> str:
        """Of the limits in force on a rung."""
        return limits_hash(self.limits, rung)


def present_mode(tx: LedgerTransaction, account: str) -> ModeState:
    """Where the account stands; SIMULATION when its mode was never changed.

    The changes on record say it, which the database lets nobody edit; the row of the state is their copy. Where the two
    differ the account is stopped, until people approve that it goes on.
    """
    recorded = _recorded(tx, account)
    return replace(recorded, is_stopped=True) if forged(tx, account) else recorded


def forged(tx: LedgerTransaction, account: str) -> str:
    """How the row of the account's state differs from the changes on record, in words; empty when it does not."""
    recorded, row = _recorded(tx, account), tx.mode_state(account)
    if row == recorded or (row is None and recorded.entered_at is None):
        return ""
    said = row.name if row else "nothing"
    return (
        f"the mode of account {account} was written by hand: its row says {said}, the changes on record "
        f"{recorded.name}. Find out who could write there; then: trading-pipeline mode request RESUME"
    )


def _recorded(tx: LedgerTransaction, account: str) -> ModeState:
    changes = tx.mode_changes(account)
    return changes[-1].state if changes else ModeState(account=account)


def change_mode(
    tx: LedgerTransaction,
    account: str,
    kind: ChangeKind,
    to: Rung | None = None,
    *,
    at: datetime,
    reason: str,
    actor: str,
) -> ModeState:
    """LOWER to a rung that allows less, or STOP: in force at once, on record with its audit entry.

    RESUME only in SIMULATION, where nothing is at stake; elsewhere people approve it.

    actor: the operator, or the rule that acts by itself. Stopping twice changes nothing. Raises ModeRefused for what
    needs approval (see grant), InputError for a rung that is not lower and without a reason.
    """
    before = present_mode(tx, account)
    if kind is ChangeKind.RESUME and before.is_stopped and before.mode is Mode.SIMULATION:
        return _apply(tx, before, _change(before, kind, before.rung, at, reason, actor, is_stopped=False))
    if kind.needs_approval:
        raise ModeRefused(
            Refusal.MISSING_APPROVAL,
            f"{kind.value} of account {account} needs approval: trading-pipeline mode request, then mode approve",
        )
    if kind is ChangeKind.STOP:
        if before.is_stopped:
            return before
        return _apply(tx, before, _change(before, kind, before.rung, at, reason, actor, is_stopped=True))
    if to is None or to == before.rung or rises(before.rung, to):
        raise InputError(f"account {account} is in {before.name}: {to} is not lower. Upwards: mode request")
    change = _change(before, kind, to, at, reason, actor, is_stopped=before.is_stopped)
    tx.add_block(_until_noted(change))
    return _apply(tx, before, change)


def grant(tx: LedgerTransaction, request_id: str, ground: Ground, at: datetime) -> ModeState:
    """Change the mode as requested and use up its approvals, all in this transaction.

    Raises ModeRefused naming the first condition that is not met; then nothing was changed.
    """
    case = case_of(tx, request_id, ground, at)
    found = denied(case)
    if found is not None:
        raise ModeRefused(*found)
    request, approvals = case.request, case.approvals
    change = _granted(case)
    for one in approvals:
        if not tx.use_approval(ApprovalUse(approval_id=one.approval_id, change_id=change.change_id, used_at=at)):
            raise ModeRefused(Refusal.REUSED, f"the approval of {one.operator} for {request.request_id} was used up")
    return _apply(tx, case.state, change)


def case_of(tx: LedgerTransaction, request_id: str, ground: Ground, at: datetime) -> Case:
    """Everything that bears on a request; raises ModeRefused when there is none of that id."""
    request = tx.mode_request(request_id)
    if request is None:
        raise ModeRefused(
            Refusal.UNKNOWN_REQUEST, f"no request {request_id!r} is on record. Those there are: mode history"
        )
    approvals, report = tuple(tx.approvals(request_id)), tx.gate_report(request.report_id)
    return Case(
        at=require_aware(at, "instant of a change of mode"), account=ground.account, config_hash=ground.config_hash,
        limits_hash=ground.limits_hash(request.rung), rules=ground.rules, state=present_mode(tx, request.account),
        evidence_state=present_mode(tx, report.evidence_account) if report else None,
        request=request, report=report, approvals=approvals,
        used=frozenset(one.approval_id for one in approvals if tx.approval_use(one.approval_id) is not None),
        operators={one.name: one for one in tx.operators()},
        by_hand=tuple(Told.read(tx, OF_MODES).of_request(request, approvals)),
    )  # fmt: skip


def _granted(case: Case) -> ModeChange:
    request, approvals = case.request, case.approvals
    change = _change(
        case.state, request.kind, request.rung, case.at, request.reason, _names(approvals), is_stopped=False
    )
    return replace(
        change, request_id=request.request_id, report_id=request.report_id,
        approvals=tuple(one.approval_id for one in approvals), config_hash=request.config_hash,
        limits_hash=request.limits_hash,
    )  # fmt: skip


def _names(approvals: Sequence[Approval]) -> str:
    return ", ".join(sorted(one.operator for one in approvals))


def _change(
    before: ModeState, kind: ChangeKind, to: Rung, at: datetime, reason: str, actor: str, *, is_stopped: bool
) -> ModeChange:
    if not reason.strip() or not actor.strip():
        raise InputError("a change of mode needs a reason and who says so: --reason TEXT --operator NAME")
    at = require_aware(at, "instant of a change of mode")
    return ModeChange(
        change_id=content_hash({
            "account": before.account, "before": before.change_id, "kind": kind.value, "to": str(to),
            "at": at.isoformat(), "actor": actor,
        }),
        account=before.account, at=at, kind=kind, from_mode=before.mode, from_step=before.step,
        from_symbols=before.rung.symbols, from_stopped=before.is_stopped, mode=to.mode, step=to.step,
        symbols=to.symbols, is_stopped=is_stopped, reason=reason.strip(), actor=actor.strip(),
    )  # fmt: skip


def _until_noted(change: ModeChange) -> Block:
    """Nothing that was decided before a fall leaves after it: until the loop has noted it, its last look finds this."""
    return Block(
        block_id=f"{BlockKind.MODE.value}-{change.change_id}", account=change.account, symbol="", kind=BlockKind.MODE,
        reason=f"the mode was lowered to {change.after}, and the session has not noted it yet", since=change.at,
    )  # fmt: skip


def _apply(tx: LedgerTransaction, before: ModeState, change: ModeChange) -> ModeState:
    tx.add_mode_change(change)
    tx.save_mode_state(change.state)
    tx.add_audit(_entry(before, change))
    tx.raise_alert(_alert(before, change))
    return change.state


LOUDNESS = {ChangeKind.STOP: AlertLevel.ERROR, ChangeKind.LOWER: AlertLevel.ERROR}
"""What people have approved, and a resume, is a WARNING."""


def _alert(before: ModeState, change: ModeChange) -> Alert:
    """Under the identity of the risk event by which a loop may tell of the same change."""
    return Alert(
        alert_id=f"{MODE_CHANGED}-{change.change_id}", account=change.account, session=change.at.date(),
        occurred_at=change.at, level=LOUDNESS.get(change.kind, AlertLevel.WARNING), kind=MODE_CHANGED,
        message=f"account {change.account} went from {before.name} to {change.state.name} ({change.actor}: "
        f"{change.reason})",
        data={"kind": change.kind.value, "rung": str(change.after), "change_id": change.change_id},
    )  # fmt: skip


def _entry(before: ModeState, change: ModeChange) -> AuditEntry:
    data = {
        "kind": change.kind.value, "before": before.name, "after": change.state.name, "rung": str(change.after),
        "reason": change.reason, "request_id": change.request_id, "report_id": change.report_id,
        "approvals": ",".join(change.approvals), "config_hash": change.config_hash, "limits_hash": change.limits_hash,
    }  # fmt: skip
    return AuditEntry(
        occurred_at=change.at, kind=MODE_CHANGED, account=change.account, subject=change.change_id, actor=change.actor,
        data={name: text for name, text in data.items() if text},
    )  # fmt: skip
