"""Two who approve at once, in processes of their own, on both databases: one changes the mode, once."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import Any

import pytest

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.errors import ModeRefused
from trading_pipeline.domain.modes import Rung
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline_tests.forked import processes
from trading_pipeline_tests.services.modes.people import ADA, KIM, LEE, HandClock, Office, prove

PEOPLE = (KIM, LEE, ADA)


def an_office(url: str) -> Office:
    return Office(SqlLedger.open(url))


def approve(url: str, at: HandClock, request: str, who: int, start: Any, answers: Any) -> None:
    """One process: wait for the others, then approve."""
    office = Office(SqlLedger(url), clock=at)
    start.wait(30)
    try:
        answers.put(("in force" if not office.approve(request, PEOPLE[who]).missing else "waits", who))
    except ModeRefused as refused:
        answers.put((refused.refusal, who))


def raced(url: str, office: Office, request: str, *people: int) -> Counter[str]:
    """How each of them fared, all at once."""
    context = processes()
    start, answers = context.Barrier(len(people)), context.Queue()
    started = [
        context.Process(target=approve, args=(url, office.clock, request, who, start, answers)) for who in people
    ]
    for one in started:
        one.start()
    found = Counter(answers.get(timeout=60)[0] for _ in started)
    for one in started:
        one.join(30)
    return found


def test_of_two_that_approve_at_once_one_changes_the_mode(url: str) -> None:
    office = an_office(url)
    office.operators.add(ADA.name, ADA.password, KIM)
    prove(office)
    request = office.asked("PAPER")

    found = raced(url, office, request, 0, 1)

    assert found == {"in force": 1, "reused": 1}
    assert office.state.mode is Mode.PAPER
    assert len(office.told("mode_changed")) == 1
    assert [entry.data["refusal"] for entry in office.told("mode_refused")] == ["reused"]


def test_of_three_for_two_places_one_is_too_many_and_nobody_counts_twice(url: str) -> None:
    office = an_office(url)
    office.operators.add(ADA.name, ADA.password, KIM)
    office.climb(Mode.LIVE_MINIMAL)
    prove(office)
    request = office.asked("LIVE_SCALED")

    found = raced(url, office, request, 0, 1, 2)

    assert found == {"waits": 1, "in force": 1, "reused": 1}
    with office.ledger.read() as tx:
        last = tx.mode_changes("A")[-1]
        assert {one.operator for one in tx.approvals(request)} == set(last.actor.split(", "))
    assert len(last.approvals) == 2


def test_the_same_person_twice_at_once_counts_once(url: str) -> None:
    office = an_office(url)
    office.climb(Mode.LIVE_MINIMAL)
    prove(office)
    request = office.asked("LIVE_SCALED")

    assert raced(url, office, request, 0, 0) == {"waits": 1, "same_person": 1}
    assert office.state.mode is Mode.LIVE_MINIMAL


def test_a_change_of_mode_takes_less_than_a_tenth_of_a_second(url: str) -> None:
    """From a proven password on: every check, the approval, its use, the change and the audit entries, committed."""
    office = an_office(url)
    office.climb(Mode.PAPER)
    took = []
    for _ in range(3):  # the best of three: other processes work here as well
        prove(office)
        request, person = office.asked("LIVE_MINIMAL"), office.operators.prove(KIM, "approve")
        began = perf_counter()
        with office.ledger.transaction() as tx:
            done = office.desk._approved(tx, request, person, "I looked at it")
        took.append(perf_counter() - began)
        assert done.state.mode is Mode.LIVE_MINIMAL
        office.desk.lower(Rung(Mode.PAPER), reason="once more", operator="kim")

    assert min(took) < 0.1


def test_what_a_process_had_not_committed_when_it_died_approves_nothing(url: str) -> None:
    office = an_office(url)
    prove(office)
    request = office.asked("PAPER")
    person = office.operators.prove(KIM, "approve")

    def die_before_the_commit() -> None:
        with office.ledger.transaction() as tx:
            office.desk._approved(tx, request, person, "I looked at it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_before_the_commit()

    assert office.state.mode is Mode.SIMULATION
    with office.ledger.read() as tx:
        assert not tx.approvals(request)
    assert office.approve(request).state.mode is Mode.PAPER
