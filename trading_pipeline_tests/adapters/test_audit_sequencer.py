"""The sequencer: every entry of the outbox once, in one chain, whoever else writes and whatever ends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, text

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.audit import MODE_CHANGED, read_body
from trading_pipeline.domain.audit_rules import AuditRules
from trading_pipeline.domain.errors import AuditError, AuditMismatch, LeaseLost, LedgerConflict, LedgerUnavailable
from trading_pipeline.ports.audit import AuditLedger, AuditTransaction
from trading_pipeline_tests.audit_worlds import START, AuditWorld, entry, led, require_whole
from trading_pipeline_tests.postgres import postgres


@pytest.fixture
def world(ledger: SqlLedger, tmp_path: Path) -> AuditWorld:
    return AuditWorld(ledger, tmp_path)


def test_entries_get_their_number_in_the_order_they_were_told_and_are_covered(world: AuditWorld) -> None:
    world.tell_many(7)

    world.catch_up().end()

    assert world.subjects() == [f"e{number}" for number in range(7)]
    assert world.whys() == ["entries 5", "stop 8"]  # the eighth tells of the alert that carries the first one out
    assert [read_body(one.body)["recorded_at"] for one in world.log()] == ["2025-03-10T14:00:00.000000Z"] * 8
    require_whole(world)


def test_a_checkpoint_comes_a_minute_after_the_first_entry_without_one(world: AuditWorld) -> None:
    sequencer = world.catch_up()
    sequencer.step()
    world.tell(entry("a"))
    world.catch_up(sequencer)
    world.wait(59)
    world.catch_up(sequencer)
    before = len(world.checkpoints())

    world.wait(1)
    world.catch_up(sequencer)

    assert len(world.checkpoints()) == before + 1
    assert world.whys()[-1] == "time 2"
    world.wait(3600)
    world.catch_up(sequencer)
    assert world.whys()[-1] == "time 2"  # nothing happened: nothing is signed


def test_a_change_of_mode_has_its_checkpoint_at_once(world: AuditWorld) -> None:
    world.tell(entry("a"), entry("b", MODE_CHANGED), entry("c"))

    world.catch_up()

    assert "mode 2" in world.whys()
    require_whole(world)


def test_every_checkpoint_is_in_the_file_and_the_first_of_a_day_goes_out_as_an_alert(world: AuditWorld) -> None:
    world.tell_many(12)
    sequencer = world.catch_up()
    world.wait(86_400)
    world.tell_many(5, "next day")
    world.catch_up(sequencer).end()

    assert list(world.anchors.lines()) == list(world.checkpoints())
    first, second = world.alerts("audit_checkpoint")
    assert (first.data["text"], second.data["number"]) == (world.checkpoints()[0].text, "3")
    assert len(first.message) <= 306  # two text messages
    assert first.data["head"] in first.message
    assert first.data["root"] in first.message


def test_a_restarted_sequencer_goes_on_where_the_log_ends(world: AuditWorld) -> None:
    world.tell_many(4)
    world.catch_up()  # and is gone without a last checkpoint
    world.tell_many(4, "f")

    world.catch_up().end()

    require_whole(world)
    assert len(world.subjects()) == 8


def test_a_log_without_an_entry_is_signed_too(world: AuditWorld) -> None:
    world.catch_up()

    assert world.whys() == ["start 0"]


def test_two_sequencers_cannot_fork_the_log(world: AuditWorld) -> None:
    """Without any lease: the numbers themselves are the last guard."""
    world.tell_many(2)
    first, second = world.catch_up(world.catch_up()), world.sequencer()
    second.step()
    world.tell_many(1, "x")
    world.catch_up(first)
    world.tell_many(1, "y")

    with pytest.raises(LedgerConflict, match=r"ends at entry 4, and this sequencer left it at 3"):
        world.catch_up(second)
    world.catch_up(second)  # it looks at the end anew, and goes on from there
    world.tell_many(1, "z")
    with pytest.raises(LedgerConflict):
        world.catch_up(first)
    require_whole(world)


def test_only_one_holds_the_lease_and_a_stale_sequencer_writes_nothing(world: AuditWorld) -> None:
    stale = led(world, "first", seconds=1)
    stale.ledger._now = world.clock.now
    working = stale.sequencer()
    stale.tell_many(1)
    stale.catch_up(working)
    with world.ledger.transaction() as tx:
        assert tx.take_lease("audit", "second", world.clock.now(), 30) is None
    world.wait(2)
    fresh = led(world, "second")
    fresh.ledger._now = world.clock.now
    world.tell_many(2, "late")

    with pytest.raises(LeaseLost):
        stale.catch_up(working)

    assert world.subjects() == ["e0"]
    fresh.catch_up().end()
    require_whole(world)


def test_taking_the_lease_tells_the_log_nothing(world: AuditWorld) -> None:
    led(world, "first")

    with world.ledger.read() as tx:
        assert tx.audit_entries() == []


def test_a_file_that_cannot_be_written_stops_the_signing_and_not_the_numbering(world: AuditWorld) -> None:
    world.tell_many(2)
    (world.folder / "elsewhere").write_text("in the way")
    sequencer = world.sequencer()

    for _ in range(3):
        with pytest.raises(AuditError, match=r"anchors.jsonl cannot be"):
            sequencer.step()
    assert world.log() == []  # it cannot even be looked at
    (world.folder / "elsewhere").unlink()
    world.catch_up(sequencer)
    (world.folder / "elsewhere" / "anchors.jsonl").rename(world.folder / "kept")
    (world.folder / "elsewhere" / "anchors.jsonl").mkdir()
    world.tell_many(12, "more")
    for _ in range(6):
        with pytest.raises(AuditError, match=r"anchors.jsonl cannot be written"):
            sequencer.step()
    assert len(world.subjects()) == 14
    (world.folder / "elsewhere" / "anchors.jsonl").rmdir()
    (world.folder / "kept").rename(world.folder / "elsewhere" / "anchors.jsonl")
    world.catch_up(sequencer).end()
    assert list(world.anchors.lines()) == list(world.checkpoints())
    require_whole(world)


def test_a_last_line_that_a_crash_cut_is_written_again(world: AuditWorld) -> None:
    world.tell_many(3)
    world.catch_up().end()
    file = world.folder / "elsewhere" / "anchors.jsonl"
    whole = file.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in (last, last + 1, len(whole) - 1):
        file.write_bytes(whole[:cut])

        world.catch_up().end()

        assert file.read_bytes() == whole


def test_a_line_that_the_disk_took_without_saying_so_is_not_written_twice(
    world: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_opened: int) -> None:
        raise OSError(5, "Input/output error")

    world.tell_many(2)
    world.keys.create()
    sequencer = world.sequencer()
    monkeypatch.setattr("trading_pipeline.adapters.audit_anchors.os.fsync", failing)
    with pytest.raises(AuditError, match="Input/output error"):
        world.catch_up(sequencer)
    monkeypatch.undo()
    assert len(list(world.anchors.lines())) == 1

    world.catch_up(sequencer).end()

    assert list(world.anchors.lines()) == list(world.checkpoints())


@dataclass(frozen=True)
class Silent:
    """A ledger whose connection breaks after the commits of these numbers: nobody is told that they took place."""

    ledger: AuditLedger
    broken: set[int]
    commits: list[int]

    @contextmanager
    def transaction(self) -> Iterator[AuditTransaction]:
        with self.ledger.transaction() as tx:
            yield tx
        self.commits.append(1)
        if len(self.commits) in self.broken:
            raise LedgerUnavailable("the connection is lost")

    def read(self) -> AbstractContextManager[AuditTransaction]:
        return self.ledger.read()


@pytest.mark.parametrize("number", range(1, 7))
def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_made_twice(world: AuditWorld, number: int) -> None:
    world.tell_many(7)
    sequencer = world.sequencer(replace(world.desk, ledger=Silent(world.ledger, {number}, [])))

    with pytest.raises(LedgerUnavailable):
        world.catch_up(world.catch_up(sequencer)).end()
    world.catch_up(sequencer).end()

    assert sorted(world.subjects()) == [f"e{number}" for number in range(7)]
    assert list(world.anchors.lines()) == list(world.checkpoints())
    require_whole(world)


@pytest.mark.parametrize("size", [1, 200])
def test_a_batch_of_any_size_makes_the_same_log(ledger: SqlLedger, tmp_path: Path, size: int) -> None:
    world = AuditWorld(ledger, tmp_path, AuditRules(checkpoint_entries=4, batch_entries=size))
    world.tell_many(9)

    world.catch_up().end()

    assert world.whys()[:2] == ["entries 4", "entries 8"]
    require_whole(world)


def test_a_lone_surrogate_in_a_name_holds_nothing_up(world: AuditWorld) -> None:
    with world.ledger._engine.begin() as connection:
        insert_row(connection, "x", '{"a": "\\ud800"}' if world.ledger.place.endswith("sqlite3") else "{}")
    world.tell_many(2)

    world.catch_up().end()

    require_numbers(world)


def require_numbers(world: AuditWorld) -> None:
    assert [one.seq for one in world.log()] == list(range(1, len(world.log()) + 1))


def insert_row(connection: Connection, subject: str, data: str = "{}", at: datetime = START) -> None:
    """As somebody writes who does not wait for the ledger's other writers."""
    connection.execute(
        text("INSERT INTO audit_outbox (occurred_at, kind, account, subject, actor, data) "
             "VALUES (:at, 'fill', 'SIM', :subject, 'us', :data)"),
        {"at": at.strftime("%Y-%m-%d %H:%M:%S.%f"), "subject": subject, "data": data},
    )  # fmt: skip


