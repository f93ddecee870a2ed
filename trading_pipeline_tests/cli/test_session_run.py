"""`session run` as a person uses it while a session is open, and as a service runs it from one session to the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.services.readiness import CONFIGURED
from trading_pipeline.wiring import Workspace, open_workspace
from trading_pipeline_tests.cli.test_commands import on, refused
from trading_pipeline_tests.cli.test_up import PATIENCE
from trading_pipeline_tests.hosts import until
from trading_pipeline_tests.test_docs import ROOT
from trading_pipeline_tests.traded_home import TradedHome, interrupted

WORD = ("--accept-configuration", "--reason", "a wider stop", "--operator", "Kim")


@pytest.fixture(scope="module")
def begun(traded_home: TradedHome, tmp_path_factory: pytest.TempPathFactory) -> TradedHome:
    """A session that was left at noon, and a profile that is another one since."""
    made = traded_home.copied_to(tmp_path_factory.mktemp("begun"))
    interrupted(made)
    changed = made.home.parent / "changed.yaml"
    changed.write_text(made.profile.read_text(encoding="utf-8") + "watchlist: {max_symbols: 7}\n", encoding="utf-8")
    return replace(made, profile=changed)


def test_other_settings_are_refused_with_the_command_that_lets_them_apply(begun: TradedHome) -> None:
    said = on(begun, "session", "run", "--session", begun.running)

    assert said.code == 1
    last = said.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "was begun under configuration" in last
    assert last.endswith("trading-pipeline session run --accept-configuration --reason TEXT --operator NAME")


@pytest.mark.parametrize("without", ["--reason", "--operator"])
def test_nobody_accepts_without_a_name_and_a_reason(begun: TradedHome, without: str) -> None:
    at = WORD.index(without)
    word = WORD[:at] + WORD[at + 2 :]

    said = refused("session", "run", "--session", begun.running, *word, "--profile", begun.profile, home=begun.home)

    assert "needs a reason and a name" in said


def test_what_a_person_accepts_goes_on_record_and_the_session_to_its_end(begun: TradedHome) -> None:
    said = on(begun, "session", "run", "--session", begun.running, *WORD, "--json")

    assert (said.code, said.json()["phase"]) == (0, "closed"), said
    with begun.open().ledger.read() as tx:
        (told,) = [one for one in tx.risk_events("SIM", begun.running) if one.kind == CONFIGURED]
    assert (told.data["operator"], told.data["reason"]) == ("Kim", "a wider stop")
    assert told.data["to"] == begun.open().provenance.config_hash


@pytest.mark.parametrize("more", [("--session", "2025-06-10"), ("--accelerated",)])
def test_every_session_goes_with_no_session_of_its_own(tmp_path: Path, more: tuple[str, ...]) -> None:
    assert "leave --session and --accelerated out" in refused("session", "run", "--every-session", *more, home=tmp_path)


# session after session, around the clock, on a machine whose clock is set to shortly before midnight

PROFILE = ROOT / "config" / "profiles" / "around-the-clock.yaml"
SMALL = {
    "TRADING_PIPELINE__LIVE__SYNTHETIC__SYMBOLS": "8", "TRADING_PIPELINE__HISTORY__DAILY_SESSIONS": "61",
    "TRADING_PIPELINE__EXECUTION__LEASE__LEASE_SECONDS": "60",
}  # fmt: skip
"""Few symbols; and a lead that a machine busy with the other tests does not lose."""
BEFORE, AFTER = date(2026, 1, 3), date(2026, 1, 4)
"""A Saturday and a Sunday: this market never closes."""


@contextmanager
def a_service(home: Path, ahead: timedelta, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A command with its clock set; it is asked to end as a supervisor asks, and what it said is in the home."""
    module = (sys.executable, "-m", "trading_pipeline_tests.cli.set_clock", str(ahead.total_seconds()))
    where = ("--home", str(home), "--profile", str(PROFILE))
    with said_by(home, words).open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            [*module, *where, *words], cwd=ROOT, text=True, stdout=said, stderr=subprocess.STDOUT,
            env={**os.environ, **SMALL},
        )  # fmt: skip
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, said_by(home, words).read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait()


def said_by(home: Path, words: Sequence[str]) -> Path:
    return home / f"{words[0]}.txt"


def phase(workspace: Workspace, session: date) -> SessionPhase | None:
    with workspace.ledger.read() as tx:
        record = tx.session_record(workspace.settings.execution.account, session)
    return record.phase if record else None


def watchlists(workspace: Workspace, session: date) -> int:
    with workspace.ledger.read() as tx:
        return len(tx.snapshots(session))


def is_under_way(workspace: Workspace) -> bool:
    """The session after midnight."""
    return phase(workspace, AFTER) is not None and watchlists(workspace, AFTER) > 1


@pytest.mark.soak
def test_stream_and_loop_go_from_one_session_into_the_next_at_midnight(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    ahead = datetime(2026, 1, 3, 23, 56, 30, tzinfo=UTC) - datetime.now(UTC)
    workspace = open_workspace(home, profile=PROFILE)
    with a_service(home, ahead, "data", "stream", "--provider", "synthetic", "--every-session") as stream:
        until(lambda: watchlists(workspace, BEFORE) > 0 or stream.poll() is not None, seconds=180)
        with a_service(home, ahead, "session", "run", "--every-session") as loop:
            until(lambda: is_under_way(workspace) or {stream.poll(), loop.poll()} != {None}, seconds=420)
            assert (stream.poll(), loop.poll()) == (None, None), said_by(home, ["session"]).read_text()

    assert phase(workspace, BEFORE) is SessionPhase.CLOSED
    assert phase(workspace, AFTER) is SessionPhase.RUNNING
    said = said_by(home, ["session"]).read_text(encoding="utf-8")
    assert [line for line in said.splitlines() if line.startswith(("next:", "session "))] == [
        f"next: session {BEFORE}, which opens at {BEFORE} 00:00 UTC", f"session {BEFORE} is closed",
        f"next: session {AFTER}, which opens at {AFTER} 00:00 UTC", f"session {AFTER} is running",
    ]  # fmt: skip
    ends = [workspace.bars.read(Timeframe.MIN1, [session])["end"] for session in (BEFORE, AFTER)]
    assert ends[0].max() == workspace.calendar.times(BEFORE).closes_at
    assert ends[1].min() == workspace.calendar.times(AFTER).opens_at + timedelta(minutes=1)
    with workspace.ledger.read() as tx:
        passed = tx.last_reconciliation(workspace.settings.execution.account)
    assert passed is not None
    assert (passed.session, passed.differing) == (AFTER, ())


def test_a_service_in_an_empty_home_waits_for_the_stream_to_bring_bars(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with a_service(home, timedelta(0), "session", "run", "--every-session") as loop:
        said = said_by(home, ["session"])
        until(lambda: "next: session" in said.read_text(encoding="utf-8") or loop.poll() is not None)
        with pytest.raises(subprocess.TimeoutExpired):
            loop.wait(3)

    assert "error" not in said.read_text(encoding="utf-8")
