"""What a person accepted is told as accepted, with who, when and why; whatever comes later is found anew."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trading_pipeline.cli.app import app
from trading_pipeline.domain.errors import AuditError, AuditKeyError
from trading_pipeline.services.audit.custody import accept, renew_key, rotate_key
from trading_pipeline.wiring.audit import audit_desk
from trading_pipeline.wiring.audit_reading import Verified, verify
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.audit_homes import AuditHome
from trading_pipeline_tests.audit_logs import told

# ruff: noqa: S608  statements are made of constants and counts
OUTBOX_60 = "(SELECT outbox_no FROM audit_log WHERE seq = 60)"
INSIDE = {
    "text": "UPDATE audit_log SET body = replace(body, 'ACME', 'EVIL') WHERE seq = 60",
    "head": "UPDATE audit_log SET head = leaf WHERE seq = 60",
    "column": "UPDATE audit_log SET kind = 'fill' WHERE seq = 60",
    "outbox": f"UPDATE audit_outbox SET data = '{{}}' WHERE record_no = {OUTBOX_60}",
    "outbox row deleted": f"DELETE FROM audit_outbox WHERE record_no = {OUTBOX_60}",
    "checkpoint": "UPDATE audit_checkpoints SET signature = replace(signature, 'a', 'b') WHERE number = 4",
    "checkpoint deleted": "DELETE FROM audit_checkpoints WHERE number = 3",
}
LATER = {
    "another text": "UPDATE audit_log SET body = replace(body, 'ACME', 'EVIL') WHERE seq = 65",
    "another column": "UPDATE audit_log SET subject = 'order-1' WHERE seq = 66",
    "the same one again": "UPDATE audit_log SET kind = 'something' WHERE seq = 60",
    "another outbox row": "UPDATE audit_outbox SET actor = 'nobody' WHERE record_no = 70",
    "an earlier entry": "UPDATE audit_log SET account = 'LIVE' WHERE seq = 5",
    "an outbox row deleted": "DELETE FROM audit_outbox WHERE record_no = 71",
    "a checkpoint": "UPDATE audit_checkpoints SET signature = replace(signature, 'a', 'b') WHERE number = 4",
    "a checkpoint's subtrees": "UPDATE audit_checkpoints SET frontier = upper(frontier) WHERE number = 4",
    "an entry after it": "UPDATE audit_log SET kind = 'fill' WHERE seq = 125",
}


@pytest.fixture(scope="module")
def kept_home(tmp_path_factory: pytest.TempPathFactory) -> AuditHome:
    return AuditHome.made(tmp_path_factory.mktemp("audit") / "home")


@pytest.fixture
def home(kept_home: AuditHome, tmp_path: Path) -> AuditHome:
    return kept_home.copied_to(tmp_path)


def accepted(home: AuditHome, reason: str = "a bad disk, mended") -> None:
    workspace = home.open()
    with closing(workspace.ledger):
        desk = audit_desk(workspace)
        accept(desk, "ann", reason)
        home.sequence(desk)


def accept_only(home: AuditHome) -> None:
    """Given, and not numbered yet."""
    workspace = home.open()
    with closing(workspace.ledger):
        accept(audit_desk(workspace), "ann", "restored")


def with_another_key(home: AuditHome, *, is_lost: bool) -> None:
    """Rotated, or, where it was lost, replaced; not numbered yet."""
    if is_lost:
        (home.keys / "signing.pem").unlink()
    workspace = home.open()
    with closing(workspace.ledger):
        (renew_key if is_lost else rotate_key)(audit_desk(workspace), "ann", "yearly")


def looked(home: AuditHome) -> Verified:
    workspace = home.open()
    with closing(workspace.ledger):
        return verify(workspace, ledger=True)


@pytest.mark.parametrize("change", INSIDE)
def test_damage_inside_of_the_log_is_accepted_and_the_log_goes_on(home: AuditHome, change: str) -> None:
    home.change(INSIDE[change])
    before = home.verdict().damage
    accepted(home)
    home.tell([told(1000 + number) for number in range(30)])

    verdict = home.verdict()

    assert before is not None
    assert verdict.damage is None, verdict.damage
    assert [one.accepted_at is not None for one in verdict.damages] == [True]
    assert any("ann accepted" in note and "a bad disk" in note for note in verdict.notes)
    assert verdict.entries == verdict.signed > 150


@pytest.fixture(scope="module")
def gone_on(kept_home: AuditHome, tmp_path_factory: pytest.TempPathFactory) -> AuditHome:
    """A log whose damage was accepted, and some more; copied, never written."""
    home = kept_home.copied_to(tmp_path_factory.mktemp("accepted"))
    home.change(INSIDE["text"])
    accepted(home)
    home.tell([told(1000 + number) for number in range(30)])
    assert home.verdict().is_sound
    return home


@pytest.mark.parametrize("change", LATER)
def test_what_is_changed_after_the_acceptance_is_not_what_was_accepted(
    gone_on: AuditHome, tmp_path: Path, change: str
) -> None:
    home = gone_on.copied_to(tmp_path)
    home.change(LATER[change])

    assert home.verdict().damage is not None


def test_what_is_changed_after_the_acceptance_can_be_accepted_anew(gone_on: AuditHome, tmp_path: Path) -> None:
    home = gone_on.copied_to(tmp_path)
    for change in ("another column", "an earlier entry", "an entry after it"):
        home.change(LATER[change])
    accepted(home, "once more")

    assert home.verdict().is_sound


def test_while_others_go_on_numbering_an_acceptance_still_is_of_what_was_seen(home: AuditHome) -> None:
    home.change(INSIDE["text"])
    workspace = home.open()
    with closing(workspace.ledger), workspace.ledger.transaction() as tx:
        for number in range(40):
            tx.add_audit(told(2000 + number))
    with closing(workspace.ledger):
        accept(audit_desk(workspace), "ann", "a bad disk")
        again = accept(audit_desk(workspace), "ann", "twice is once")
        with workspace.ledger.transaction() as tx:
            tx.add_audit(told(3000))
        home.sequence(audit_desk(workspace))

    verdict = home.verdict()

    assert again.accepted
    assert (verdict.is_sound, len(verdict.damages)) == (True, 1)
    home.change("UPDATE audit_log SET subject = 'x' WHERE seq = 130")
    assert home.verdict().damage is not None


def test_a_record_that_differs_is_accepted_as_it_differs_now(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    workspace = home.open()
    with closing(workspace.ledger):
        with workspace.ledger.transaction() as tx:
            samples.record_causes(tx, 3)
            tx.add_intent(samples.INTENT)
            tx.add_order(samples.ORDER)
            tx.add_fill(samples.FILL)
        home.sequence(audit_desk(workspace))
    home.change("UPDATE fills SET price = price + 1")
    before = command(home, "verify", "--ledger", code=3)
    shown = command(home, "accept", "--reason", "told by the broker", "--operator", "ann")
    waiting = command(home, "verify", "--ledger")
    home.tell([])
    after = command(home, "verify", "--ledger")
    told_after = json.loads(command(home, "verify", "--ledger", "--json").output)
    home.change("UPDATE fills SET price = price + 1")
    later = looked(home)

    assert "DAMAGED (record)" in before.output
    assert samples.FILL.exec_id in shown.output
    assert "in an entry that waits for its number: told by the broker" in waiting.output
    assert "accepted by ann in entry" in after.output
    assert "told by the broker" in after.output
    assert (told_after["ok"], told_after["differences"], len(told_after["accepted_differences"])) == (True, [], 1)
    assert [samples.FILL.exec_id in one.subject for one in later.record.new] == [True]


def test_after_a_restore_nothing_is_reported_for_ever(home: AuditHome, tmp_path: Path) -> None:
    older = shutil.copy(home.database, tmp_path / "older.sqlite3")
    home.tell([told(1000 + number) for number in range(30)])
    shutil.copy(older, home.database)
    accepted(home, "restored the backup of Monday")
    home.tell([told(2000)])

    found = looked(home)

    assert (found.is_sound, found.record.new) == (True, ())


@pytest.mark.parametrize("change", ["rotated", "lost", "lost before it is accepted", "lost after it was accepted"])
def test_a_backup_from_before_another_key_is_accepted_too(home: AuditHome, tmp_path: Path, change: str) -> None:
    older = shutil.copy(home.database, tmp_path / "older.sqlite3")
    if change in {"rotated", "lost"}:
        with_another_key(home, is_lost=change == "lost")
        home.tell([told(1000)])
    shutil.copy(older, home.database)
    if change == "lost before it is accepted":
        home.tell([told(1000)])
        shutil.copy(older, home.database)
        with_another_key(home, is_lost=True)
    if change == "lost after it was accepted":
        home.tell([told(1000)])
        shutil.copy(older, home.database)
        accept_only(home)
        with_another_key(home, is_lost=True)
    else:
        accept_only(home)
    home.tell([told(2000)])

    verdict = home.verdict()

    assert verdict.is_sound, verdict.damage
    assert any("ann accepted" in note for note in verdict.notes)


def test_what_was_accepted_while_no_key_was_there_can_be_accepted_anew(home: AuditHome, tmp_path: Path) -> None:
    older = shutil.copy(home.database, tmp_path / "older.sqlite3")
    with_another_key(home, is_lost=False)
    home.tell([told(1000)])
    shutil.copy(older, home.database)
    key = shutil.move(home.keys / "signing.pem", tmp_path / "signing.pem")
    accept_only(home)
    shutil.move(key, home.keys / "signing.pem")
    home.tell([told(2000)])
    assert home.verdict().damage is not None
    accepted(home, "the key was elsewhere")

    verdict = home.verdict()

    assert verdict.is_sound, verdict.damages
    assert any("the key was elsewhere" in note for note in verdict.notes)


def test_who_accepts_a_restore_does_not_take_on_any_other_key(home: AuditHome, tmp_path: Path) -> None:
    older = shutil.copy(home.database, tmp_path / "older.sqlite3")
    home.tell([told(1000)])
    shutil.copy(older, home.database)
    other = AuditHome.made(tmp_path / "other", 1)
    shutil.copy(other.keys / "signing.pem", home.keys / "signing.pem")
    accept_only(home)

    with pytest.raises(AuditKeyError, match="Put the right key back"):
        home.tell([told(2000)])


def test_a_sound_log_has_nothing_to_accept(home: AuditHome) -> None:
    workspace = home.open()
    with closing(workspace.ledger), pytest.raises(AuditError, match="nothing to accept"):
        accept(audit_desk(workspace), "ann", "just so")


def test_a_wrong_key_is_not_accepted_but_put_back(home: AuditHome, tmp_path: Path) -> None:
    other = AuditHome.made(tmp_path / "other", 1)
    shutil.copy(other.keys / "signing.pem", home.keys / "signing.pem")
    workspace = home.open()

    with closing(workspace.ledger), pytest.raises(AuditError, match="Put the right key back"):
        accept(audit_desk(workspace), "ann", "just so")


def command(home: AuditHome, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["--home", str(home.home), "audit", *words])
    assert done.exit_code == code, done.output
    return done
