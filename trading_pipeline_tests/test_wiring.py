"""A whole home: killed for real, used by two processes, verified."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.analytics.schemas import BAR_COLUMNS
from trading_pipeline.domain.errors import (
    HomeInUseError,
    InputError,
    MissingResultError,
    NotASessionError,
    ReplayDivergence,
)
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.desk import Provenance
from trading_pipeline.services.replay import copy_research
from trading_pipeline.services.research import run_research
from trading_pipeline.wiring import Workspace
from trading_pipeline_tests.ledger_counts import rows_but_leadership
from trading_pipeline_tests.services.traded_market import LOOSE, TradedMarket, trade_a_market

HOLD_THE_HOME = """
import sys, time
from pathlib import Path
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace
with Workspace(Path(sys.argv[1]), Settings()).exclusive("trading"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> TradedMarket:
    """One traded session; read only."""
    return trade_a_market(tmp_path_factory.mktemp("home"), count=1)


def recorded(workspace: Workspace, session: date) -> SessionRecord | None:
    with workspace.ledger.read() as tx:
        return tx.session_record(workspace.settings.execution.account, session)


def untraded(market: TradedMarket, home: Path) -> Workspace:
    """A home with the same bars and research, and nothing traded."""
    for folder in ("bars", "research"):
        shutil.copytree(market.workspace.home / folder, home / folder)
    workspace = replace(market.workspace, home=home)
    copy_research(market.workspace.ledger, workspace.ledger, market.sessions[0])
    return workspace


def test_a_loop_begins_at_the_open_or_where_an_earlier_process_stopped(market: TradedMarket, tmp_path: Path) -> None:
    (session,), workspace = market.sessions, untraded(market, tmp_path / "home")
    record, times = recorded(market.workspace, session), workspace.calendar.times(session)
    assert record is not None

    for reached in (None, times.opens_at + timedelta(minutes=35)):
        if reached is not None:
            with workspace.ledger.transaction() as tx:
                tx.save_session_record(replace(record, phase=SessionPhase.RUNNING, cursor_at=reached))
        with closing(workspace.room()) as room:
            assert room.loop(session).desk.clock.now() == (reached or times.opens_at)


def fills_and_cash(workspace: Workspace, session: date) -> tuple[object, object]:
    with workspace.ledger.read() as tx, closing(workspace.room()) as room:
        broker = room.desk(workspace.calendar.times(session).closes_at, 5).broker
        return tx.fills("SIM", session=session), broker.account().cash_usd


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.soak)])
def test_a_replay_command_killed_on_the_way_ends_as_it_would_have(
    market: TradedMarket, tmp_path: Path, times: int
) -> None:
    # given the command line on a home with the bars and the research of a traded session
    (session,), workspace = market.sessions, untraded(market, tmp_path / "home")
    profile = tmp_path / "loose.yaml"
    profile.write_text(yaml.safe_dump(LOOSE.model_dump(mode="json")))
    env = {**os.environ, "TRADING_PIPELINE_PROFILE": str(profile)}
    command = [
        str(Path(sys.executable).with_name("trading-pipeline")), "--home", str(workspace.home),
        "session", "replay", "--session", session.isoformat(),
    ]  # fmt: skip
    dice, deaths = random.Random(11), 0

    def cursor() -> object:
        record = recorded(workspace, session)
        return record and record.cursor_at

    # when it is killed at random moments while the session runs, and then left alone
    for _ in range(times):
        before = cursor()
        child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda child=child, before=before: cursor() != before or child.poll() is not None)  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.5))
        child.kill()
        deaths += child.wait() == -9
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    # then record, fills and cash are those of the uninterrupted session
    assert done.returncode == 0, done.stderr
    assert deaths >= 1
    record, expected = recorded(workspace, session), recorded(market.workspace, session)
    assert record is not None
    assert expected is not None
    assert record.phase is SessionPhase.CLOSED
    assert record.decision_hash == expected.decision_hash
    assert fills_and_cash(workspace, session) == fills_and_cash(market.workspace, session)


def test_cash_on_record_is_the_venues(market: TradedMarket) -> None:
    (session,) = market.sessions
    fills, cash = fills_and_cash(market.workspace, session)
    assert fills
    with market.workspace.ledger.read() as tx:
        assert tx.equity_points("SIM")[-1].cash_usd == cash


def test_a_session_on_record_is_verified(market: TradedMarket) -> None:
    (session,) = market.sessions
    with market.workspace.ledger.read() as tx:
        before = rows_but_leadership(tx)

    (done,) = market.workspace.replay(session, session)

    assert done.verified
    with market.workspace.ledger.read() as tx:
        assert rows_but_leadership(tx) == before


