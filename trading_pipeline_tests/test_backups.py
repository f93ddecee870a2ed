"""Backups: whole or not at all while others write, to and from both databases; what counts up never goes back."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.adapters.clock import FixedClock, SystemClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.adapters.migrations import NEWEST
from trading_pipeline.cli.app import app
from trading_pipeline.cli.db import NEXT
from trading_pipeline.domain.control import AuditEntry, TradingState
from trading_pipeline.domain.errors import DataFileError, InputError, LeaseHeld
from trading_pipeline.services.breaker import read_control
from trading_pipeline.services.kill import a_kill
from trading_pipeline.services.lease import leading, lease_name
from trading_pipeline.services.sending import to_request
from trading_pipeline.services.trading_state import record_word, set_trading_state
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.backups import FLOOR_MARGIN, backup, backups, restore
from trading_pipeline_tests.builders import an_order
from trading_pipeline_tests.postgres import postgres
from trading_pipeline_tests.traded_home import TradedHome, traded_home

__all__ = ["traded_home"]
AT = datetime.fromisoformat("2025-06-10T15:00:00+00:00")
ACCOUNT = "SIM"


@pytest.fixture
def home(traded_home: TradedHome, tmp_path: Path) -> Path:
    """A home with two traded sessions, of its own."""
    return traded_home.copied_to(tmp_path).home


def opened(home: Path, **storage: Any) -> Workspace:
    return Workspace(home, Settings.model_validate({"storage": storage}))


def rows(workspace: Workspace) -> dict[str, int]:
    with workspace.ledger.read() as tx:
        return tx.row_counts()


def told(workspace: Workspace) -> list[tuple[int, AuditEntry]]:
    with workspace.ledger.read() as tx:
        return list(tx.audit_entries(limit=100_000))


CHANGED_BY_RESTORING = {"audit_outbox", "trading_states"}


def kept(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if name not in CHANGED_BY_RESTORING}


def test_what_is_restored_is_what_was_backed_up_and_the_record_before_is_kept(home: Path) -> None:
    made = backup(opened(home)).backup
    expected, entries = made.manifest.counts, told(opened(home))
    with opened(home).ledger.transaction() as tx:
        tx.add_audit(AuditEntry(occurred_at=AT, kind="later", account="", subject="", actor="", data={}))

    done = restore(opened(home), "latest")

    assert expected["fills"] > 0
    assert made.manifest.revision == NEWEST
    assert kept(rows(opened(home))) == kept(expected)
    assert told(opened(home))[: len(entries)] == entries
    before = SqlLedger.open(f"sqlite:///{done.aside}")
    with before.read() as tx:
        assert [entry.kind for _, entry in tx.audit_entries(limit=100_000)][-1] == "later"


def test_entries_wait_after_a_restore_until_a_person_resumes(home: Path) -> None:
    backup(opened(home))

    done = restore(opened(home), "latest")

    with opened(home).ledger.read() as tx:
        state = tx.trading_state(ACCOUNT)
    assert done.state is TradingState.REDUCING
    assert state is not None
    assert "reconcile, then resume" in state.reason


@pytest.mark.parametrize("is_in_the_latch", [False, True])
def test_a_backup_by_itself_closes_no_position(home: Path, is_in_the_latch: bool) -> None:
    workspace = opened(home)
    word = a_kill(ACCOUNT, AT.date(), operator="Kim", reason="drill", flatten=True, clock=FixedClock(AT))
    with workspace.ledger.transaction() as tx:
        record_word(tx, word)
    backup(workspace)
    set_trading_state(workspace.ledger, ACCOUNT, TradingState.ACTIVE, reason="done", operator="Kim", at=AT)
    if is_in_the_latch:
        workspace.latch.overwrite(word)

    done = restore(opened(home), "latest")

    view = read_control(opened(home).ledger, workspace.latch, ACCOUNT)
    assert (done.state, view.state) == (TradingState.HALTED, TradingState.HALTED)
    assert view.flattens is is_in_the_latch
    assert done.not_closed == ("" if is_in_the_latch else "Kim, 2025-06-10 15:00:00 UTC: drill")


def test_a_backup_is_consistent_while_others_write(home: Path) -> None:
    ended = Event()

    def write() -> None:
        ledger, number = SqlLedger.open(default_url(home)), 0
        while not ended.is_set():
            with ledger.transaction() as tx:  # always two at a time
                for half in (1, 2):
                    entry = AuditEntry(
                        occurred_at=AT, kind=f"half-{half}", account="", subject=str(number), actor="", data={}
                    )
                    tx.add_audit(entry)
            number += 1
        ledger.close()

    writer = Thread(target=write)
    writer.start()
    try:
        made = [backup(opened(home), clock=FixedClock(AT + timedelta(seconds=n))).backup for n in range(4)]
    finally:
        ended.set()
        writer.join()

    for one in made:
        with closing(sqlite3.connect(one.ledger)) as copy:
            halves = dict(copy.execute("SELECT kind, count(*) FROM audit_outbox WHERE kind LIKE 'half%' GROUP BY kind"))
        assert halves.get("half-1", 0) == halves.get("half-2", 0)


@dataclass(frozen=True)
class Databases:
    """A home whose ledger is on PostgreSQL."""

    folder: Path
    url: str

    def open(self) -> Workspace:
        return opened(self.folder, database_url=self.url)


def test_a_ledger_moves_between_the_databases_row_by_row_and_numbers_go_on(home: Path, tmp_path: Path) -> None:
    first = backup(opened(home), tmp_path / "all", FixedClock(AT)).backup
    there = Databases(tmp_path / "other", postgres().database())

    moved = restore(there.open(), first.name, tmp_path / "all", FixedClock(AT + timedelta(seconds=1)))
    second = backup(there.open(), tmp_path / "all", FixedClock(AT + timedelta(seconds=2))).backup
    restore(opened(tmp_path / "third"), second.name, tmp_path / "all", FixedClock(AT + timedelta(seconds=3)))
    again = restore(there.open(), second.name, tmp_path / "all", FixedClock(AT + timedelta(seconds=4)))

    expected = told(opened(home))
    assert (moved.aside, moved.was_there) == ("", False)
    assert again.aside == "schema ledger_before_20250610t150004z"
    for workspace in (there.open(), opened(tmp_path / "third")):
        assert kept(rows(workspace)) == kept(first.manifest.counts)
        assert told(workspace)[: len(expected)] == expected
        with workspace.ledger.transaction() as tx:
            tx.add_audit(AuditEntry(occurred_at=AT, kind="new", account="", subject="", actor="", data={}))
        assert told(workspace)[-1][1].kind == "new"


def test_a_running_loop_is_not_restored_under(home: Path) -> None:
    made, workspace = backup(opened(home)).backup, opened(home)
    before = rows(workspace)

    with (
        leading(workspace.ledger, SystemClock(), workspace.settings.execution.lease, ACCOUNT, "the-loop"),
        pytest.raises(LeaseHeld, match=r"the-loop leads this account.*nothing was restored"),
    ):
        restore(opened(home), made.name)

    assert kept(rows(opened(home)))["fills"] == before["fills"]
    assert not list(home.glob("*.before"))


def test_tokens_never_go_back(home: Path) -> None:
    made = backup(opened(home)).backup
    for _ in range(3):
        with leading(opened(home).ledger, SystemClock(), Settings().execution.lease, ACCOUNT, "a-loop") as lease:
            newest = lease.token

    restore(opened(home), made.name)

    with leading(opened(home).ledger, SystemClock(), Settings().execution.lease, ACCOUNT, "the-next") as lease:
        assert lease.token > newest


def test_order_ids_of_a_broker_stay_when_they_are_sound(home: Path) -> None:
    ids = VenueIds(home / "ib-ids.sqlite3")
    ids.begin(AT)
    ids.raise_floor(500)
    made = backup(opened(home)).backup
    ids.raise_floor(900)
    ids.close()

    done = restore(opened(home), made.name)

    after = VenueIds(home / "ib-ids.sqlite3")
    assert (after.floor(), after.kept_since()) == (900, AT)
    assert "ib-ids.sqlite3: stays as it is" in done.told


def test_order_ids_from_a_backup_claim_nothing_about_orders_sent_after_it(home: Path) -> None:
    """An order sent after the backup would look as if it had never left, and would be sent twice."""
    ids = VenueIds(home / "ib-ids.sqlite3")
    ids.begin(AT)
    ids.register(to_request(an_order()), AT)
    ids.raise_floor(500)
    made = backup(opened(home)).backup
    ids.close()
    (home / "ib-ids.sqlite3").write_bytes(b"no database at all" * 100)

    restore(opened(home), made.name)

    after = VenueIds(home / "ib-ids.sqlite3")
    assert (after.floor(), after.kept_since()) == (500 + FLOOR_MARGIN, None)
    assert len(after.unfinished()) == 1


def test_a_damaged_ledger_is_replaced_and_kept(home: Path) -> None:
    workspace = opened(home)
    made = backup(workspace).backup
    workspace.ledger.close()  # an open one may still write its log into the file
    (home / "ledger.sqlite3").write_bytes(b"garbage" * 1000)

    done = restore(opened(home), "latest")

    assert kept(rows(opened(home))) == kept(made.manifest.counts)
    assert Path(done.aside).read_bytes().startswith(b"garbage")


def test_a_ledger_that_is_gone_is_not_restored_beside_its_log(home: Path) -> None:
    workspace, log = opened(home), home / "ledger.sqlite3-wal"
    made = backup(workspace).backup
    set_trading_state(
        workspace.ledger, "SIM", TradingState.HALTED, reason="drill", operator="Kim", at=SystemClock().now()
    )
    left = log.read_bytes()
    workspace.ledger.close()
    (home / "ledger.sqlite3").unlink()
    log.write_bytes(left)

    done = CliRunner().invoke(app, ["--home", str(home), "db", "restore", "latest"])

    assert kept(rows(opened(home))) == kept(made.manifest.counts)
    (aside,) = home.glob("ledger.sqlite3.*.before-wal")
    assert aside.read_bytes() == left
    assert f"There was no record to put aside; what was left of it is kept: {aside}" in done.output


def test_a_damaged_backup_is_refused_and_nothing_changes(home: Path) -> None:
    made = backup(opened(home)).backup
    with made.ledger.open("r+b") as file:
        file.seek(5000)
        file.write(b"x")
    before = rows(opened(home))

    with pytest.raises(DataFileError, match=r"ledger\.sqlite3 is changed. Nothing was restored|is damaged"):
        restore(opened(home), made.name)

    assert rows(opened(home)) == before


def test_a_backup_of_a_newer_release_is_refused(home: Path) -> None:
    made = backup(opened(home)).backup
    manifest = json.loads((made.folder / "manifest.json").read_text())
    (made.folder / "manifest.json").write_text(json.dumps({**manifest, "revision": "9999"}))

    with pytest.raises(InputError, match=r"schema version 9999.*newer release"):
        restore(opened(home), made.name)


def test_a_backup_is_never_overwritten(home: Path) -> None:
    made = [backup(opened(home), clock=FixedClock(AT)).backup for _ in range(3)]

    assert [one.name for one in made] == [(AT + timedelta(seconds=n)).strftime("%Y%m%dT%H%M%SZ") for n in range(3)]
    assert [one.manifest.made_at - AT for one in made] == [timedelta(seconds=n) for n in range(3)]
    assert [one.name for one in backups(opened(home))] == [one.name for one in made]
    for one in made:
        one.require_whole()


def test_half_a_backup_is_none(home: Path) -> None:
    made = backup(opened(home)).backup
    (made.folder / "manifest.json").unlink()

    assert backups(opened(home)) == []
    with pytest.raises(InputError, match="there is no backup"):
        restore(opened(home), "latest")


def test_there_is_nothing_to_back_up_in_an_empty_home(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to back up"):
        backup(opened(tmp_path))

    assert not list((tmp_path / "backups").glob("*"))


def test_old_backups_go_but_one_of_each_day_and_the_newest_stay(tmp_path: Path) -> None:
    workspace = opened(tmp_path, backup_keep_hours=2, backup_keep_days=3)
    assert rows(workspace)["fills"] == 0  # makes the ledger
    for hours in (0, 5, 6, 30, 31, 32, 33):
        backup(workspace, clock=FixedClock(AT - timedelta(days=4) + timedelta(hours=hours)))

    made = backup(workspace, clock=FixedClock(AT))

    left = ["20250607T230000Z", "20250608T000000Z", made.backup.name]
    assert [one.name for one in backups(workspace)] == left
    assert made.removed == ["20250606T210000Z", "20250607T220000Z"]


def test_the_commands_say_what_they_did_and_what_to_do_next(home: Path) -> None:
    runner = CliRunner()

    made = runner.invoke(app, ["--home", str(home), "db", "backup"])
    listed = runner.invoke(app, ["--home", str(home), "db", "list", "--json"])
    restored = runner.invoke(app, ["--home", str(home), "db", "restore", "latest"])
    upgraded = runner.invoke(app, ["--home", str(home), "db", "upgrade"])

    assert "verified" in made.output
    assert len(json.loads(listed.output)) == 1
    said = [restored.output.index(f"trading-pipeline {command}") for command, _ in NEXT]
    assert said == sorted(said)
    assert "The record before is kept: " in restored.output
    assert f"version {NEWEST}" in upgraded.output


@pytest.mark.soak
def test_a_year_s_record_is_back_in_minutes_on_either_database(tmp_path: Path) -> None:
    """15 minutes are allowed. A year leaves some 200,000 rows."""
    workspace = opened(tmp_path / "home")
    for first in range(0, 200_000, 5000):
        with workspace.ledger.transaction() as tx:
            for number in range(first, first + 5000):
                data = {"symbol": "XYZ", "before": "New", "after": "Filled", "quantity": "100", "avg_px": "50.12"}
                tx.add_audit(AuditEntry(
                    occurred_at=AT, kind="order_status", account=ACCOUNT, subject=str(number), actor="x", data=data
                ))  # fmt: skip
    made = backup(workspace).backup

    began = time.monotonic()
    restore(opened(tmp_path / "home"), made.name)
    restore(opened(tmp_path / "other", database_url=postgres().database()), str(made.folder))

    assert time.monotonic() - began < 15 * 60


@pytest.mark.soak
def test_a_restore_that_is_killed_at_any_moment_leaves_a_whole_ledger(home: Path) -> None:
    made = backup(opened(home)).backup
    expected = kept(made.manifest.counts)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from trading_pipeline.settings import Settings\n"
        "from trading_pipeline.wiring import Workspace\n"
        "from trading_pipeline.wiring.backups import restore\n"
        "left = [int(sys.argv[2])]\n"
        "def dying(event, args):\n"
        "    if event in {'os.rename', 'os.link', 'os.remove', 'sqlite3.connect'}:\n"
        "        left[0] -= 1\n"
        "        if left[0] == 0:\n"
        "            os._exit(9)\n"
        "workspace = Workspace(Path(sys.argv[1]), Settings())\n"
        "sys.addaudithook(dying)\n"
        "restore(workspace, 'latest')\n"
    )
    died = 0
    for step in range(2, 26):
        done = subprocess.run([sys.executable, "-c", program, str(home), str(step)], capture_output=True, text=True)
        assert done.returncode in {0, 9}, done.stderr
        died += done.returncode == 9
        with closing(sqlite3.connect(home / "ledger.sqlite3")) as ledger:
            assert ledger.execute("SELECT count(*) FROM fills").fetchone()[0] == expected["fills"]
    restore(opened(home), "latest")

    assert died >= 3
    assert kept(rows(opened(home))) == expected
    with opened(home).ledger.read() as tx:
        lease = tx.lease(lease_name(ACCOUNT))
    assert lease is None or not lease.is_live(SystemClock().now())
