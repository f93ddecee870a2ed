"""Whether a request may be granted: every condition of a rise in mode, held against what is on record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from trading_pipeline.domain.approvals import Approval, ModeRequest, Operator, Refusal
from trading_pipeline.domain.mode_gate import GateReport
from trading_pipeline.domain.modes import ChangeKind, ModeRules, ModeState

Found = tuple[Refusal, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request with all that bears on it, as on record at `at`.

    account, config_hash, limits_hash: of the configuration this process works under; limits_hash: on the rung asked
    for. used: ids of approvals used up before. state: where the account stands now; evidence_state: and the one whose
    record is the evidence. by_hand: what of request and approvals no audit
    entry tells of, in words.
    """

    at: datetime
    account: str
    config_hash: str
    limits_hash: str
    rules: ModeRules
    state: ModeState
    evidence_state: ModeState | None
    request: ModeRequest
    report: GateReport | None
    approvals: tuple[Approval, ...]
    used: frozenset[str]
    operators: Mapping[str, Operator]
    by_hand: tuple[str, ...] = ()

    @property
    def needed(self) -> int:
        """How many distinct people it takes: the most that was, or is, asked for."""
        return max(self.request.approvers, self.rules.approvers_for(self.request.mode))


def denied(case: Case, *, with_approvals: bool = True) -> Found | None:
    """The first condition that is not met, with words; None when the request may be granted.

    with_approvals: False looks at the request alone, as before the first approval.
    """
    checks = (*OF_REQUEST, *OF_APPROVALS) if with_approvals else OF_REQUEST
    return next((found for check in checks if (found := check(case)) is not None), None)


def _unused(case: Case) -> Found | None:
    used = [one.operator for one in case.approvals if one.approval_id in case.used]
    if not used:
        return None
    words = f"the approval(s) of {', '.join(used)} were used up: each is good for one change of mode. Request it anew"
    return Refusal.REUSED, words


def _account(case: Case) -> Found | None:
    if case.request.account == case.account:
        return None
    words = f"the request is for account {case.request.account}, and this configuration is of account {case.account}"
    return Refusal.WRONG_ACCOUNT, words


def _lasting(case: Case) -> Found | None:
    if case.request.requested_at <= case.at < case.request.expires_at:
        return None
    words = f"the request was good from {_said(case.request.requested_at)} to {_said(case.request.expires_at)}"
    return Refusal.EXPIRED, f"{words}, and it is {_said(case.at)}. Request it anew"


def _configuration(case: Case) -> Found | None:
    return _same_hashes(case, case.request.config_hash, case.request.limits_hash)


def _same_hashes(case: Case, config_hash: str, limits_hash: str) -> Found | None:
    if config_hash != case.config_hash:
        words = f"configuration {config_hash[:12]} was asked for, and {case.config_hash[:12]} is set now"
        return Refusal.WRONG_CONFIGURATION, f"{words}: set it back, or request it anew"
    if limits_hash != case.limits_hash:
        words = f"the limits {limits_hash[:12]} were asked for, and they are {case.limits_hash[:12]} now"
        return Refusal.WRONG_LIMITS, f"{words}. Request it anew"
    return None


def _standing(case: Case) -> Found | None:
    moved = case.state if case.request.from_change != case.state.change_id else None
    evidence, report = case.evidence_state, case.report
    if evidence is not None and report is not None and (_is_later(evidence, report) or _stops(case, evidence)):
        moved = moved or evidence
    if moved is None:
        return None
    words = f"the mode of {moved.account} was changed since (it is {moved.name}): the evidence is of another time"
    return Refusal.MODE_MOVED, f"{words}. Request it anew"


def _is_later(evidence: ModeState, report: GateReport) -> bool:
    """True when the mode was entered after what was measured began."""
    return evidence.entered_at is not None and (report.since is None or report.since < evidence.entered_at)


def _stops(case: Case, evidence: ModeState) -> bool:
    return evidence.is_stopped and case.request.kind is not ChangeKind.RESUME


def _report(case: Case) -> Found | None:
    report, request = case.report, case.request
    if report is None or not report.is_genuine:
        return Refusal.WRONG_REPORT, f"gate report {request.report_id[:12]} is not on record as it was made"
    of_request = (request.report_id, request.account, request.kind, request.rung, request.config_hash)
    of_report = (report.report_id, report.account, report.kind, report.rung, report.config_hash)
    if of_report != of_request or report.limits_hash != request.limits_hash:
        return Refusal.WRONG_REPORT, f"gate report {request.report_id[:12]} was made for something else"
    if not report.passed:
        names = ", ".join(item.name for item in report.failed)
        return Refusal.GATE_FAILED, f"{len(report.failed)} of {len(report.items)} conditions are not met: {names}"
    return None


def _told(case: Case) -> Found | None:
    if not case.by_hand:
        return None
    words = f"written by hand, not by this program: {'; '.join(case.by_hand)}"
    return Refusal.WRITTEN_BY_HAND, f"{words}. Find out who could write there, and request it anew"


def _bound(case: Case) -> Found | None:
    return next((found for one in case.approvals for found in _loose_ends(case, one)), None)


def _loose_ends(case: Case, one: Approval) -> Iterator[Found]:
    """What of an approval is not of this request."""
    request, who = case.request, f"the approval of {one.operator}"
    if one.account != request.account:
        yield Refusal.WRONG_ACCOUNT, f"{who} is for account {one.account}"
    if (one.request_id, one.mode, one.step, one.symbols) != (
        request.request_id, request.mode, request.step, request.symbols
    ):  # fmt: skip
        yield Refusal.WRONG_TARGET, f"{who} is for something else"
    if one.report_id != request.report_id:
        yield Refusal.WRONG_REPORT, f"{who} is for gate report {one.report_id[:12]}"
    if found := _same_hashes(case, one.config_hash, one.limits_hash):
        yield found
    if not one.approved_at <= case.at < one.expires_at:
        yield Refusal.EXPIRED, f"{who} was good until {_said(one.expires_at)}, and it is {_said(case.at)}"


def _people(case: Case) -> Found | None:
    for one in case.approvals:
        operator = case.operators.get(one.operator)
        if operator is None or not operator.is_enabled:
            return Refusal.DISABLED_OPERATOR, f"{one.operator} approved, and is disabled since"
        if one.operator == case.request.requested_by and not case.rules.requester_may_approve:
            return Refusal.REQUESTER_APPROVES, f"{one.operator} asked for it (modes.requester_may_approve is false)"
    return None


def _enough(case: Case) -> Found | None:
    people = {one.operator for one in case.approvals}
    if len(people) >= case.needed:
        return None
    words = f"{len(people)} of {case.needed} people have approved. Approve: trading-pipeline mode approve"
    return Refusal.MISSING_APPROVAL, f"{words} {case.request.request_id}"


def _said(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


Check = Callable[[Case], Found | None]
OF_REQUEST: tuple[Check, ...] = (_unused, _account, _lasting, _configuration, _standing, _report, _told)
OF_APPROVALS: tuple[Check, ...] = (_bound, _people, _enough)
