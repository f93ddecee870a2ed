"""Rows of modes that somebody wrote into the database: no person's word goes on from them."""

from __future__ import annotations

from dataclasses import asdict, replace
from decimal import Decimal

import pytest

from trading_pipeline.domain.approvals import Refusal
from trading_pipeline.domain.errors import ModeRefused
from trading_pipeline.domain.mode_gate import report_id
from trading_pipeline.domain.modes import ChangeKind, Rung
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline_tests.services.modes.people import KIM, LEE, Office, prove


def inserted(office: Office, mode: Mode, symbols: int | None = None) -> None:
    """A change of mode with its state, and no audit entry."""
    with office.ledger.transaction() as tx:
        changes = tx.mode_changes("A")
        change = replace(changes[-1], change_id="by hand", mode=mode, symbols=symbols)
        tx.add_mode_change(change)
        tx.save_mode_state(change.state)


def refused(office: Office, request: str, who: object = LEE) -> ModeRefused:
    with pytest.raises(ModeRefused) as caught:
        office.approve(request, who)  # type: ignore[arg-type]
    return caught.value


def test_nothing_is_asked_for_from_a_rung_that_was_written_by_hand(office: Office) -> None:
    """RENEW would make a real approval of it."""
    office.climb(Mode.PAPER)
    inserted(office, Mode.LIVE_MINIMAL, 2)
    prove(office)

    for target in ("RENEW", "LIVE_SCALED"):
        with pytest.raises(ModeRefused, match=r"no entry tells of it\. .* step-down SIMULATION") as caught:
            office.asked(target)
        assert caught.value.refusal == Refusal.WRITTEN_BY_HAND
    assert [entry.data["refusal"] for entry in office.told("mode_refused")] == ["written_by_hand"] * 2


def test_one_begins_anew_from_simulation(office: Office) -> None:
    office.climb(Mode.PAPER)
    inserted(office, Mode.LIVE_MINIMAL, 2)

    office.desk.lower(Rung(Mode.PAPER), reason="who wrote that?", operator="kim")
    prove(office)
    with pytest.raises(ModeRefused, match="no entry tells of it"):
        office.asked("LIVE_MINIMAL")
    office.desk.lower(Rung(Mode.SIMULATION), reason="who wrote that?", operator="kim")

    prove(office)
    assert office.approve(office.asked("PAPER")).state.mode is Mode.PAPER


def test_a_record_of_another_account_does_not_speak_from_such_a_rung(office: Office) -> None:
    office.climb(Mode.PAPER)
    inserted(office, Mode.PAPER)
    prove(office)

    with pytest.raises(ModeRefused, match="change by hand of account A to PAPER: in the ledger"):
        office.under(account="L").asked("LIVE_MINIMAL", evidence_account="A", equity_usd=Decimal(100_000))


def test_an_approval_that_was_written_by_hand_does_not_count(office: Office) -> None:
    office.climb(Mode.LIVE_MINIMAL)
    prove(office)
    request = office.asked("LIVE_SCALED")
    office.approve(request, KIM)
    with office.ledger.transaction() as tx:
        (real,) = tx.approvals(request)
        tx.add_approval(replace(real, approval_id="by hand", operator="lee"))

    assert "the approval of lee: in the ledger, and no entry tells of it" in str(refused(office, request, KIM))
    assert refused(office, request).refusal == Refusal.WRITTEN_BY_HAND
    assert office.state.mode is Mode.LIVE_MINIMAL


def test_a_request_that_was_written_by_hand_with_its_report_is_not_approved(office: Office) -> None:
    prove(office)
    real = office.asked("PAPER")
    with office.ledger.transaction() as tx:
        request = tx.mode_request(real)
        assert request is not None
        report = tx.gate_report(request.report_id)
        assert report is not None
        better = replace(report, items=(replace(report.items[0], measured="better"), *report.items[1:]))
        better = replace(better, report_id=report_id(asdict(better)))
        assert better.is_genuine
        tx.add_gate_report(better)
        tx.add_mode_request(replace(request, request_id="by hand", report_id=better.report_id))

    assert refused(office, "by hand").refusal == Refusal.WRITTEN_BY_HAND
    assert office.state.mode is Mode.SIMULATION


def test_a_request_that_says_more_than_its_entry_is_not_approved(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office)
    request = office.asked("LIVE_MINIMAL", KIM)
    with office.ledger.transaction() as tx:
        real = tx.mode_request(request)
        assert real is not None
        tx.add_mode_request(replace(real, request_id="by hand", requested_by="lee"))

    assert "request by hand: no entry tells of it" in str(refused(office, "by hand"))


def test_a_stop_and_a_fall_are_told_and_bar_nothing(office: Office) -> None:
    office.climb(Mode.LIVE_MINIMAL)
    office.desk.lower(Rung(Mode.PAPER), reason="losses", operator="kim")
    prove(office)

    assert office.approve(office.asked("LIVE_MINIMAL")).state.mode is Mode.LIVE_MINIMAL
    with office.ledger.read() as tx:
        assert [one.kind for one in tx.mode_changes("A")][-2:] == [ChangeKind.LOWER, ChangeKind.RAISE]
