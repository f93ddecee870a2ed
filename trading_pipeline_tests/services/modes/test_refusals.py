"""The refusal matrix: every way to a higher mode that is not a person's fresh, fitting word for this very thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest
from pydantic import SecretStr

from trading_pipeline.domain.approvals import Refusal
from trading_pipeline.domain.errors import InputError, ModeRefused
from trading_pipeline.domain.modes import ChangeKind, ModeRules
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.services.modes.operators import Credentials
from trading_pipeline.services.modes.transitions import change_mode, grant
from trading_pipeline_tests.services.modes.people import ADA, KIM, LEE, Office, prove, rung, scaled

WRONG = Credentials("kim", SecretStr("not the password of kim"))


def in_paper(office: Office) -> str:
    """A request for LIVE_MINIMAL of an account that has earned it."""
    office.climb(Mode.PAPER)
    prove(office)
    return office.asked("LIVE_MINIMAL")


def refused(office: Office, act: Callable[[], object]) -> str:
    """How it was refused; the mode is as it was, and the attempt is in the audit log."""
    before, told = office.state, len(office.told("mode_refused", "operator_refused"))
    with pytest.raises(ModeRefused) as caught:
        act()
    assert office.state == before
    entries = office.told("mode_refused", "operator_refused")
    assert len(entries) == told + 1
    assert entries[-1].data["refusal"] == caught.value.refusal
    assert entries[-1].data["local_user"] == "root"
    return caught.value.refusal


def test_an_account_in_paper_goes_live_with_evidence_and_one_persons_word(office: Office) -> None:
    request = in_paper(office)

    done = office.approve(request)

    assert (done.missing, office.state.mode, office.state.entered_at) == (0, Mode.LIVE_MINIMAL, office.clock.now())
    (changed,) = [entry for entry in office.told("mode_changed") if entry.data["after"] == "LIVE_MINIMAL"]
    assert (changed.actor, changed.data["before"], changed.data["request_id"]) == ("kim", "PAPER", request)
    assert [entry.kind for entry in office.told("mode_requested", "mode_approved", "mode_changed")][-3:] == [
        "mode_requested", "mode_approved", "mode_changed"
    ]  # fmt: skip


def test_time_goes_on_while_an_approval_is_given(office: Office) -> None:
    office.climb(Mode.LIVE_MINIMAL)
    prove(office)
    office.clock.ticks = True
    request = office.asked("LIVE_SCALED")

    assert office.approve(request).missing == 1
    assert office.approve(request, LEE).state.mode is Mode.LIVE_SCALED


def test_e46_a_mode_never_rises_by_an_argument(office: Office) -> None:
    for kind in (ChangeKind.RAISE, ChangeKind.RENEW, ChangeKind.RESUME):
        with pytest.raises(ModeRefused) as caught, office.ledger.transaction() as tx:
            change_mode(tx, "A", kind, rung(Mode.PAPER), at=office.clock.now(), reason="I say so", actor="kim")
        assert caught.value.refusal == Refusal.MISSING_APPROVAL
    assert office.state.mode is Mode.SIMULATION


def test_e46_a_request_that_nobody_approved_grants_nothing(office: Office) -> None:
    request = in_paper(office)

    with pytest.raises(ModeRefused, match="0 of 1 people") as caught, office.ledger.transaction() as tx:
        grant(tx, request, office.ground, office.clock.now())

    assert caught.value.refusal == Refusal.MISSING_APPROVAL


def test_an_unknown_request_is_refused(office: Office) -> None:
    assert refused(office, lambda: office.approve("nothing")) == Refusal.UNKNOWN_REQUEST


def test_a_request_is_void_after_a_day(office: Office) -> None:
    request = in_paper(office)
    office.clock.wait(hours=24)

    assert refused(office, lambda: office.approve(request)) == Refusal.EXPIRED


def test_it_is_good_until_the_last_moment(office: Office) -> None:
    request = in_paper(office)
    office.clock.wait(hours=23, minutes=59, seconds=59)

    assert office.approve(request).state.mode is Mode.LIVE_MINIMAL


def test_a_clock_that_was_set_back_revives_nothing(office: Office) -> None:
    request = in_paper(office)
    office.clock.wait(hours=-1)

    assert refused(office, lambda: office.approve(request)) == Refusal.EXPIRED


def test_the_first_of_two_approvals_expires_with_its_request(office: Office) -> None:
    office.climb(Mode.LIVE_MINIMAL)
    prove(office)
    request = office.asked("LIVE_SCALED")
    assert office.approve(request).missing == 1
    office.clock.wait(hours=25)

    assert refused(office, lambda: office.approve(request, LEE)) == Refusal.EXPIRED


def test_an_approval_is_good_once(office: Office) -> None:
    request = in_paper(office)
    office.approve(request)
    office.desk.lower(rung(Mode.PAPER), reason="too soon", operator="kim")

    assert refused(office, lambda: office.approve(request, LEE)) == Refusal.REUSED
    with pytest.raises(ModeRefused, match="used up"), office.ledger.transaction() as tx:
        grant(tx, request, office.ground, office.clock.now())


def test_a_word_for_another_account_is_refused(office: Office) -> None:
    request = in_paper(office)

    assert refused(office.under(account="B"), lambda: office.under(account="B").approve(request)) == (
        Refusal.WRONG_ACCOUNT
    )


def test_a_configuration_changed_since_is_refused(office: Office) -> None:
    request = in_paper(office)

    changed = office.under(config_hash="d" * 64)

    assert refused(office, lambda: changed.approve(request)) == Refusal.WRONG_CONFIGURATION


def test_limits_changed_since_are_refused(office: Office) -> None:
    request = in_paper(office)

    changed = office.under(limits=RiskLimits(min_reward_risk=Decimal(2)))

    assert refused(office, lambda: changed.approve(request)) == Refusal.WRONG_LIMITS


def test_a_configuration_changed_between_two_approvals_is_refused(office: Office) -> None:
    office.climb(Mode.LIVE_MINIMAL)
    prove(office)
    request = office.asked("LIVE_SCALED")
    office.approve(request)

    changed = office.under(config_hash="d" * 64)

    assert refused(office, lambda: changed.approve(request, LEE)) == Refusal.WRONG_CONFIGURATION


@pytest.mark.parametrize(
    "change", [{"account": "B"}, {"config_hash": "d" * 64}, {"limits_hash": "d" * 64}, {"step": 2, "symbols": 2}]
)
def test_a_report_made_for_something_else_is_refused(office: Office, change: dict[str, object]) -> None:
    request = in_paper(office)
    with office.ledger.transaction() as tx:
        asked = tx.mode_request(request)
        assert asked is not None
        mode = Mode.LIVE_SCALED if "step" in change else asked.mode
        report = tx.gate_report(asked.report_id)
        assert report is not None
        tx._rows["gate_reports"][asked.report_id] = replace(report, mode=mode, **change)  # type: ignore[attr-defined, arg-type]

    assert refused(office, lambda: office.approve(request)) == Refusal.WRONG_REPORT


def test_a_report_whose_failure_was_made_up_for_in_the_database_is_refused(office: Office) -> None:
    request = in_paper(office)
    with office.ledger.transaction() as tx:
        asked = tx.mode_request(request)
        assert asked is not None
        report = tx.gate_report(asked.report_id)
        assert report is not None
        better = tuple(replace(item, measured="99") for item in report.items)
        tx._rows["gate_reports"][asked.report_id] = replace(report, items=better)  # type: ignore[attr-defined]

    assert refused(office, lambda: office.approve(request)) == Refusal.WRONG_REPORT


def test_one_person_is_not_two(office: Office) -> None:
    office.climb(Mode.LIVE_MINIMAL)
    prove(office)
    request = office.asked("LIVE_SCALED")
    assert office.approve(request).missing == 1

    assert refused(office, lambda: office.approve(request)) == Refusal.SAME_PERSON
    assert office.approve(request, LEE).state.mode is Mode.LIVE_SCALED


def test_whoever_asked_is_no_approver_where_the_settings_say_so(office: Office) -> None:
    request = in_paper(office)
    strict = office.under(rules=ModeRules(requester_may_approve=False))

    assert refused(office, lambda: strict.approve(request)) == Refusal.REQUESTER_APPROVES
    assert strict.approve(request, LEE).state.mode is Mode.LIVE_MINIMAL


def test_it_takes_two_where_the_settings_say_so_even_after_it_was_asked_for(office: Office) -> None:
    request = in_paper(office)
    strict = office.under(rules=ModeRules(approvers=2))

    assert strict.approve(request).missing == 1
    assert office.state.mode is Mode.PAPER
    assert strict.approve(request, LEE).missing == 0


def test_a_setting_made_looser_since_does_not_count(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office)
    strict = office.under(rules=ModeRules(approvers=2))
    request = strict.asked("LIVE_MINIMAL")

    assert office.approve(request).missing == 1


def test_the_word_of_somebody_disabled_since_does_not_count(office: Office) -> None:
    office.climb(Mode.LIVE_MINIMAL)
    prove(office)
    request = office.asked("LIVE_SCALED")
    office.approve(request, LEE)
    office.operators.set_enabled("lee", enabled=False, by=KIM, reason="left")

    assert refused(office, lambda: office.approve(request, KIM)) == Refusal.DISABLED_OPERATOR


def test_a_disabled_operator_neither_asks_nor_approves(office: Office) -> None:
    request = in_paper(office)
    office.operators.set_enabled("lee", enabled=False, by=KIM, reason="left")

    assert refused(office, lambda: office.approve(request, LEE)) == Refusal.DISABLED_OPERATOR
    assert refused(office, lambda: office.asked("LIVE_MINIMAL", LEE)) == Refusal.DISABLED_OPERATOR


@pytest.mark.parametrize(("who", "refusal"), [(WRONG, Refusal.WRONG_PASSWORD), (ADA, Refusal.UNKNOWN_OPERATOR)])
def test_without_the_password_nobody_approves(office: Office, who: Credentials, refusal: Refusal) -> None:
    request = in_paper(office)

    assert refused(office, lambda: office.approve(request, who)) == refusal


def test_a_mode_that_was_lowered_meanwhile_makes_the_request_void(office: Office) -> None:
    office.climb(Mode.LIVE_SCALED)
    prove(office)
    request = office.asked(scaled(step=2))
    office.approve(request)
    with office.ledger.transaction() as tx:
        change_mode(
            tx, "A", ChangeKind.LOWER, rung(Mode.LIVE_MINIMAL), at=office.clock.now(), reason="6 losses", actor="rule"
        )

    assert refused(office, lambda: office.approve(request, LEE)) == Refusal.MODE_MOVED


def test_an_emergency_stop_makes_what_was_asked_before_void(office: Office) -> None:
    request = in_paper(office)
    with office.ledger.transaction() as tx:
        change_mode(tx, "A", ChangeKind.STOP, at=office.clock.now(), reason="kill", actor="kim")

    assert refused(office, lambda: office.approve(request)) == Refusal.MODE_MOVED
    assert refused(office, lambda: office.asked("LIVE_MINIMAL")) == Refusal.WRONG_RUNG


@pytest.mark.parametrize("target", ["LIVE_MINIMAL", "LIVE_SCALED"])
def test_no_mode_is_passed_over(office: Office, target: str) -> None:
    prove(office)

    assert refused(office, lambda: office.asked(target)) == Refusal.WRONG_RUNG


def test_step_and_symbols_rise_one_at_a_time(office: Office) -> None:
    office.climb(Mode.LIVE_SCALED)
    prove(office)

    for target in (scaled(step=3), scaled(symbols=4), scaled(step=2, symbols=3), scaled()):
        assert refused(office, partial(office.asked, target)) == Refusal.WRONG_RUNG
    request = office.asked(scaled(symbols=3))
    office.approve(request)
    assert str(office.approve(request, LEE).state.rung) == "LIVE_SCALED step 1, 3 symbols"


def test_evidence_that_does_not_suffice_asks_for_nothing_and_stays_on_record(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office, sessions=9)

    with pytest.raises(AssertionError):
        office.asked("LIVE_MINIMAL")

    (told,) = office.told("mode_requested")[1:]
    assert (
        told.data["failed"] == "sessions,win_rate,sharpe,max_drawdown,limit_breaches"
        or "sessions" in told.data["failed"]
    )
    with office.ledger.read() as tx:
        assert [one.mode for one in tx.mode_requests("A")] == [Mode.PAPER]
        assert tx.gate_report(told.data["report_id"]) is not None


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_without_a_reason_nothing_is_asked_approved_or_lowered(office: Office, reason: str) -> None:
    request = in_paper(office)

    with pytest.raises(InputError, match="reason"):
        office.desk.approve(request, KIM, reason)
    with pytest.raises(InputError, match="reason"):
        office.desk.lower(rung(Mode.SIMULATION), reason=reason, operator="kim")
    assert office.state.mode is Mode.PAPER
