"""The audit log verified on both databases: what the sequencer wrote holds, whatever texts it tells of."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from trading_pipeline.adapters.audit_keys import is_signed_by
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.services.audit.damage import Kind
from trading_pipeline.services.audit.verify import Means, Verdict, verify_log
from trading_pipeline_tests.adapters.test_audit_sequencer import insert_row
from trading_pipeline_tests.audit_worlds import AuditWorld, entry


@pytest.fixture
def world(ledger: SqlLedger, tmp_path: Path) -> AuditWorld:
    return AuditWorld(ledger, tmp_path)


def verdict(world: AuditWorld) -> Verdict:
    with world.ledger.read() as tx:
        return verify_log(tx, Means(verify=is_signed_by, keys=world.keys, anchors=world.anchors))


def test_what_the_sequencer_wrote_holds(world: AuditWorld) -> None:
    world.tell_many(12)
    world.tell(
        entry("=1+1\n\x1b[31m\u202e", data='"}{,\\', **{"é\U0001f600": "\ue000", "\ue000": "\U0001f600", "": ""})
    )
    with world.ledger._engine.begin() as connection:
        insert_row(connection, "x", '{"a": "\\ud800"}' if world.ledger.place.endswith("sqlite3") else '{"a": "b"}')
    world.catch_up().end()

    found = verdict(world)

    assert (found.is_sound, found.is_anchored, found.waiting) == (True, True, 0), found.damage
    assert found.entries == found.signed == found.anchored == len(world.log())


def test_what_is_changed_behind_the_guards_is_found(world: AuditWorld) -> None:
    world.tell_many(12)
    world.catch_up().end()
    with world.ledger._engine.begin() as connection:
        if world.ledger.place.endswith("sqlite3"):
            connection.execute(text("DROP TRIGGER audit_outbox_refuses_update"))
        else:
            connection.execute(text("ALTER TABLE audit_outbox DISABLE TRIGGER ALL"))
        connection.execute(text("UPDATE audit_outbox SET actor = 'nobody' WHERE subject = 'e4'"))
    (seq,) = [one.seq for one in world.log() if one.subject == "e4"]

    found = verdict(world).damage

    assert found is not None
    assert (found.kind, found.seq, found.since) == (Kind.OUTBOX, seq, seq)


def test_what_waits_to_be_numbered_is_counted_and_no_damage(world: AuditWorld) -> None:
    world.tell_many(3)
    world.catch_up().end()
    before = verdict(world).waiting
    world.tell_many(4, "later")

    assert (verdict(world).is_sound, verdict(world).waiting - before) == (True, 4)
