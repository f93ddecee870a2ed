"""Which alert a record raises."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from trading_pipeline.domain.alert_causes import BEGAN, ENDED, OF_CODE, of_decision, of_event, of_rejection, of_setup
from trading_pipeline.domain.alert_kinds import KINDS
from trading_pipeline.domain.breaker_rules import CONDITIONS, Trigger
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.orders import OrdStatus
from trading_pipeline.domain.risk import Code, Finding, RiskDecision, Verdict
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.services import breaker
from trading_pipeline_tests.builders import AT, SESSION, a_plan, a_setup, an_order


def event(kind: str, severity: str, **data: str) -> RiskEvent:
    return RiskEvent(
        event_id="event-1", account="A", session=SESSION, occurred_at=AT, kind=kind, severity=severity,
        message="words", data=data,
    )  # fmt: skip


def decision(*findings: Finding, approved: bool = False) -> RiskDecision:
    return RiskDecision(
        decision_id="d-1", plan_id="p-1", approved=approved, requested_quantity=Decimal(10), quantity=Decimal(0),
        reserved_risk_usd=Decimal(0), findings=findings, bound_by="", decided_at=AT,
    )  # fmt: skip


def finding(code: Code, verdict: Verdict = Verdict.DENIAL, measured: object = "0.123456789") -> Finding:
    return Finding(verdict, code, Decimal(str(measured)), Decimal("0.10"), "max_it", "it is too much")


@pytest.mark.parametrize("severity", ["WARNING", "ERROR", "CRITICAL"])
def test_a_loud_risk_event_raises_one_of_its_kind_level_and_identity(severity: str) -> None:
    found = of_event(event("overfill", severity, symbol="XYZ"))

    assert found is not None
    assert (found.alert_id, found.kind, found.level) == ("event-1", "overfill", AlertLevel(severity))
    assert (found.message, found.data) == ("words", {"symbol": "XYZ"})


def test_an_event_for_the_record_raises_nothing() -> None:
    assert of_event(event("plan_refused", "INFO")) is None


def test_conditions_are_known_by_the_names_the_services_give_them() -> None:
    assert (BEGAN, ENDED) == (breaker.BEGAN, breaker.ENDED)


@pytest.mark.parametrize("trigger", CONDITIONS)
def test_a_condition_is_told_under_its_own_name_and_when_it_is_over(trigger: Trigger) -> None:
    began = of_event(event(BEGAN, "ERROR", trigger=trigger.value))
    ended = of_event(event(ENDED, "INFO", trigger=trigger.value))

    assert began is not None
    assert ended is not None
    assert (began.kind in KINDS, began.level) == (True, AlertLevel.ERROR)
    assert ended.kind == ("connection_restored" if trigger is Trigger.VENUE_SILENT else "condition_ended")
    assert ended.level is AlertLevel.INFO


@pytest.mark.parametrize("code", Code)
def test_only_limits_are_told_and_each_has_its_kind(code: Code) -> None:
    found = list(of_decision(a_plan(symbol="XYZ"), decision(finding(code))))

    assert [one.kind for one in found] == ([OF_CODE[code]] if code in OF_CODE else [])
    for one in found:
        assert one.level is AlertLevel.WARNING
        assert one.message.startswith(f"an entry in XYZ was denied: {code.value} 0.1235, and 0.1 is the limit (max_it)")
        assert one.data["measured"] == "0.123456789"


def test_a_limit_has_one_identity_a_session_whatever_the_symbol_and_its_numbers() -> None:
    def identity(symbol: str = "XYZ", code: Code = Code.TOTAL_EXPOSURE, **changes: object) -> str:
        (found,) = of_decision(replace(a_plan(symbol=symbol), **changes), decision(finding(code)))  # type: ignore[arg-type]
        return found.alert_id

    assert identity() == identity(symbol="ABC")
    assert len({identity(), identity(code=Code.TRADE_RISK), identity(account="B")}) == 3


def test_only_buying_power_is_told_when_it_makes_an_entry_smaller() -> None:
    smaller = (finding(Code.BUYING_POWER_RESERVE, Verdict.REDUCTION), finding(Code.TOTAL_EXPOSURE, Verdict.REDUCTION))

    (found,) = of_decision(a_plan(), decision(*smaller, approved=True))

    assert (found.kind, "made smaller" in found.message) == ("buying_power_low", True)


@pytest.mark.parametrize("measured", ["NaN", "-NaN", "sNaN", "Infinity", "1E+30", "1E-40"])
def test_numbers_nobody_can_use_are_told_as_they_are(measured: str) -> None:
    (found,) = of_decision(a_plan(), decision(finding(Code.TOTAL_EXPOSURE, measured=measured)))

    assert found.data["measured"] in {measured, f"{Decimal(measured):f}"}


@pytest.mark.parametrize("grade", ["A", "B", "C", ""])
def test_only_the_best_grade_is_told(grade: str) -> None:
    assert of_setup(a_setup(grade=grade), "A") is None


def test_a_setup_of_the_best_grade_is_told_once_a_session_with_its_levels() -> None:
    first, later = (of_setup(a_setup(grade="A+", symbol="XYZ", setup_id=name), "A") for name in ("s-1", "s-2"))

    assert first is not None
    assert later is not None
    assert first.alert_id == later.alert_id
    assert (first.kind, first.level) == ("setup_a_plus", AlertLevel.INFO)
    assert first.message.startswith("XYZ is a new A+ setup: score ")
    assert of_setup(a_setup(grade="A+", symbol="XYZ", target=None), "A") is not None


def test_a_refused_order_is_told_in_its_own_words() -> None:
    order = an_order(status=OrdStatus.REJECTED, text="no shares to borrow")

    found = of_rejection(order)

    assert found.message.endswith(": no shares to borrow")
    assert found.alert_id == of_rejection(replace(order, text="other words")).alert_id
    assert of_rejection(replace(order, text="")).message.endswith("no reason given")
