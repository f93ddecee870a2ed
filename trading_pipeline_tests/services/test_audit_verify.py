"""The audit log in a database whose files somebody changed: the product says what, where and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from trading_pipeline.domain.errors import InputError
from trading_pipeline.services.audit.custody import accept, renew_key, rotate_key
from trading_pipeline.services.audit.damage import Damage, Kind
from trading_pipeline.wiring.audit import audit_desk
from trading_pipeline.wiring.audit_reading import verify
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.audit_homes import ENTRIES, AuditHome
from trading_pipeline_tests.audit_logs import told

# ruff: noqa: S608  statements are made of constants and counts
OUTBOX_60 = "(SELECT outbox_no FROM audit_log WHERE seq = 60)"


@pytest.fixture(scope="module")
def kept_home(tmp_path_factory: pytest.TempPathFactory) -> AuditHome:
    return AuditHome.made(tmp_path_factory.mktemp("audit") / "home")


@pytest.fixture
def home(kept_home: AuditHome, tmp_path: Path) -> AuditHome:
    return kept_home.copied_to(tmp_path)


def damage_of(home: AuditHome, *kept: str) -> Damage:
    found = home.verdict(*kept).damage
    assert found is not None
    assert found.kind.meaning
    assert "audit accept" in found.advice
    return found


def test_a_log_nobody_touched_holds_up_to_its_last_entry(home: AuditHome) -> None:
    verdict = home.verdict()

    assert (verdict.is_sound, verdict.is_anchored, verdict.waiting) == (True, True, 0)
    assert verdict.entries >= ENTRIES  # and what the log tells of itself
    assert verdict.signed == verdict.anchored == verdict.entries


def test_an_empty_home_has_no_log_and_no_damage(tmp_path: Path) -> None:
    verdict = AuditHome(tmp_path).verdict()

    assert (verdict.log_id, verdict.entries, verdict.is_sound) == ("", 0, True)


AT_60 = {
    "text": ("UPDATE audit_log SET body = replace(body, 'ACME', 'EVIL') WHERE seq = 60", Kind.EDITED),
    "text that is no text": ("UPDATE audit_log SET body = x'ff00' WHERE seq = 60", Kind.UNREADABLE),
    "leaf": ("UPDATE audit_log SET leaf = upper(leaf) WHERE seq = 60", Kind.EDITED),
    "head": ("UPDATE audit_log SET head = leaf WHERE seq = 60", Kind.CHAIN),
    "kind": ("UPDATE audit_log SET kind = 'fill' WHERE seq = 60", Kind.COLUMN),
    "account": ("UPDATE audit_log SET account = 'LIVE' WHERE seq = 60", Kind.COLUMN),
    "subject": ("UPDATE audit_log SET subject = 'order-1' WHERE seq = 60", Kind.COLUMN),
    "instant": ("UPDATE audit_log SET occurred_at = '2025-06-10 00:00:00.000000' WHERE seq = 60", Kind.COLUMN),
    "instant that is none": ("UPDATE audit_log SET occurred_at = 'soon' WHERE seq = 60", Kind.UNREADABLE),
    "deleted": ("DELETE FROM audit_log WHERE seq = 60", Kind.MISSING),
    "moved to the end": ("UPDATE audit_log SET seq = 100000 WHERE seq = 60", Kind.MISSING),
    "outbox data": (f"UPDATE audit_outbox SET data = '{{}}' WHERE record_no = {OUTBOX_60}", Kind.OUTBOX),
    "outbox data no JSON": (f"UPDATE audit_outbox SET data = '{{' WHERE record_no = {OUTBOX_60}", Kind.UNREADABLE),
    "outbox actor": (f"UPDATE audit_outbox SET actor = 'nobody' WHERE record_no = {OUTBOX_60}", Kind.OUTBOX),
    "outbox row deleted": (f"DELETE FROM audit_outbox WHERE record_no = {OUTBOX_60}", Kind.NO_OUTBOX),
    "of another outbox row": ("UPDATE audit_log SET outbox_no = 100000 WHERE seq = 60", Kind.NO_OUTBOX),
}


@pytest.mark.parametrize("change", AT_60)
def test_what_was_changed_at_an_entry_is_found_there(home: AuditHome, change: str) -> None:
    statement, kind = AT_60[change]
    home.change(statement)

    found = damage_of(home)

    assert (found.kind, found.seq) == (kind, 60)
    assert found.since == (51 if kind is Kind.CHAIN else 60)


def test_two_entries_that_were_swapped_are_found_at_the_first(home: AuditHome) -> None:
    home.change(
        "UPDATE audit_log SET seq = 100000 WHERE seq = 60",
        "UPDATE audit_log SET seq = 60 WHERE seq = 80",
        "UPDATE audit_log SET seq = 80 WHERE seq = 100000",
    )

    found = damage_of(home)

    assert (found.kind, found.seq) == (Kind.MISPLACED, 60)


OF_CHECKPOINT_4 = {
    "deleted": ("DELETE FROM audit_checkpoints WHERE number = 4", Kind.CHECKPOINT),
    "text": ("UPDATE audit_checkpoints SET text = replace(text, '\"seq\":100', '\"seq\":99') WHERE number = 4",
             Kind.SIGNATURE),
    "text that is none": ("UPDATE audit_checkpoints SET text = 'x' WHERE number = 4", Kind.CHECKPOINT),
    "signature": ("UPDATE audit_checkpoints SET signature = replace(signature, 'a', 'b') WHERE number = 4",
                  Kind.SIGNATURE),
    "key": ("UPDATE audit_checkpoints SET public_key = replace(public_key, 'a', 'b') WHERE number = 4", Kind.SIGNATURE),
    "subtrees": ("UPDATE audit_checkpoints SET frontier = upper(frontier) WHERE number = 4", Kind.CHECKPOINT),
}  # fmt: skip


@pytest.mark.parametrize("change", OF_CHECKPOINT_4)
def test_what_was_changed_at_a_checkpoint_is_found(home: AuditHome, change: str) -> None:
    statement, kind = OF_CHECKPOINT_4[change]
    home.change(statement)

    found = damage_of(home)

    assert found.kind is kind
    last = {"deleted": ENTRIES + 1, "text": 99, "text that is none": 76}.get(change, 100)
    assert (found.since, found.seq) == (76, last)


def test_e47_a_cut_end_is_found_though_its_checkpoints_were_cut_too(home: AuditHome) -> None:
    home.change("DELETE FROM audit_log WHERE seq > 70", "DELETE FROM audit_checkpoints WHERE seq > 70")

    found = damage_of(home)

    assert (found.kind, found.since, found.seq) == (Kind.CUT, 51, 71)


def test_e47_an_older_copy_of_the_database_is_found(home: AuditHome, tmp_path: Path) -> None:
    older = shutil.copy(home.database, tmp_path / "older.sqlite3")
    home.tell([told(1000 + number) for number in range(30)])
    newest = home.verdict().entries
    shutil.copy(older, home.database)

    found = damage_of(home)

    assert found.kind is Kind.CUT
    assert found.seq <= newest


def test_e47_a_database_of_another_home_is_found(home: AuditHome, tmp_path: Path) -> None:
    other = AuditHome.made(tmp_path / "other", 130, "their-log")
    shutil.copy(other.database, home.database)

    found = damage_of(home)

    assert (found.kind, found.seq) == (Kind.OTHER_LOG, 1)


def test_e47_a_home_swapped_whole_is_found_by_what_a_person_kept(home: AuditHome, tmp_path: Path) -> None:
    alert = alerts_of(home)[0]
    other = AuditHome.made(tmp_path / "other", 130, "their-log")

    assert home.verdict(alert).is_sound
    assert other.verdict().is_sound
    assert other.verdict(alert).damage is not None


def alerts_of(home: AuditHome) -> list[str]:
    """What was sent to people far away."""
    workspace = home.open()
    with closing(workspace.ledger), workspace.ledger.read() as tx:
        return [
            one.message for one in tx.alerts(workspace.settings.execution.account) if one.kind == "audit_checkpoint"
        ]


def test_a_checkpoint_that_is_none_and_one_that_was_forged_are_refused(home: AuditHome) -> None:
    alert = alerts_of(home)[0]

    with pytest.raises(InputError, match="is no checkpoint"):
        home.verdict(alert[: len(alert) // 2])
    with pytest.raises(InputError, match=r"two checkpoints .* differ"):
        home.verdict(alert, alert.replace(" entry ", " entry 1"))


def _remove(path: Path) -> None:
    path.unlink()


def _cut_lines(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))


def _change_line(path: Path) -> None:
    path.write_text(path.read_text().replace('{"public_key', '{"publik_key', 1))


@pytest.mark.parametrize("change", [_remove, _cut_lines, _change_line])
def test_an_anchor_file_that_cannot_vouch_is_said(home: AuditHome, change: Callable[[Path], None]) -> None:
    change(home.anchors)

    assert damage_of(home).kind is Kind.ANCHORS


def test_what_a_crash_left_of_a_last_line_is_no_damage(home: AuditHome) -> None:
    home.anchors.write_text(home.anchors.read_text() + '{"public_key": "ab')

    assert home.verdict().is_sound


def test_another_key_in_the_folder_is_found(home: AuditHome, tmp_path: Path) -> None:
    other = AuditHome.made(tmp_path / "other", 1)
    shutil.copy(other.keys / "signing.pem", home.keys / "signing.pem")

    assert damage_of(home).kind is Kind.KEY


def test_a_key_that_is_gone_or_open_to_others_is_no_damage_and_nothing_can_be_signed(home: AuditHome) -> None:
    good = home.verdict()
    home.keys.chmod(0o755)
    opened = home.verdict()
    home.keys.chmod(0o700)
    (home.keys / "signing.pem").unlink()
    gone = home.verdict()

    assert "other users" in opened.unsigned
    assert "no signing key" in gone.unsigned
    assert [one.is_sound for one in (good, opened, gone)] == [True] * 3
    assert [one.but for one in (good, opened, gone)] == [(), ("NOTHING CAN BE SIGNED",), ("NOTHING CAN BE SIGNED",)]


def test_a_key_rotated_and_one_renewed_after_it_was_lost_go_on(home: AuditHome) -> None:
    workspace = home.open()
    with closing(workspace.ledger):
        desk = audit_desk(workspace)
        rotate_key(desk, "ann", "yearly")
        home.sequence(desk)
        (home.keys / "signing.pem").unlink()
        renewed = renew_key(desk, "bob", "the disk died").key_id
        home.sequence(desk)

    verdict = home.verdict()

    assert verdict.is_sound
    assert verdict.key_id == renewed
    assert any("bob replaced a lost signing key" in note for note in verdict.notes)


def test_what_a_person_accepted_stays_visible_and_what_comes_after_is_judged(home: AuditHome, tmp_path: Path) -> None:
    older = shutil.copy(home.database, tmp_path / "older.sqlite3")
    home.tell([told(1000 + number) for number in range(30)])
    shutil.copy(older, home.database)
    workspace = home.open()
    with closing(workspace.ledger):
        desk = audit_desk(workspace)
        accept(desk, "ann", "restored the backup of Monday")
        home.sequence(desk)
    home.tell([told(2000 + number) for number in range(30)])

    accepted = home.verdict()
    home.change("UPDATE audit_log SET body = replace(body, 'ACME', 'EVIL') WHERE seq = 140")
    after = home.verdict()

    assert accepted.is_sound
    assert [one.accepted_at is not None for one in accepted.damages] == [True]
    assert any("ann accepted" in note and "backup of Monday" in note for note in accepted.notes)
    assert after.damage is not None
    assert (after.damage.kind, after.damage.seq) == (Kind.EDITED, 140)


def test_an_entry_that_was_changed_before_it_was_accepted_does_not_hide_a_later_one(home: AuditHome) -> None:
    last = home.verdict().entries
    home.change(f"UPDATE audit_log SET head = leaf WHERE seq = {last}")
    workspace = home.open()
    with closing(workspace.ledger):
        desk = audit_desk(workspace)
        accept(desk, "ann", "a test of the disk")
        home.sequence(desk)
    accepted = home.verdict()
    home.change(f"UPDATE audit_log SET subject = 'x' WHERE seq = {last + 1}")

    assert accepted.is_sound
    assert [one.seq for one in accepted.damages] == [last]
    assert home.verdict().damage is not None


def test_hostile_and_foreign_texts_hold(tmp_path: Path) -> None:
    texts = ["=1+1", "@SUM(A1)", "\x1b[31m\u202e", '"}{,\\', "é\U0001f600\ue000", "", "\n\r\t"]
    further = {"z": "", "\U0001f600": "after by UTF-8", "\ue000": "after by UTF-16"}
    home = AuditHome(tmp_path / "home")
    home.tell([replace(told(n), subject=text, actor=text, data={text: text} | further) for n, text in enumerate(texts)])

    assert home.verdict().is_sound


def test_a_fill_changed_in_the_record_alone_is_found(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    workspace = home.open()
    with closing(workspace.ledger):
        with workspace.ledger.transaction() as tx:
            samples.record_causes(tx, 3)
            tx.add_intent(samples.INTENT)
            tx.add_order(samples.ORDER)
            tx.add_fill(samples.FILL)
        home.sequence(audit_desk(workspace))
    before = _differences(home)
    home.change("UPDATE fills SET price = price + 1")
    after = _differences(home)
    home.change("DELETE FROM fills")

    assert before == []
    assert [samples.FILL.exec_id in one for one in after] == [True]
    assert "no such fill" in _differences(home)[0]


def _differences(home: AuditHome) -> list[str]:
    workspace = home.open()
    with closing(workspace.ledger):
        found = verify(workspace, ledger=True)
    assert found.verdict.is_sound
    return [one.line for one in found.record.new]
