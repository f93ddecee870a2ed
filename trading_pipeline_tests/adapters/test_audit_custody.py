"""What a person does about the audit log: accept, rotate, renew; and what nobody may do unseen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import text

from trading_pipeline.adapters.audit_anchors import JsonLinesAnchors
from trading_pipeline.adapters.audit_keys import KeyFolder, is_signed_by
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.audit import Why, key_id_of
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import AuditError, AuditKeyError, AuditMismatch, InputError
from trading_pipeline.services.audit import custody
from trading_pipeline.services.audit.standing import overdue_alert, read_standing
from trading_pipeline_tests.audit_worlds import START, AuditWorld, entry, require_whole

TAMPERED = {
    "the newest checkpoint was removed": "DELETE FROM audit_checkpoints WHERE number = 2",
    "all was removed": "DELETE FROM audit_checkpoints; DELETE FROM audit_log",
    "the last entry was removed": "DELETE FROM audit_log WHERE seq = 8",
    "a signature was changed": "UPDATE audit_checkpoints SET signature = 'ab' WHERE number = 2",
    "a checkpoint's text is none": "UPDATE audit_checkpoints SET text = '{}' WHERE number = 2",
    "another key signed": "UPDATE audit_checkpoints SET public_key = signature WHERE number = 2",
    "the log has another name": "UPDATE audit_logs SET log_id = 'fedcba9876543210'",
}


@pytest.fixture
def world(empty_file: Path, tmp_path: Path) -> Iterator[AuditWorld]:
    """On SQLite alone: what is judged here has left the database."""
    shutil.copy(empty_file, tmp_path / "ledger.sqlite3")
    world = AuditWorld(SqlLedger(default_url(tmp_path)), tmp_path)
    world.tell_many(7)
    world.catch_up().end()
    yield world
    world.ledger.close()


def tamper(world: AuditWorld, statements: str) -> None:
    """As somebody does who may do everything in the database."""
    with world.ledger._engine.begin() as connection:
        for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements.split("; "):
            connection.execute(text(statement))


@pytest.mark.parametrize("what", TAMPERED)
def test_e47_a_log_that_does_not_continue_its_anchors_is_refused(world: AuditWorld, what: str) -> None:
    tamper(world, TAMPERED[what])

    with pytest.raises(AuditMismatch, match="audit accept"):
        world.sequencer().step()
    (alert,) = world.alerts("audit_mismatch")
    assert alert.level.value == "CRITICAL"


@pytest.mark.parametrize("what", ["edit", "delete", "reorder", "insert"])
def test_e47_an_entry_after_the_newest_checkpoint_that_does_not_follow_is_refused(world: AuditWorld, what: str) -> None:
    world.tell_many(5, "late")
    sequencer = world.sequencer()
    sequencer.step()
    sequencer.step()  # two batches, the last checkpoint at entry 10, and is gone
    tamper(world, {
        "edit": "UPDATE audit_log SET body = replace(body, 'late3', 'lateX') WHERE seq = 12",
        "delete": "DELETE FROM audit_log WHERE seq = 12",
        "reorder": "UPDATE audit_log SET seq = 99 WHERE seq = 12; UPDATE audit_log SET seq = 12 WHERE seq = 11; "
        "UPDATE audit_log SET seq = 11 WHERE seq = 99",
        "insert": "UPDATE audit_log SET seq = 14 WHERE seq = 13; INSERT INTO audit_log SELECT 13, 99, body, leaf, head,"
        " kind, account, subject, occurred_at FROM audit_log WHERE seq = 12",
    }[what])  # fmt: skip

    with pytest.raises(AuditMismatch, match=r"entry 1[123]"):
        world.sequencer().step()


@pytest.mark.parametrize("what", [*TAMPERED, "the file was cut", "the file is gone", "the file is another one"])
def test_once_a_person_has_accepted_it_the_log_goes_on_and_says_so(world: AuditWorld, what: str) -> None:
    file = world.folder / "elsewhere" / "anchors.jsonl"
    if what in TAMPERED:
        tamper(world, TAMPERED[what])
    elif what == "the file is another one":
        file.write_text("nothing that anybody can read\n")
    else:
        world.tell_many(3)
        world.catch_up().end()
        file.write_bytes(file.read_bytes().split(b"\n")[0] + b"\n" if what == "the file was cut" else b"")
    world.tell_many(4, "after")
    with pytest.raises(AuditMismatch):
        world.sequencer().step()

    found = custody.accept(world.desk, " Ada ", "the disk died; restored from the backup of noon")
    again = custody.accept(world.desk, "Ada", "twice is once")
    world.wait(1)
    world.catch_up().end()

    assert found.name == again.name
    assert found.accepted
    (told,) = [one for one in world.log() if one.kind == "audit_accepted"]
    assert '"actor":"Ada"' in told.body
    assert any('"why":"accepted"' in one.text for one in world.checkpoints())
    assert {"after0", "after1", "after2", "after3"} <= set(world.subjects())
    with pytest.raises(AuditError, match="move it away" if what == "the file is another one" else "nothing to accept"):
        custody.accept(world.desk, "Ada", "again")
    world.tell_many(1, "later")
    world.catch_up().end()  # and is no mismatch after that


def test_an_acceptance_is_of_one_state_alone(world: AuditWorld) -> None:
    tamper(world, "DELETE FROM audit_checkpoints WHERE number = 2")
    custody.accept(world.desk, "Ada", "seen")
    tamper(world, "DELETE FROM audit_log WHERE seq = 8")

    with pytest.raises(AuditMismatch):
        world.sequencer().step()


@pytest.mark.parametrize(("operator", "reason"), [("", "why"), ("Ada", "  ")])
def test_whoever_acts_is_named_and_says_why(world: AuditWorld, operator: str, reason: str) -> None:
    for act in (custody.accept, custody.rotate_key, custody.renew_key):
        with pytest.raises(InputError, match="is empty"):
            act(world.desk, operator, reason)


def test_a_rotated_key_is_named_by_the_one_before_it(world: AuditWorld) -> None:
    old = world.keys.present()
    following = custody.rotate_key(world.desk, "Ada", "yearly")
    world.catch_up().end()
    world.tell_many(2)
    world.catch_up().end()

    rotation = next(one for one in world.checkpoints() if one.checkpoint.why == "rotation")
    after = world.checkpoints()[-1]
    assert bytes.fromhex(rotation.public_key) == old
    assert key_id_of(bytes.fromhex(rotation.checkpoint.next_key)) == following == after.checkpoint.key_id
    assert custody.key_state(world.desk).is_right
    require_whole(world)


def test_a_rotation_that_is_asked_for_twice_is_one_and_the_key_is_the_one_that_was_told(world: AuditWorld) -> None:
    asked = [custody.rotate_key(world.desk, name, "yearly") for name in ("Ada", "Bob")]
    world.catch_up().end()
    world.tell_many(2)
    world.catch_up().end()

    assert asked == [custody.key_state(world.desk).key_id] * 2
    assert [one.checkpoint.why for one in world.checkpoints()].count(Why.ROTATION) == 1
    assert custody.rotate_key(world.desk, "Ada", "once more") not in asked


def test_a_crash_between_the_rotations_checkpoint_and_the_exchange_of_keys_is_mended(world: AuditWorld) -> None:
    class NeverPromotes(KeyFolder):
        def promote_next(self, public_key: bytes) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    desk = replace(world.desk, keys=NeverPromotes(world.folder / "keys"))
    custody.rotate_key(desk, "Ada", "yearly")
    with pytest.raises(KeyboardInterrupt):
        world.catch_up(world.sequencer(desk))

    world.tell_many(2)
    world.catch_up().end()

    assert custody.key_state(world.desk).is_right
    require_whole(world)


def test_a_lost_key_stops_the_log_until_a_person_renews_it(world: AuditWorld) -> None:
    (world.folder / "keys" / "signing.pem").unlink()
    world.tell_many(2)
    with pytest.raises(AuditKeyError, match=r"is missing.*audit keys renew"):
        world.sequencer().step()

    made = custody.renew_key(world.desk, "Ada", "the disk with the key died").key_id
    world.catch_up().end()

    renewal = next(one.checkpoint for one in world.checkpoints() if one.checkpoint.why == "renewal")
    assert renewal.key_id == made
    assert any(one.kind == "audit_key_renewed" for one in world.log())
    require_whole(world)


def test_a_key_that_is_here_is_renewed_by_rotation_alone(world: AuditWorld) -> None:
    old = world.keys.present()
    renewal = custody.renew_key(world.desk, "Ada", "yearly")
    still = world.keys.present()
    world.catch_up().end()

    rotation = next(one for one in world.checkpoints() if one.checkpoint.why == "rotation")
    assert (renewal.is_signed_over, still) == (True, old)
    assert bytes.fromhex(rotation.public_key) == old
    assert key_id_of(bytes.fromhex(rotation.checkpoint.next_key)) == renewal.key_id
    assert not any(one.kind == "audit_key_renewed" for one in world.log())


def test_a_key_that_others_could_read_is_not_taken_for_lost(world: AuditWorld) -> None:
    (world.folder / "keys" / "signing.pem").chmod(0o644)

    with pytest.raises(AuditKeyError, match="chmod 600"):
        custody.renew_key(world.desk, "Ada", "somebody may have had it")
    (world.folder / "keys" / "signing.pem").chmod(0o600)
    assert custody.renew_key(world.desk, "Ada", "somebody may have had it").is_signed_over


@pytest.mark.parametrize("text_of_file", [b"", b"no key"])
def test_a_file_that_holds_no_key_is_a_lost_key(world: AuditWorld, text_of_file: bytes) -> None:
    (world.folder / "keys" / "signing.pem").write_bytes(text_of_file)

    renewal = custody.renew_key(world.desk, "Ada", "the disk garbled it")
    world.catch_up().end()

    assert not renewal.is_signed_over
    require_whole(world)


def test_a_renewal_after_a_crash_in_a_rotation_goes_on_with_the_key_that_was_named(world: AuditWorld) -> None:
    named = custody.rotate_key(world.desk, "Ada", "yearly")
    kept = {file.name: file.read_bytes() for file in (world.folder / "keys").glob("*.pem")}
    world.catch_up().end()
    for name, text_of_file in kept.items():
        (world.folder / "keys" / name).write_bytes(text_of_file)
        (world.folder / "keys" / name).chmod(0o600)
    (world.folder / "keys" / "signing.pem").unlink()

    renewal = custody.renew_key(world.desk, "Ada", "it seems to be lost")

    assert (renewal.is_signed_over, renewal.before) == (True, named)


def test_another_key_in_its_place_is_refused(world: AuditWorld) -> None:
    other = KeyFolder(world.folder / "other")
    other.create()
    (world.folder / "other" / "signing.pem").replace(world.folder / "keys" / "signing.pem")
    world.tell_many(2)

    with pytest.raises(AuditKeyError, match=r"the audit key is [0-9a-f]{16}, and the log was signed with"):
        world.sequencer().step()
    with pytest.raises(AuditKeyError, match="may not name the next one"):
        custody.rotate_key(world.desk, "Ada", "yearly")


def test_a_key_that_is_exchanged_under_a_running_sequencer_signs_nothing(world: AuditWorld) -> None:
    running = world.catch_up()
    (world.folder / "keys" / "signing.pem").unlink()
    world.keys.create()
    world.tell_many(3)

    for message in ("was exchanged", "was signed with"):
        with pytest.raises(AuditKeyError, match=message):
            world.catch_up(running)


@pytest.mark.parametrize("name", ["signing.pem", ""])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o755])
def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, name: str, mode: int
) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.create()
    (tmp_path / "keys" / name).chmod(mode)

    with pytest.raises(AuditKeyError, match=f"mode {mode:o}.*chmod {'600' if name else '700'}"):
        keys.sign(b"message")


@pytest.mark.parametrize(
    "text_of_file", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, text_of_file: bytes) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.create()
    (tmp_path / "keys" / "signing.pem").write_bytes(text_of_file)

    with pytest.raises(AuditKeyError, match=r"signing.pem is no private key in PEM"):
        keys.present()


def test_a_key_of_another_kind_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    keys, file = KeyFolder(tmp_path / "keys"), tmp_path / "keys" / "signing.pem"
    keys.create()
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(pem)
    with pytest.raises(AuditKeyError, match="is no Ed25519 key"):
        keys.present()
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(AuditKeyError, match="cannot be read"):
        keys.present()


def test_a_key_is_made_for_its_owner_alone_and_only_once(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys = KeyFolder(tmp_path / "keys")
        raw = keys.create()
    finally:
        os.umask(before)

    assert keys.present() == raw
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "keys", *(tmp_path / "keys").iterdir()]}
    assert modes == {"keys": 0o700, "signing.pem": 0o600, f"{key_id_of(raw)}.pub.pem": 0o600}
    with pytest.raises(AuditKeyError, match="there already"):
        keys.create()


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 32])
@pytest.mark.parametrize("signature", [b"", b"y" * 64])
def test_nothing_that_is_no_signature_passes_for_one(key: bytes, signature: bytes) -> None:
    assert not is_signed_by(key, b"message", signature)


def test_an_entry_that_waits_too_long_is_an_alarm_whoever_is_dead(world: AuditWorld) -> None:
    world.tell(replace(entry("late"), occurred_at=world.clock.now()))

    early = overdue_alert(world.desk, read_standing(world.ledger, world.clock.now()), world.clock.now(), 300)
    world.wait(301)
    standing = read_standing(world.ledger, world.clock.now())
    late = overdue_alert(world.desk, standing, world.clock.now(), 300)

    assert early is None
    assert (standing.waiting, standing.leader, standing.checkpoint) == (1, "", 2)
    assert late is not None
    assert (late.kind, late.level.value) == ("checkpoint_overdue", "CRITICAL")
    assert "nobody numbers: trading-pipeline relay run" in late.message
    world.catch_up().end()
    assert overdue_alert(world.desk, read_standing(world.ledger, world.clock.now()), world.clock.now(), 300) is None


def test_what_happened_last_year_by_the_clock_of_its_session_has_not_waited_since(world: AuditWorld) -> None:
    world.wait(86_400 * 300)
    world.tell_many(1, "today")
    world.catch_up().end()
    world.tell(replace(entry("replayed"), occurred_at=START))

    standing = read_standing(world.ledger, world.clock.now())

    assert standing.waiting == 2
    assert standing.open_since == world.clock.now()


def test_a_key_that_is_lost_is_cried_out_once_a_day(world: AuditWorld) -> None:
    (world.folder / "keys" / "signing.pem").unlink()
    for _ in range(2):
        with pytest.raises(AuditKeyError):
            world.sequencer().step()

    (alert,) = world.alerts("audit_key_wrong")
    assert (alert.level, "audit keys renew" in alert.message) == (AlertLevel.CRITICAL, True)


def test_an_anchor_file_that_is_a_device_is_refused_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "anchors.jsonl").symlink_to("/dev/zero")

    with pytest.raises(AuditError, match="it is no regular file"):
        list(JsonLinesAnchors(tmp_path / "anchors.jsonl").lines())
