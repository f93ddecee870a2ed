"""Who has forgotten the password comes back, and takes nothing with them: every mode is climbed to again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr

from trading_pipeline.domain.approvals import Operator, Refusal
from trading_pipeline.domain.control import AlertLevel, TradingState
from trading_pipeline.domain.errors import InputError, ModeRefused
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.services.modes.recovery import Owner, recover
from trading_pipeline.services.modes.stopping import go_on
from trading_pipeline_tests.services.modes.people import ADA, KIM, LEE, Office, prove

OWNER = Owner(account="A", key_id="0123456789abcdef")
NEW = replace(KIM, password=SecretStr("this time I wrote it down"))


def recovered(office: Office, name: str = "kim", reason: str = "forgot it") -> tuple[Operator, list[str]]:
    operator, stopped = recover(office.operators, OWNER, name, NEW.password, reason)
    return operator, list(stopped)


def test_the_new_password_holds_and_the_old_one_does_not(office: Office) -> None:
    for _ in range(5):
        with pytest.raises(ModeRefused):
            office.operators.prove(NEW, "guess")

    recovered(office)

    assert office.operators.prove(NEW, "try").failures == 0
    with pytest.raises(ModeRefused):
        office.operators.prove(KIM, "try")
    (told,) = office.told("operator_recovered")
    assert (told.actor, told.data["reason"], told.data["key_id"]) == ("local:root", "forgot it", OWNER.key_id)
    assert NEW.password.get_secret_value() not in str(told)


def test_every_account_falls_to_simulation_and_is_halted_and_everybody_hears_of_it(office: Office) -> None:
    office.climb(Mode.LIVE_MINIMAL)
    other = office.under(account="B")
    other.climb(Mode.PAPER)

    _, stopped = recovered(office)

    assert stopped == ["A", "B"]
    for one in (office, other):
        assert (one.state.mode, one.state.is_stopped) == (Mode.SIMULATION, True)
    with office.ledger.read() as tx:
        assert all(tx.trading_state(account).state is TradingState.HALTED for account in "AB")  # type: ignore[union-attr]
        (alert,) = [one for one in tx.alerts("A") if one.kind == "operator_recovered"]
    assert alert.level is AlertLevel.CRITICAL
    assert "A, B" in alert.message


def test_what_was_asked_for_and_approved_before_is_void(office: Office) -> None:
    office.climb(Mode.LIVE_MINIMAL)
    simulated = office.under(account="S")
    prove(simulated)
    prove(office)
    request = office.asked("LIVE_SCALED")
    office.approve(request, KIM)
    waiting = simulated.asked("PAPER", LEE)

    recovered(office)

    for one, asked in ((office, request), (simulated, waiting)):
        with pytest.raises(ModeRefused) as refused:
            one.approve(asked, LEE)
        assert refused.value.refusal == Refusal.MODE_MOVED
    with office.ledger.transaction() as tx:
        go_on(tx, "A", at=office.clock.now(), reason="it was me", actor="kim")
    with pytest.raises(ModeRefused, match="A is in SIMULATION: next is PAPER, not LIVE_MINIMAL"):
        office.asked("LIVE_MINIMAL", NEW)


def test_of_operators_that_are_gone_from_the_table_one_comes_back(office: Office) -> None:
    office.ledger.rows["operators"].clear()  # type: ignore[attr-defined]

    operator, _ = recovered(office)

    assert (operator.name, operator.added_by) == ("kim", "local:root")
    office.operators.add(ADA.name, ADA.password, NEW)


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [("eve", "x", "there never was an operator 'eve'; there were: kim, lee"), ("kim", " ", "--reason"),
     ("Kim", "x", "is no name")],
)  # fmt: skip
def test_nobody_else_comes_in_by_it_and_not_without_a_reason(
    office: Office, name: str, reason: str, words: str
) -> None:
    office.climb(Mode.PAPER)
    with pytest.raises(InputError, match=words):
        recovered(office, name, reason)

    assert office.state.name == "PAPER"
    assert not office.told("operator_recovered")


def test_a_weak_password_changes_nothing(office: Office) -> None:
    with pytest.raises(ModeRefused):
        recover(office.operators, OWNER, "kim", SecretStr("password1234"), "forgot it")

    assert office.operators.prove(KIM, "the old one stays").name == "kim"