acts = st.lists(
    st.tuples(st.sampled_from(["write", "write", "commit", "undo", "step"]), st.integers(0, 3)), max_size=14
)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> AuditWorld:
    """A log on PostgreSQL, where transactions overlap."""
    url = postgres().database()
    return AuditWorld(SqlLedger.open(url), tmp_path_factory.mktemp("busy"), AuditRules(batch_entries=2))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=acts)
def test_whatever_the_order_of_commits_every_entry_is_logged_once(
    busy: AuditWorld, acts: list[tuple[str, int]]
) -> None:
    """Numbers are drawn before the commit: a lower one may be seen later than a higher one, or never."""
    engine = create_engine(busy.ledger._engine.url)
    sequencer, writers = busy.sequencer(), [engine.connect() for _ in range(4)]
    before = len(busy.log())
    for number, (act, who) in enumerate(acts):
        if act == "write":
            insert_row(writers[who], f"{before}-{number}")
        elif act == "step":
            for _ in range(2):
                busy.wait(11)
                busy.catch_up(sequencer)
        else:
            writers[who].commit() if act == "commit" else writers[who].rollback()
    for writer in writers:
        writer.commit()
        writer.close()
    engine.dispose()
    busy.catch_up(sequencer).end()

    with busy.ledger.read() as tx:
        written = {no for no, _ in tx.audit_entries(limit=1_000_000)}
    assert {one.outbox_no for one in busy.log()} == written
    require_whole(busy)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_number_that_comes_long_after_higher_ones_is_found(
    ledger: SqlLedger, tmp_path: Path, restarted: bool
) -> None:
    world = AuditWorld(ledger, tmp_path)
    if world.ledger.place.endswith("sqlite3"):
        pytest.skip("one writer at a time: numbers are given out in the order of commits")
    engine = create_engine(ledger._engine.url)
    with engine.connect() as slow:
        insert_row(slow, "slow")
        world.tell_many(3)
        sequencer = world.catch_up()
        for _ in range(4):
            world.wait(60)
            world.tell_many(1)
            world.catch_up(sequencer)
        slow.commit()
    engine.dispose()

    world.catch_up(None if restarted else sequencer).end()

    assert sorted(world.subjects()) == ["e0"] * 5 + ["e1", "e2", "slow"]
    require_whole(world)


def test_the_newest_anchor_is_read_from_a_file_of_any_length(world: AuditWorld) -> None:
    world.tell_many(60)
    world.catch_up().end()

    assert world.anchors.newest() == world.checkpoints()[-1]


def test_a_mismatch_is_told_once_and_refused_until_a_person_accepts_it(world: AuditWorld) -> None:
    world.tell_many(3)
    world.catch_up().end()
    file = world.folder / "elsewhere" / "anchors.jsonl"
    file.write_bytes(b"")
    world.tell_many(11)
    sequencer = world.sequencer()

    for _ in range(2):
        with pytest.raises(AuditMismatch, match="lines were cut from the file"):
            sequencer.step()

    assert len(world.alerts("audit_mismatch")) == 1
    assert len(world.subjects()) == 3
