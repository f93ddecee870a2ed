"""Asking for a mode, and a person's word for it. Passwords are proven before the ledger's transaction, never in it.

Every refusal is on record with who tried what, whatever was rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NoReturn

from trading_pipeline.domain.approvals import Approval, ModeRequest, Operator, Refusal
from trading_pipeline.domain.breaker_rules import BreakerRules
from trading_pipeline.domain.errors import InputError, ModeRefused
from trading_pipeline.domain.gate_rules import Wanted
from trading_pipeline.domain.mode_gate import GateReport
from trading_pipeline.domain.mode_permit import denied
from trading_pipeline.domain.modes import ChangeKind, ModeChange, ModeState, Rung, content_hash
from trading_pipeline.ports import Clock, Ledger, LedgerTransaction
from trading_pipeline.services.breaker import read_control
from trading_pipeline.services.latch import Latch
from trading_pipeline.services.modes.gate import Asked, gate_report
from trading_pipeline.services.modes.operators import Credentials, Operators, require_unchanged
from trading_pipeline.services.modes.standing import by_hand
from trading_pipeline.services.modes.targets import Target, require_reachable
from trading_pipeline.services.modes.transitions import Ground, case_of, change_mode, grant, present_mode
from trading_pipeline.services.modes.vouching import MODE_APPROVED, MODE_REQUESTED, require_standing

MODE_REFUSED = "mode_refused"
"""Kind of the audit entry that tells of a failed attempt."""
ID_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What somebody asks for. evidence_account: whose record speaks for it; empty: the account's own.

    statements: names of what only a person can say; equity_usd: of an account that has no record yet.
    """

    target: Target
    reason: str
    statements: frozenset[str] = frozenset()
    evidence_account: str = ""
    equity_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What an approval led to. missing: how many more people it takes; state: in force when that is none."""

    request: ModeRequest
    approval: Approval
    missing: int
    state: ModeState


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeDesk:
    """Modes of one account under one configuration. clock: the machine's; latch: of this home's account, if any.

    ledger_fault: why this ledger is not the one that belongs here, in words; empty when it is.
    """

    ledger: Ledger
    operators: Operators
    ground: Ground
    clock: Clock
    latch: Latch | None = None
    breaker: BreakerRules = field(default_factory=BreakerRules)
    ledger_fault: Callable[[], str] = lambda: ""

    def state(self) -> ModeState:
        """Where the account stands."""
        with self.ledger.read() as tx:
            return present_mode(tx, self.ground.account)

    def by_hand(self) -> str:
        """What of it was written by hand, in words; empty when nothing was."""
        with self.ledger.read() as tx:
            return by_hand(tx, self.ground.account)

    def report(self, asking: Asking, said_by: str = "") -> GateReport:
        """The gate report for what is asked, as of now; nothing is written."""
        account = asking.evidence_account or self.ground.account
        latch = self.latch if account == self.ground.account else None
        control = read_control(self.ledger, latch, account, self.breaker)
        with self.ledger.read() as tx:
            state, evidence_state = present_mode(tx, self.ground.account), present_mode(tx, account)
            rung = require_reachable(asking.target, state, evidence_state)
            wanted = Wanted(
                kind=asking.target.kind, rung=rung, at=self.clock.now(), config_hash=self.ground.config_hash,
                min_notional_usd=self.ground.limits.min_notional_usd, statements=asking.statements, said_by=said_by,
            )  # fmt: skip
            asked = Asked(
                self.ground.account, account, self.ground.limits, control, asking.equity_usd, self.ground.digest
            )
            return gate_report(tx, asked, wanted)

    def request(self, asking: Asking, who: Credentials) -> tuple[ModeRequest | None, GateReport]:
        """Measure the evidence, and ask for approval when it passes; None when it does not. Both are on record.

        Raises ModeRefused for anybody but an operator, and for a rung that does not come next.
        """
        act = f"request {asking.target}"
        person = self.operators.prove(who, act)
        _require_reason(asking.reason)
        try:
            self._require_own_ledger()
            state = self.state()
            report = self.report(asking, person.name)
            with self.ledger.transaction() as tx:
                return self._asked(tx, asking, person, report, state), report
        except ModeRefused as refused:
            self._refuse(person.name, act, refused)

    def approve(self, request_id: str, who: Credentials, reason: str) -> Approved:
        """One person's word. With the last one that it takes the mode changes, in the same transaction.

        Raises ModeRefused naming what is in the way; then nothing has changed but the audit log.
        """
        act = f"approve {request_id}"
        person = self.operators.prove(who, act)
        _require_reason(reason)
        try:
            self._require_own_ledger()
            with self.ledger.transaction() as tx:
                return self._approved(tx, request_id, person, reason)
        except ModeRefused as refused:
            self._refuse(person.name, act, refused, request_id)

    def lower(self, to: Rung, *, reason: str, operator: str) -> ModeState:
        """Down at once, without approval or password; the operator has to be one."""
        name = self.operators.require_known(operator).name
        with self.ledger.transaction() as tx:
            return change_mode(
                tx, self.ground.account, ChangeKind.LOWER, to, at=self.clock.now(), reason=reason, actor=name
            )

    def history(self) -> tuple[Sequence[ModeChange], Sequence[ModeRequest]]:
        """Changes of the account's mode and requests for it, oldest first."""
        with self.ledger.read() as tx:
            return tx.mode_changes(self.ground.account), tx.mode_requests(self.ground.account)

    def approvers(self, request_id: str) -> Sequence[Approval]:
        """Who has approved a request so far."""
        with self.ledger.read() as tx:
            return tx.approvals(request_id)

    def _require_own_ledger(self) -> None:
        if fault := self.ledger_fault():
            raise ModeRefused(Refusal.WRITTEN_BY_HAND, f"{fault}. Look closer: trading-pipeline audit verify")

    def _refuse(self, actor: str, act: str, refused: ModeRefused, subject: str = "") -> NoReturn:
        self.operators.refuse(actor, act, refused, kind=MODE_REFUSED, account=self.ground.account, subject=subject)

    def _asked(
        self, tx: LedgerTransaction, asking: Asking, person: Operator, report: GateReport, state: ModeState
    ) -> ModeRequest | None:
        """The report, and the request when it passed, on record. state: on which the report was made."""
        require_unchanged(tx, person)
        if present_mode(tx, self.ground.account) != state:
            raise ModeRefused(Refusal.MODE_MOVED, "the account's mode was changed just now: ask again")
        require_standing(tx, *sorted({report.account, report.evidence_account}))
        tx.add_gate_report(report)
        failed = ",".join(item.name for item in report.failed)
        request = self._made(asking, person, report, state) if report.passed else None
        self.operators.tell(
            tx, MODE_REQUESTED, request.request_id if request else report.report_id, person.name,
            account=self.ground.account, change=report.kind.value, target=str(report.rung), reason=asking.reason,
            report_id=report.report_id, failed=failed, evidence_account=report.evidence_account,
            statements=",".join(sorted(asking.statements)), config_hash=report.config_hash,
            limits_hash=report.limits_hash,
        )  # fmt: skip
        if request is not None:
            tx.add_mode_request(request)
        return request

    def _made(self, asking: Asking, person: Operator, report: GateReport, state: ModeState) -> ModeRequest:
        rules, rung = self.ground.rules, report.rung
        identity = {"report": report.report_id, "from": state.change_id, "reason": asking.reason.strip()}
        approvers = rules.approvers_for(rung.mode)
        name = content_hash({**identity, "approvers": approvers})[:ID_LENGTH]
        return ModeRequest(
            request_id=name, account=report.account, kind=report.kind, mode=rung.mode, step=rung.step,
            symbols=rung.symbols, requested_by=person.name, reason=asking.reason.strip(), requested_at=report.made_at,
            expires_at=report.made_at + rules.lasting, approvers=approvers,
            report_id=report.report_id, from_change=state.change_id, config_hash=report.config_hash,
            limits_hash=report.limits_hash,
        )  # fmt: skip

    def _approved(self, tx: LedgerTransaction, request_id: str, person: Operator, reason: str) -> Approved:
        now = self.clock.now()
        require_unchanged(tx, person)
        case = case_of(tx, request_id, self.ground, now)
        if found := denied(case, with_approvals=False):
            raise ModeRefused(*found)
        if any(one.operator == person.name for one in case.approvals):
            raise ModeRefused(Refusal.SAME_PERSON, f"{person.name} has approved {request_id} already: another has to")
        approval = self._word(case.request, person, reason, now)
        tx.add_approval(approval)
        self.operators.tell(
            tx, MODE_APPROVED, request_id, person.name, account=case.request.account, reason=approval.reason,
            approval_id=approval.approval_id, target=str(case.request.rung), report_id=case.request.report_id,
            config_hash=approval.config_hash, limits_hash=approval.limits_hash,
        )  # fmt: skip
        missing = self._missing(tx, request_id, now)
        state = case.state if missing else grant(tx, request_id, self.ground, now)
        return Approved(request=case.request, approval=approval, missing=missing, state=state)

    def _missing(self, tx: LedgerTransaction, request_id: str, now: datetime) -> int:
        """How many more people it takes; raises ModeRefused when more of them would not help."""
        case = case_of(tx, request_id, self.ground, now)
        found = denied(case)
        if found is None:
            return 0
        if found[0] is not Refusal.MISSING_APPROVAL:
            raise ModeRefused(*found)
        return case.needed - len({one.operator for one in case.approvals})

    def _word(self, request: ModeRequest, person: Operator, reason: str, now: datetime) -> Approval:
        return Approval(
            approval_id=content_hash({"request": request.request_id, "by": person.name}),
            request_id=request.request_id, operator=person.name, reason=reason.strip(), approved_at=now,
            expires_at=min(request.expires_at, now + self.ground.rules.lasting), account=request.account,
            mode=request.mode, step=request.step, symbols=request.symbols, report_id=request.report_id,
            config_hash=request.config_hash, limits_hash=request.limits_hash,
        )  # fmt: skip


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InputError("say why, for the record: --reason TEXT")
