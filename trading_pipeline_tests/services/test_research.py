"""Research says the same whenever it is asked: in the middle of a session, snapshot by snapshot, or long after."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.adapters.research_store import ParquetResearchStore
from trading_pipeline.domain.errors import MissingBarsError, MissingResultError, NotASessionError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.setups import ScanSnapshot, Setup
from trading_pipeline.services import research
from trading_pipeline.services.research_desk import ResearchDesk
from trading_pipeline.services.snapshots import input_hashes
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace
from trading_pipeline_tests.services.traded_market import NOW, TradedMarket

SHORT = Settings.model_validate(
    {
        "history": {
            "trigger_sessions": 8, "confirmation_sessions": 10, "regime_sessions": 20, "daily_sessions": 61,
        }
    }
)  # fmt: skip


def stored_until(market: TradedMarket, folder: Path, last: datetime) -> ResearchDesk:
    """A desk whose store knows the bars of 24 sessions that had ended by an instant."""
    source, session = market.workspace.bars, market.sessions[-1]
    days = [day for day in source.sessions(Timeframe.MIN5) if day <= session][-24:]
    bars = source.view(Timeframe.MIN5, days, as_of=session)
    store = ParquetBarStore(folder, market.workspace.calendar, FixedClock(NOW))
    store.write(bars[bars["end"] <= last].reset_index(drop=True), Timeframe.MIN5, known_at=None)
    return replace(market.workspace.research, bars=store, settings=SHORT)


def early_instants(market: TradedMarket) -> list[pd.Timestamp]:
    """07:00 New York, then 9:45, 10:00 and 10:15."""
    opens = market.workspace.calendar.times(market.sessions[-1]).opens_at
    return [pd.Timestamp(opens + timedelta(minutes=count)).as_unit("ns") for count in (-150, 15, 30, 45)]


def test_what_a_snapshot_was_made_from_has_one_identity_during_and_after_the_session(
    market: TradedMarket, tmp_path: Path
) -> None:
    session, instants = market.sessions[-1], early_instants(market)

    def hashes(name: str, last: datetime) -> list[str]:
        return list(input_hashes(stored_until(market, tmp_path / name, last), session, instants).values())

    before_open, in_session = hashes("before", instants[0]), hashes("during", instants[3])
    afterwards = hashes("after", NOW)

    assert in_session == afterwards
    assert before_open[0] == afterwards[0]
    assert len(set(afterwards)) == 4


def test_history_starts_on_the_same_session_before_and_after_the_first_bar(
    market: TradedMarket, tmp_path: Path
) -> None:
    session, instants = market.sessions[-1], early_instants(market)
    before = stored_until(market, tmp_path / "before", instants[0].to_pydatetime())
    after = stored_until(market, tmp_path / "after", NOW)

    for timeframe in (Timeframe.MIN15, Timeframe.HOUR1, Timeframe.HOUR4):
        assert [*before.history(session, timeframe), session] == after.history(session, timeframe)
    assert len(after.history(session, Timeframe.MIN15)) == 8


def test_a_corrected_bar_gives_later_snapshots_a_new_identity_and_keeps_earlier_ones(
    market: TradedMarket, tmp_path: Path
) -> None:
    session, instants = market.sessions[-1], early_instants(market)
    desk = stored_until(market, tmp_path, NOW)
    old = list(input_hashes(desk, session, instants).values())

    bars = desk.bars.view(Timeframe.MIN5, [session], as_of=session)
    corrected = bars[bars["end"] == instants[2]].head(1)
    corrected = corrected.assign(close=(corrected["high"] + corrected["low"]) / 2).reset_index(drop=True)
    desk.bars.write(corrected, Timeframe.MIN5, known_at=NOW)
    new = list(input_hashes(desk, session, instants).values())

    assert [a == b for a, b in zip(old, new, strict=True)] == [True, True, False, False]


def scans(ledger: SqlLedger, session: date) -> list[tuple[ScanSnapshot, list[Setup]]]:
    """Snapshots with their setups; who made them and when left out."""
    with ledger.read() as tx:
        return [
            (replace(scan, created_at=NOW, run_id=""), list(tx.setups(scan.snapshot_id)))
            for scan in tx.snapshots(session)
        ]


def test_snapshots_appended_during_the_session_are_those_of_one_backfill(market: TradedMarket, tmp_path: Path) -> None:
    # given research in the middle of the session, with bars of its rest already in the store
    session = market.sessions[0]
    opens = market.workspace.calendar.times(session).opens_at
    home = Workspace(tmp_path, market.workspace.settings)
    shutil.copytree(market.workspace.home / "research", tmp_path / "research")

    def run_at(now: datetime) -> list[tuple[ScanSnapshot, list[Setup]]]:
        frames = ParquetResearchStore(tmp_path / "research")
        desk = replace(market.workspace.research, clock=FixedClock(now), ledger=home.ledger, frames=frames)
        research.run_research(desk, session)
        return scans(home.ledger, session)

    backfill = scans(market.workspace.ledger, session)
    assert sum(len(setups) for _, setups in backfill) > 0

    during = run_at(opens + timedelta(minutes=200))
    assert during == backfill[:13]

    # when the rest of the session is appended
    assert run_at(datetime(2026, 1, 6, tzinfo=UTC)) == backfill


def test_a_holiday_a_missing_session_and_a_missing_step_say_so(market: TradedMarket, tmp_path: Path) -> None:
    desk = replace(market.workspace.research, frames=ParquetResearchStore(tmp_path))
    later = market.workspace.calendar.next(market.sessions[-1], 300)

    with pytest.raises(NotASessionError, match="2024-12-25"):
        research.make_universe(desk, date(2024, 12, 25))
    with pytest.raises(MissingBarsError, match=f"{later}.*data import"):
        research.make_bars(desk, later)
    with pytest.raises(MissingResultError):
        research.make_indicators(desk, market.sessions[-1])
    with pytest.raises(MissingBarsError):
        research.make_universe(desk, market.workspace.bars.sessions(Timeframe.MIN5)[0])
