"""Each condition of a grant, alone: with it not met, a request that would be granted is not."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest

from trading_pipeline.domain.approvals import Approval, ModeRequest, Operator, Refusal
from trading_pipeline.domain.mode_gate import GateReport, report_id
from trading_pipeline.domain.mode_permit import Case, denied
from trading_pipeline.domain.modes import ChangeKind, ModeRules, ModeState
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline_tests.adapters import mode_samples as samples

NOW = samples.NOW + timedelta(hours=1)
STATE = ModeState(
    account="A", mode=Mode.LIVE_SCALED, step=1, symbols=3, entered_at=samples.REPORT.since, change_id="before"
)
SECOND = replace(samples.APPROVAL, approval_id="approval-2", operator="lee")
CASE = Case(
    at=NOW, account="A", config_hash="c", limits_hash="l", rules=ModeRules(), state=STATE, evidence_state=STATE,
    request=samples.REQUEST, report=samples.REPORT, approvals=(samples.APPROVAL, SECOND), used=frozenset(),
    operators={name: replace(samples.OPERATOR, name=name) for name in ("kim", "lee")},
)  # fmt: skip


def refusal(**changes: Any) -> str | None:
    found = denied(replace(CASE, **changes))
    return found[0] if found else None


def request(**changes: Any) -> ModeRequest:
    return replace(samples.REQUEST, **changes)


def second(**changes: Any) -> tuple[Approval, ...]:
    return (samples.APPROVAL, replace(SECOND, **changes))


def report(**changes: Any) -> GateReport:
    return replace(samples.REPORT, **changes)


def operators(**changes: Any) -> dict[str, Operator]:
    return {**CASE.operators, "lee": replace(samples.OPERATOR, name="lee", **changes)}


def test_with_every_condition_met_it_is_granted() -> None:
    assert refusal() is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"used": frozenset({"approval-2"})}, Refusal.REUSED),
        ({"account": "B"}, Refusal.WRONG_ACCOUNT),
        ({"at": samples.NOW - timedelta(microseconds=1)}, Refusal.EXPIRED),
        ({"at": samples.REQUEST.expires_at}, Refusal.EXPIRED),
        ({"config_hash": "d"}, Refusal.WRONG_CONFIGURATION),
        ({"limits_hash": "d"}, Refusal.WRONG_LIMITS),
        ({"state": replace(STATE, change_id="other")}, Refusal.MODE_MOVED),
        ({"evidence_state": replace(STATE, entered_at=NOW)}, Refusal.MODE_MOVED),
        ({"evidence_state": replace(STATE, is_stopped=True)}, Refusal.MODE_MOVED),
        ({"report": None}, Refusal.WRONG_REPORT),
        ({"report": report(account="B")}, Refusal.WRONG_REPORT),
        ({"report": report(items=())}, Refusal.WRONG_REPORT),
        ({"request": request(report_id="other")}, Refusal.WRONG_REPORT),
        ({"request": request(step=3)}, Refusal.WRONG_REPORT),
        ({"request": request(kind=ChangeKind.RENEW)}, Refusal.WRONG_REPORT),
        ({"approvals": second(account="B")}, Refusal.WRONG_ACCOUNT),
        ({"approvals": second(request_id="other")}, Refusal.WRONG_TARGET),
        ({"approvals": second(step=3)}, Refusal.WRONG_TARGET),
        ({"approvals": second(symbols=4)}, Refusal.WRONG_TARGET),
        ({"approvals": second(mode=Mode.LIVE_MINIMAL)}, Refusal.WRONG_TARGET),
        ({"approvals": second(report_id="other")}, Refusal.WRONG_REPORT),
        ({"approvals": second(config_hash="d")}, Refusal.WRONG_CONFIGURATION),
        ({"approvals": second(limits_hash="d")}, Refusal.WRONG_LIMITS),
        ({"approvals": second(expires_at=NOW)}, Refusal.EXPIRED),
        ({"approvals": second(approved_at=NOW + timedelta(seconds=1))}, Refusal.EXPIRED),
        ({"approvals": second(operator="kim")}, Refusal.MISSING_APPROVAL),
        ({"approvals": (SECOND,)}, Refusal.MISSING_APPROVAL),
        ({"approvals": ()}, Refusal.MISSING_APPROVAL),
        ({"operators": operators(is_enabled=False)}, Refusal.DISABLED_OPERATOR),
        ({"operators": {"kim": samples.OPERATOR}}, Refusal.DISABLED_OPERATOR),
        ({"rules": ModeRules(requester_may_approve=False)}, Refusal.REQUESTER_APPROVES),
    ],
)
def test_each_condition_refuses_alone_and_by_its_name(changes: dict[str, Any], expected: Refusal) -> None:
    assert refusal(**changes) == expected


def test_a_request_for_other_settings_is_refused_before_anybody_approves() -> None:
    for changes, expected in (
        ({"config_hash": "d"}, Refusal.WRONG_CONFIGURATION), ({"limits_hash": "d"}, Refusal.WRONG_LIMITS)
    ):  # fmt: skip
        found = denied(replace(CASE, approvals=(), **changes), with_approvals=False)  # type: ignore[arg-type]
        assert found is not None
        assert found[0] == expected


def test_a_gate_that_was_not_passed_grants_nothing_even_by_its_true_name() -> None:
    items = (replace(samples.ITEMS[0], passed=False), samples.ITEMS[1])
    poor = replace(samples.REPORT, items=items)
    poor = replace(poor, report_id=report_id(asdict(poor)))
    approvals = tuple(replace(one, report_id=poor.report_id) for one in CASE.approvals)

    found = denied(replace(CASE, report=poor, request=request(report_id=poor.report_id), approvals=approvals))

    assert found == (Refusal.GATE_FAILED, "1 of 2 conditions are not met: sessions")