def test_a_setting_that_changes_what_is_traded_diverges(market: TradedMarket) -> None:
    (session,) = market.sessions
    venue = LOOSE.venue.model_copy(update={"slippage_fraction": LOOSE.venue.slippage_fraction * 10})
    changed = replace(market.workspace, settings=LOOSE.model_copy(update={"venue": venue}))

    with pytest.raises(ReplayDivergence, match=f"session {session} decides differently now"):
        list(changed.replay(session, session))


def test_a_dry_run_decides_the_same_and_records_nothing(market: TradedMarket) -> None:
    (session,) = market.sessions
    with market.workspace.ledger.read() as tx:
        before = tx.row_counts()

    (done,) = market.workspace.dry_run(session, session)

    known = recorded(market.workspace, session)
    assert known is not None
    assert done.record.decision_hash == known.decision_hash
    with market.workspace.ledger.read() as tx:
        assert tx.row_counts() == before


def test_a_session_in_progress_is_not_replayed_for_good(market: TradedMarket, tmp_path: Path) -> None:
    (session,), workspace = market.sessions, untraded(market, tmp_path)
    noon = FixedClock(workspace.calendar.times(session).opens_at + timedelta(minutes=150))

    with pytest.raises(InputError, match=r"is not over.*Host it live.*--dry-run"):
        list(replace(workspace, clock=noon).replay(session, session))

    assert recorded(workspace, session) is None
    assert list(replace(workspace, clock=noon).dry_run(session, session))


def test_a_session_whose_bars_stop_early_is_not_replayed_for_good(market: TradedMarket, tmp_path: Path) -> None:
    (session,), workspace = market.sessions, untraded(market, tmp_path)
    closes_at = workspace.calendar.times(session).closes_at
    whole = workspace.bars.read(Timeframe.MIN5, [session])[list(BAR_COLUMNS)]
    (workspace.home / "bars" / "5min" / f"{session}.parquet").unlink()

    def deliver(missing: int) -> None:
        until = closes_at - timedelta(minutes=5 * missing)
        workspace.bars.write(whole[whole["end"] <= until].reset_index(drop=True), Timeframe.MIN5, known_at=None)

    deliver(missing=4)
    with pytest.raises(InputError, match=r"5min bars of .* end at 20:40 UTC.*data import"):
        list(workspace.replay(session, session))
    assert recorded(workspace, session) is None

    deliver(missing=0)
    assert [one.verified for one in workspace.replay(session, session)] == [False]


def test_a_session_not_researched_by_this_configuration_is_not_traded_without_watchlists(
    market: TradedMarket, tmp_path: Path
) -> None:
    (session,), workspace = market.sessions, untraded(market, tmp_path)
    quality = LOOSE.quality.model_copy(update={"jump_fraction": 0.31})

    with pytest.raises(MissingResultError, match="not completely researched"):
        list(replace(workspace, settings=LOOSE.model_copy(update={"quality": quality})).replay(session, session))


def test_research_made_again_under_an_irrelevant_setting_or_newer_code_leaves_a_recorded_session_verified(
    market: TradedMarket, tmp_path: Path
) -> None:
    (session,), workspace = market.sessions, untraded(market, tmp_path)
    list(workspace.replay(session, session))
    quality = LOOSE.quality.model_copy(update={"jump_fraction": 0.31})
    other = replace(workspace, settings=LOOSE.model_copy(update={"quality": quality}))
    for desk in (other.research, replace(workspace.research, provenance=Provenance(code_version="2", config_hash="b"))):
        run_research(desk, session)

    assert [one.verified for one in workspace.replay(session, session)] == [True]
    assert [one.verified for one in other.replay(session, session)] == [True]


def test_a_second_process_in_the_same_home_is_turned_away_at_once(market: TradedMarket, tmp_path: Path) -> None:
    (session,) = market.sessions
    workspace = Workspace(tmp_path, LOOSE)
    holder = subprocess.Popen([sys.executable, "-c", HOLD_THE_HOME, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        start = time.monotonic()
        with pytest.raises(HomeInUseError, match=r"another process is busy with trading.*--home"):
            list(workspace.replay(session, session))
        assert time.monotonic() - start < 5
    finally:
        holder.kill()
        holder.wait()


def test_a_holiday_is_not_a_session(market: TradedMarket) -> None:
    with pytest.raises(NotASessionError, match="2024-11-28"):
        list(market.workspace.replay(date(2024, 11, 28), date(2024, 11, 28)))
