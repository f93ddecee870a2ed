"""Operators: who may add whom, which passwords are refused, how often one may be wrong, and what goes on record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from trading_pipeline.adapters.mode_rows import OPERATORS
from trading_pipeline.domain.approvals import Refusal, operator_name
from trading_pipeline.domain.errors import InputError, ModeRefused
from trading_pipeline.domain.modes import ModeRules
from trading_pipeline.domain.password_rules import weakness
from trading_pipeline.services.modes.operators import Credentials, Operators
from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.services.modes.people import ADA, KIM, LEE, HandClock, Office, QuickPasswords

STRONG = SecretStr("rain on the green roof")
WRONG = replace(KIM, password=SecretStr("guess number one!"))


def refusal_of(act: Callable[[], object]) -> str:
    with pytest.raises(ModeRefused) as caught:
        act()
    return caught.value.refusal


def test_the_first_operator_is_added_by_the_machines_user_and_the_next_by_an_operator() -> None:
    clock = HandClock()
    office = Office(MemoryLedger(now=clock.now), clock=clock)

    kim, lee = office.operators.all()
    added = office.told("operator_added")

    assert (kim.added_by, lee.added_by) == ("local:root", "kim")
    assert [(entry.subject, entry.actor) for entry in added] == [("kim", "local:root"), ("lee", "kim")]
    assert all(entry.data["local_user"] == "root" for entry in added)


class OvertakenPasswords(QuickPasswords):
    """While a password is hashed, somebody else adds the first operator."""

    def __init__(self, overtake: Callable[[], object]) -> None:
        super().__init__()
        self.overtake = overtake

    def hash(self, password: SecretStr) -> str:
        self.overtake()
        return super().hash(password)


def test_of_two_first_operators_the_second_is_refused() -> None:
    clock = HandClock()
    ledger = MemoryLedger(now=clock.now)
    offices = list[Office]()
    people = Operators(
        ledger=ledger, passwords=OvertakenPasswords(lambda: offices.append(Office(ledger, clock=clock))),
        rules=ModeRules(), clock=clock, local_user="root",
    )  # fmt: skip

    assert refusal_of(lambda: people.add("ada", STRONG)) == Refusal.UNKNOWN_OPERATOR
    assert [one.name for one in people.all()] == ["kim", "lee"]
    assert [entry.actor for entry in offices[0].told("operator_refused")] == ["local:root"]


def test_once_there_is_one_nobody_is_added_enabled_or_given_a_password_without_one(office: Office) -> None:
    people = office.operators
    for act in (
        lambda: people.add("ada", STRONG),
        lambda: people.set_enabled("lee", enabled=False),
        lambda: people.set_password("lee", STRONG),
        lambda: people.add("ada", STRONG, WRONG),
        lambda: people.add("ada", STRONG, ADA),
    ):
        refusal_of(act)
    assert [one.name for one in people.all()] == ["kim", "lee"]
    assert len(office.told("operator_refused")) == 5


def test_a_disabled_operator_cannot_enable_anybody_not_even_itself(office: Office) -> None:
    office.operators.set_enabled("lee", enabled=False, by=KIM, reason="left")

    assert refusal_of(lambda: office.operators.set_enabled("lee", enabled=True, by=LEE)) == Refusal.DISABLED_OPERATOR
    office.operators.set_enabled("lee", enabled=True, by=KIM, reason="is back")
    assert office.operators.prove(LEE, "try").is_enabled


def test_the_last_enabled_operator_is_not_disabled(office: Office) -> None:
    office.operators.set_enabled("lee", enabled=False, by=KIM, reason="left")

    assert refusal_of(lambda: office.operators.set_enabled("kim", enabled=False, by=KIM)) == Refusal.LAST_OPERATOR
    office.operators.add("ada", ADA.password, KIM)
    office.operators.set_enabled("kim", enabled=False, by=ADA, reason="left as well")
    assert [one.name for one in office.operators.all() if one.is_enabled] == ["ada"]


@pytest.mark.parametrize("gone", ["deleted", "disabled"])
def test_the_first_operator_is_added_without_another_once_and_never_again(gone: str) -> None:
    """Whatever was done to the rows: entries tell that there was one."""
    clock = HandClock()
    ledger = MemoryLedger(now=clock.now)
    office = Office(ledger, clock=clock)
    people = office.operators
    rows = ledger.rows[OPERATORS.table.name]
    for name in list(rows):  # as somebody who writes into the database would
        rows[name] = replace(rows[name], is_enabled=False)
    if gone == "deleted":
        rows.clear()

    assert refusal_of(lambda: people.add("eve", STRONG)) == Refusal.UNKNOWN_OPERATOR
    if gone == "disabled":
        assert refusal_of(lambda: people.set_enabled("kim", enabled=True)) == Refusal.UNKNOWN_OPERATOR
        assert refusal_of(lambda: people.set_password("kim", STRONG)) == Refusal.UNKNOWN_OPERATOR
    assert "operators recover" in office.told("operator_refused")[-1].data["why"]


@pytest.mark.parametrize("written", [{"password_hash": "theirs"}, {"is_enabled": True}])
def test_an_operator_whose_row_was_written_by_hand_proves_nothing(office: Office, written: dict[str, Any]) -> None:
    office.operators.set_enabled("lee", enabled="password_hash" in written, by=KIM, reason="a drill")
    theirs = replace(LEE, password=SecretStr("a sentence of somebody else")) if "password_hash" in written else LEE
    if "password_hash" in written:
        written = {"password_hash": office.passwords.hash(theirs.password)}
    with office.ledger.transaction() as tx:
        row = tx.operator("lee")
        assert row is not None
        tx.save_operator(replace(row, **written))

    assert refusal_of(lambda: office.operators.prove(theirs, "approve")) == Refusal.WRITTEN_BY_HAND
    assert refusal_of(lambda: office.operators.add("eve", STRONG, theirs)) == Refusal.WRITTEN_BY_HAND
    assert [entry.data["refusal"] for entry in office.told("operator_refused")] == ["written_by_hand"] * 2

    office.operators.set_enabled("lee", enabled=True, by=KIM, reason="looked into")
    office.operators.set_password("lee", STRONG, KIM)
    assert office.operators.prove(replace(LEE, password=STRONG), "approve").name == "lee"


def test_an_operator_of_whom_no_entry_tells_proves_nothing(office: Office) -> None:
    with office.ledger.transaction() as tx:
        row = tx.operator("lee")
        assert row is not None
        tx.save_operator(replace(row, name="eve"))

    eve = replace(LEE, name="eve")
    assert refusal_of(lambda: office.operators.prove(eve, "approve")) == Refusal.WRITTEN_BY_HAND


def test_who_was_disabled_meanwhile_does_nothing_more(office: Office) -> None:
    class Slow(QuickPasswords):
        def hash(self, password: SecretStr) -> str:
            if password is STRONG:
                office.operators.set_enabled("lee", enabled=False, by=KIM, reason="left")
            return super().hash(password)

    slow = replace(office.operators, passwords=Slow())

    assert refusal_of(lambda: slow.add("ada", STRONG, LEE)) == Refusal.DISABLED_OPERATOR
    assert [one.name for one in office.operators.all()] == ["kim", "lee"]


def test_a_name_that_is_taken_or_could_be_mistaken_is_refused(office: Office) -> None:
    with pytest.raises(InputError, match="already"):
        office.operators.add("kim", STRONG, KIM)
    for name in ("Kim", "k", "kim ", "kіm", "1kim", "a" * 33, "", "kim\n", "../kim", "kim.", "k..im", "kim-_x"):
        with pytest.raises(InputError, match="no name"):
            operator_name(name)


@pytest.mark.parametrize("name", ["k.im", "k1m", "klm", "ki-m"])
def test_two_spellings_of_one_name_are_not_two_people(office: Office, name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is too much like the operator kim"):
        office.operators.add(name, STRONG, KIM)


def test_who_waits_does_not_wait_for_a_clock_that_was_wrong(office: Office) -> None:
    office.clock.wait(days=365)
    for _ in range(5):
        refusal_of(lambda: office.operators.prove(WRONG, "guess"))
    office.clock.wait(days=-365)  # it was set right

    assert refusal_of(lambda: office.operators.prove(KIM, "approve")) == Refusal.TOO_MANY_ATTEMPTS
    office.clock.wait(minutes=14, seconds=59)
    assert refusal_of(lambda: office.operators.prove(KIM, "approve")) == Refusal.TOO_MANY_ATTEMPTS
    office.clock.wait(seconds=1)
    assert office.operators.prove(KIM, "approve").failures == 0


@pytest.mark.parametrize(
    "password",
    ["", "short one!!", "password1234", "PASSWORD!2345", "Passwort-2026", "qwerty123456", "111111111111",
     "ababababab12"[:10] + "ab", "123456789012", "abcdefghijkl", "operator-kim-2026", "passwordpassword",
     "tradingpipeline1", "x" * 1025],
)  # fmt: skip
def test_weak_passwords_are_refused_and_audited(office: Office, password: str) -> None:
    assert weakness(password, "kim")
    assert refusal_of(lambda: office.operators.set_password("kim", SecretStr(password), KIM)) == Refusal.WEAK_PASSWORD
    (told,) = office.told("operator_refused")
    assert not password or password not in str(told)
    assert office.operators.prove(KIM, "the old one stays").name == "kim"


@pytest.mark.parametrize("password", ["rain on the green roof", "Zx9!kQ2#vB7&", "ein Satz über Äpfel"])
def test_strong_ones_are_taken(office: Office, password: str) -> None:
    office.operators.set_password("kim", SecretStr(password), KIM)

    assert office.operators.prove(Credentials("kim", SecretStr(password)), "try").name == "kim"
    assert refusal_of(lambda: office.operators.prove(KIM, "the old one")) == Refusal.WRONG_PASSWORD


def test_a_name_is_no_part_of_a_password() -> None:
    assert weakness("my name is Martin, hi", "martin") == "the operator's name is in it"
    assert not weakness("my name is Martin, hi", "kim")


def test_after_too_many_wrong_passwords_even_the_right_one_waits(office: Office) -> None:
    office.passwords.hashed = 0
    for _ in range(5):
        assert refusal_of(lambda: office.operators.prove(WRONG, "guess")) == Refusal.WRONG_PASSWORD
    looked_at = office.passwords.hashed

    assert refusal_of(lambda: office.operators.prove(KIM, "approve")) == Refusal.TOO_MANY_ATTEMPTS
    assert office.passwords.hashed == looked_at  # no password is looked at any more
    office.clock.wait(minutes=14, seconds=59)
    assert refusal_of(lambda: office.operators.prove(KIM, "approve")) == Refusal.TOO_MANY_ATTEMPTS
    office.clock.wait(seconds=1)
    assert office.operators.prove(KIM, "approve").failures == 0
    assert [entry.data["refusal"] for entry in office.told("operator_refused")] == [
        *["wrong_password"] * 5, *["too_many_attempts"] * 2,
    ]  # fmt: skip


def test_attempts_count_for_one_operator_alone_and_a_right_one_forgets_them(office: Office) -> None:
    for _ in range(4):
        refusal_of(lambda: office.operators.prove(WRONG, "guess"))

    assert office.operators.prove(LEE, "try").failures == 0
    assert office.operators.prove(KIM, "try").failures == 0
    assert {one.name: one.failures for one in office.operators.all()} == {"kim": 0, "lee": 0}


def test_how_many_attempts_is_a_setting(office: Office) -> None:
    strict = office.under(rules=ModeRules(password_attempts=1, password_wait_minutes=60))
    refusal_of(lambda: strict.operators.prove(WRONG, "guess"))

    assert refusal_of(lambda: strict.operators.prove(KIM, "try")) == Refusal.TOO_MANY_ATTEMPTS


def test_a_password_kept_by_older_parameters_is_kept_anew_when_it_is_right(office: Office) -> None:
    newer = replace(office, passwords=QuickPasswords(version="2"))

    newer.operators.prove(KIM, "try")

    assert {one.name: one.password_hash[:2] for one in office.operators.all()} == {"kim": "2:", "lee": "1:"}
    assert [entry.subject for entry in office.told("operator_password_renewed")] == ["kim"]


def test_an_unknown_name_is_told_no_differently_and_takes_a_hash_as_well(office: Office) -> None:
    office.passwords.hashed = 0
    with pytest.raises(ModeRefused) as unknown:
        office.operators.prove(ADA, "try")
    assert office.passwords.hashed == 1
    with pytest.raises(ModeRefused) as wrong:
        office.operators.prove(WRONG, "try")

    assert str(unknown.value) == str(wrong.value)


def test_no_password_and_no_hash_is_in_the_audit_log(office: Office) -> None:
    refusal_of(lambda: office.operators.prove(WRONG, "guess"))
    office.operators.set_password("lee", STRONG, KIM)

    with office.ledger.read() as tx:
        told = str(tx.audit_entries(limit=1000))
        kept = [one.password_hash for one in tx.operators()]
    for secret in (KIM.password, LEE.password, WRONG.password, STRONG):
        assert secret.get_secret_value() not in told
    assert not any(one in told for one in kept)
