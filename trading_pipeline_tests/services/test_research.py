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


def at_work(market: TradedMarket, home: Path, now: datetime, **settings: object) -> ResearchDesk:
    """The market's research desk at an instant, with a ledger and frames of its own."""
    changed = market.workspace.settings.model_copy(update=settings)
    own = replace(market.workspace, home=home, settings=changed)
    return replace(
        market.workspace.research, clock=FixedClock(now), ledger=own.ledger, frames=ParquetResearchStore(home / "r"),
        settings=changed, provenance=own.provenance,
    )  # fmt: skip


def test_before_the_open_the_whole_research_runs_on_the_bars_of_earlier_sessions(
    market: TradedMarket, tmp_path: Path
) -> None:
    # given 07:01 New York on the day after the last stored session
    calendar = market.workspace.calendar
    today = calendar.next(market.sessions[-1])
    opens = calendar.times(today).opens_at
    desk = at_work(market, tmp_path, opens - timedelta(minutes=149))

    research.run_research(desk, today)

    # then the pre-market screen and regime stand, and there is no watchlist yet
    seven = opens - timedelta(minutes=150)
    assert set(desk.frames.read("coarse_screen", today)["as_of"]) == {pd.Timestamp(seven)}
    with desk.ledger.read() as tx:
        assert [regime.as_of for regime in tx.regimes(today)] == [seven]
        assert list(tx.snapshots(today)) == []
    assert research.make_bars(replace(desk, clock=FixedClock(opens + timedelta(minutes=20))), today)["15min"] == 0
    with pytest.raises(MissingBarsError, match=f"{today}.*data import"):
        research.make_bars(replace(desk, clock=FixedClock(opens + timedelta(hours=7))), today)


def test_an_instant_of_the_running_session_is_known_when_its_bars_are(market: TradedMarket, tmp_path: Path) -> None:
    # given 10:01 New York, and bars up to 9:50 only
    session = market.sessions[-1]
    opens = market.workspace.calendar.times(session).opens_at
    desk = stored_until(market, tmp_path, opens + timedelta(minutes=20))

    def known(desk: ResearchDesk, minutes: int) -> list[int]:
        now = replace(desk, clock=FixedClock(opens + timedelta(minutes=minutes)))
        return [int((at - opens).total_seconds()) // 60 for at in now.instants(session)]

    # then the bar from 9:45 on is not a closed one; after the close nothing more is waited for
    assert known(desk, 31) == [-150, 15]
    assert known(desk, -1) == [-150]
    assert known(desk, 391)[:4] == [-150, 15, 30, 45]
    assert known(stored_until(market, tmp_path / "b", opens + timedelta(minutes=30)), 31) == [-150, 15, 30]


def test_what_is_made_of_the_indicators_of_another_configuration_says_so(market: TradedMarket, tmp_path: Path) -> None:
    session = market.sessions[-1]
    desk = at_work(market, tmp_path, NOW)
    for step in ("universe", "bars", "indicators", "coarse_screen"):
        research.STEPS[step](desk, session)
    other = at_work(market, tmp_path, NOW, indicators=desk.settings.indicators.model_copy(update={"rsi_bars": 7}))

    for step in ("coarse_screen", "regime_score", "sabr20_watchlist"):
        with pytest.raises(MissingResultError, match=r"made by others.*Materialise indicators"):
            research.STEPS[step](other, session)
    with desk.ledger.read() as tx:
        assert list(tx.snapshots(session)) == []


def test_the_official_daily_bar_imported_after_the_close_changes_nothing_decided_in_the_session(
    market: TradedMarket, tmp_path: Path
) -> None:
    session, bars = market.sessions[-1], market.workspace.bars
    shutil.copytree(bars.root, tmp_path / "bars")
    desk = at_work(market, tmp_path, NOW)
    desk = replace(desk, bars=ParquetBarStore(tmp_path / "bars", desk.calendar, desk.clock))
    before = research.make_regime_score(researched(desk, session), session)

    daily = desk.bars.view(Timeframe.DAY1, [session], as_of=session)
    official = daily.assign(close=daily["close"] * 1.05, high=daily["high"] * 1.1).reset_index(drop=True)
    desk.bars.write(official, Timeframe.DAY1, known_at=NOW)
    after = research.make_regime_score(researched(desk, session), session)

    pd.testing.assert_frame_equal(before, after)


def researched(desk: ResearchDesk, session: date) -> ResearchDesk:
    """The desk after the steps that the regime reads."""
    for step in ("universe", "bars", "indicators"):
        research.STEPS[step](desk, session)
    return desk


def test_a_day_is_researched_when_this_configuration_has_seen_every_instant_due(
    market: TradedMarket, tmp_path: Path
) -> None:
    session = market.sessions[-1]
    opens = market.workspace.calendar.times(session).opens_at
    desk = at_work(market, tmp_path, opens + timedelta(minutes=60))
    assert not research.is_researched(desk, session)

    research.run_research(desk, session)

    assert research.is_researched(desk, session)
    assert not research.is_researched(replace(desk, clock=FixedClock(opens + timedelta(minutes=75))), session)
    assert not research.is_researched(replace(desk, provenance=replace(desk.provenance, config_hash="b")), session)


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


def test_shorter_timeframes_score_at_each_of_their_closes_and_screen_at_every_second_one(
    market: TradedMarket, tmp_path: Path
) -> None:
    session = market.sessions[-1]
    opens = market.workspace.calendar.times(session).opens_at
    rules = market.workspace.settings.sabr20.model_copy(
        update={"t1": Timeframe.MIN5, "t2": Timeframe.MIN15, "t3": Timeframe.HOUR1}
    )
    desk = at_work(market, tmp_path, opens + timedelta(minutes=26), sabr20=rules)

    research.run_research(desk, session)

    with desk.ledger.read() as tx:
        scored, regimes = tx.snapshots(session), tx.regimes(session)
    assert [at.as_of - opens for at in scored] == [timedelta(minutes=m) for m in (5, 10, 15, 20, 25)]
    assert [at.as_of - opens for at in regimes] == [timedelta(minutes=m) for m in (-150, 10, 20)]
    assert len(research.indicators(desk, session, Timeframe.HOUR1))
    assert any(one.scored for one in scored)
