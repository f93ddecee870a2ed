"""Somebody with the database file who wants the log to stand still, to hide an entry, or to accept as another."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trading_pipeline.domain.errors import AuditError
from trading_pipeline.services.audit.sequencer import Sequencer
from trading_pipeline.services.audit.standing import AuditStanding, read_standing
from trading_pipeline.wiring.audit import audit_desk
from trading_pipeline.wiring.audit_reading import verify
from trading_pipeline_tests.audit_homes import RULES, AuditHome
from trading_pipeline_tests.audit_logs import told

# ruff: noqa: S608  statements are made of constants
LAST = "(SELECT max(seq) FROM audit_log)"
NEWEST = "(SELECT max(number) FROM audit_checkpoints)"
OUTBOX = "INSERT INTO audit_outbox (occurred_at, kind, account, subject, actor, data) VALUES "
AT = "2025-06-10 14:00:00.000000"
POISON = {
    "an instant of the last entry": f"UPDATE audit_log SET occurred_at = 'soon' WHERE seq = {LAST}",
    "bytes as its text": f"UPDATE audit_log SET body = x'ff00' WHERE seq = {LAST}",
    "bytes as its head": f"UPDATE audit_log SET head = x'00ff' WHERE seq = {LAST}",
    "bytes as a checkpoint": f"UPDATE audit_checkpoints SET text = x'ff' WHERE number = {NEWEST}",
    "bytes as the log's name": "UPDATE audit_logs SET log_id = x'ff'",
    "an instant of an outbox row": f"{OUTBOX} ('soon', 'fill', 'SIM', 'x', 'us', '{{}}')",
    "data that are no JSON": f"{OUTBOX} ('{AT}', 'fill', 'SIM', 'x', 'us', '{{')",
    "data without a bottom": f"{OUTBOX} ('{AT}', 'fill', 'SIM', 'x', 'us', '{'[' * 5000}')",
}


@pytest.fixture(scope="module")
def kept_home(tmp_path_factory: pytest.TempPathFactory) -> AuditHome:
    return AuditHome.made(tmp_path_factory.mktemp("audit") / "home", 30)


@pytest.fixture
def home(kept_home: AuditHome, tmp_path: Path) -> AuditHome:
    return kept_home.copied_to(tmp_path)


def alarms(home: AuditHome) -> list[str]:
    workspace = home.open()
    with closing(workspace.ledger), workspace.ledger.read() as tx:
        return [f"{one.level.value}: {one.message}" for one in tx.alerts("SIM") if one.kind == "audit_mismatch"]


def standing(home: AuditHome) -> AuditStanding:
    workspace = home.open()
    with closing(workspace.ledger):
        return read_standing(workspace.ledger, datetime.now(UTC))


@pytest.mark.parametrize("poison", POISON)
def test_a_row_that_cannot_be_read_ends_no_process_and_is_cried_out(home: AuditHome, poison: str) -> None:
    home.change(POISON[poison])
    workspace = home.open()
    with closing(workspace.ledger):
        sequencer = Sequencer(audit_desk(workspace), RULES, lambda: "our-log")
        with pytest.raises(AuditError):  # and nothing else: the relay tells it, and lives
            sequencer.step()
        found = verify(workspace, ledger=True)

    assert not found.is_sound
    assert [one.startswith("CRITICAL") for one in alarms(home)] == [True]


def test_what_waits_and_cannot_be_read_is_overdue(home: AuditHome) -> None:
    home.change(POISON["an instant of an outbox row"])

    assert standing(home).is_overdue(datetime.now(UTC) + timedelta(seconds=330), 300)


def test_data_that_are_no_texts_are_logged_as_a_text(home: AuditHome) -> None:
    for data in ("[1]", "null", '"x"', '{"a": NaN, "b": 1e400, "c": {"d": [null]}}', "12345678901234567890"):
        home.change(f"{OUTBOX} ('{AT}', 'order_status', 'SIM', 'x', 'us', '{data}')")
    home.tell([told(500)])

    verdict = home.verdict()

    assert (verdict.is_sound, verdict.waiting) == (True, 0)


def test_a_row_beside_the_log_hides_nothing_that_is_told_later(home: AuditHome) -> None:
    """It would have taken the number of an outbox row that is still to come, and so kept it out of the log."""
    home.change(
        "PRAGMA ignore_check_constraints = 1",
        f"INSERT INTO audit_log SELECT -1, (SELECT max(record_no) + 1 FROM audit_outbox), body, leaf, head, kind, "
        f"account, subject, occurred_at FROM audit_log WHERE seq = {LAST}",
    )
    workspace = home.open()
    with closing(workspace.ledger):
        with workspace.ledger.transaction() as tx:
            tx.add_audit(told(777))
        waiting = standing(home).waiting
        with workspace.ledger.read() as tx:
            unlogged = [entry.subject for _, entry in tx.unlogged()]
    damage = home.verdict().damage

    assert (waiting, unlogged) == (1, ["order-777"])
    assert damage is not None
    assert "Entry -1" in damage.seen


def test_an_acceptance_that_somebody_wrote_by_hand_is_told_to_people(home: AuditHome) -> None:
    for kind in ("audit_accepted", "audit_record_accepted", "audit_key_renewed"):
        home.change(f"{OUTBOX} ('{AT}', '{kind}', 'SIM', 'x', 'kim', '{{\"reason\": \"trust me\"}}')")
    home.tell([])

    assert len(alarms(home)) == 3
    assert all("in the name of kim (trust me)" in one and one.startswith("CRITICAL") for one in alarms(home))


def test_a_fill_or_an_approval_that_says_nothing_is_a_difference_and_no_crash(home: AuditHome) -> None:
    for kind in ("fill", "mode_approved", "mode_changed", "operator_added", "operator_password_set"):
        home.change(f"{OUTBOX} ('{AT}', '{kind}', 'SIM', 'x', 'us', '{{}}')")
    home.tell([])
    workspace = home.open()
    with closing(workspace.ledger):
        found = verify(workspace, ledger=True)

    assert found.verdict.is_sound
    assert {one.subject for one in found.record.new} == {"fill x", "mode of SIM", "operator x"}
