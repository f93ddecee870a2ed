"""Research of a running session says what a backfill says afterwards, and never takes back what it said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.adapters.research_store import ParquetResearchStore
from trading_pipeline.domain.control import Lease
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline.services.awaiting import await_newest_bar
from trading_pipeline.services.live_research import LiveResearch
from trading_pipeline.services.research import (
    is_live,
    make_coarse_screen,
    make_indicators,
    make_regime_score,
    make_universe,
    make_watchlist,
    run_research,
)
from trading_pipeline.services.research_desk import ResearchDesk
from trading_pipeline.settings import Settings
from trading_pipeline_tests.services.traded_market import TradedMarket

FRAMES = (
    "universe", "indicators_15min", "indicators_1h", "indicators_4h", "indicators_1d", "inputs", "coarse_screen",
    "regime_score", "sabr20_watchlist",
)  # fmt: skip


@dataclass
class RunningSession:
    """A home in which the last session of a market is about to be recorded, bar by bar."""

    desk: ResearchDesk
    clock: FixedClock
    day: pd.DataFrame

    @property
    def session(self) -> pd.Timestamp:
        stamp: pd.Timestamp = self.day["session"].iloc[0]
        return stamp

    def deliver(self, after: datetime, until: datetime) -> None:
        rows = self.day[(self.day["end"] > after) & (self.day["end"] <= until)].reset_index(drop=True)
        self.clock.sleep_until(until + timedelta(seconds=2))
        self.desk.bars.write(rows, Timeframe.MIN5, known_at=self.clock.now())

    def snapshots(self) -> list[ScanSnapshot]:
        with self.desk.ledger.read() as tx:
            return list(tx.snapshots(self.session.date()))


def all_of_the_best(settings: Settings) -> Settings:
    """The same, but for a grade: what is selected as A is A+."""
    grades = settings.sabr20.grades
    better = {"a_plus_min_score": grades.a_min_score, "a_plus_min_reward_risk": grades.a_min_reward_risk}
    sabr20 = settings.sabr20.model_copy(update={"grades": grades.model_copy(update=better)})
    return settings.model_copy(update={"sabr20": sabr20})


@pytest.fixture
def running(market: TradedMarket, ledger: SqlLedger, tmp_path: Path) -> Iterator[RunningSession]:
    source, session, calendar = market.workspace.bars, market.sessions[-1], market.workspace.calendar
    root, clock = tmp_path / "bars", FixedClock(calendar.times(session).opens_at - timedelta(minutes=30))
    for path in source.root.glob("[!.]*"):
        target = root / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.name != "5min":
            target.symlink_to(path)
    (root / "5min").mkdir()
    for path in (source.root / "5min").glob("[0-9]*.parquet"):
        if path.stem < session.isoformat():
            (root / "5min" / path.name).symlink_to(path)
    desk = replace(
        market.workspace.research, settings=all_of_the_best(market.workspace.settings),
        bars=ParquetBarStore(root, calendar, clock), clock=clock, ledger=ledger,
        frames=ParquetResearchStore(tmp_path / "research"),
    )  # fmt: skip
    yield RunningSession(desk, clock, source.view(Timeframe.MIN5, [session], as_of=session))
    ledger.close()


def for_some_hours(
    running: RunningSession, live: LiveResearch, at_each: Callable[[datetime], None] | None = None
) -> None:
    times = running.desk.calendar.times(live.session)
    live.prepare()
    live.step(times.opens_at)
    done = times.opens_at
    while done < times.opens_at + timedelta(minutes=135):  # past two closes of 1h bars
        until = done + timedelta(minutes=5 if done < times.opens_at + timedelta(minutes=15) else 15)
        running.deliver(done, until)
        live.step(until)
        if at_each:
            at_each(until)
        done = until


def test_each_snapshot_is_on_record_at_its_close_and_is_the_backfills(
    running: RunningSession, market: TradedMarket, tmp_path: Path
) -> None:
    session, seen = market.sessions[-1], list[datetime]()

    def look(until: datetime) -> None:
        newest = running.snapshots()[-1:]
        seen.extend(one.as_of for one in newest if one.as_of == until)

    for_some_hours(running, LiveResearch(running.desk, session), look)

    assert seen == [one.to_pydatetime() for one in running.desk.trigger_instants(session)]
    again = replace(running.desk, ledger=SqlLedger.open(default_url(tmp_path / "again")))
    again = replace(again, frames=ParquetResearchStore(tmp_path / "again"))
    run_research(again, session)
    with again.ledger.read() as tx:
        expected = list(tx.snapshots(session))
        regimes = list(tx.regimes(session))
    assert [one.snapshot_id for one in running.snapshots()] == [one.snapshot_id for one in expected]
    assert told_of(running.desk) == best_of(running.desk, expected) != []
    with running.desk.ledger.read() as tx:
        assert [one.regime_id for one in tx.regimes(session)] == [one.regime_id for one in regimes]
        for one in expected:
            with again.ledger.read() as other:
                assert tx.setups(one.snapshot_id) == other.setups(one.snapshot_id)
    for name in FRAMES:
        left, right = (closed(desk.frames.read(name, session), seen[-1]) for desk in (running.desk, again))
        pd.testing.assert_frame_equal(left, right, obj=name)


def test_nothing_is_worked_out_while_the_ledger_is_held(running: RunningSession, market: TradedMarket) -> None:
    session, opens = market.sessions[-1], running.desk.calendar.times(market.sessions[-1]).opens_at
    ledger = HeldLedger(running.desk.ledger)
    clock = AskedClock(running.clock, ledger)
    live = LiveResearch(replace(running.desk, ledger=ledger, clock=clock), session)
    live.prepare()
    running.deliver(opens, opens + timedelta(minutes=60))
    live.step(opens + timedelta(minutes=60))

    assert len(running.snapshots()) == 1
    assert (clock.asked > 0, clock.asked_while_held) == (True, 0)


@dataclass
class HeldLedger:
    """A ledger that tells whether it is being written."""

    inner: Ledger
    is_held: bool = False

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        with self.inner.transaction() as tx:
            self.is_held = True
            yield tx
            self.is_held = False

    def read(self) -> AbstractContextManager[LedgerTransaction]:
        return self.inner.read()

    def fenced(self, lease: Lease) -> Ledger:
        return self.inner.fenced(lease)


@dataclass
class AskedClock:
    """A clock that counts who asks for the time, as whoever makes a snapshot does."""

    inner: FixedClock
    ledger: HeldLedger
    asked: int = 0
    asked_while_held: int = 0

    def now(self) -> datetime:
        self.asked += 1
        self.asked_while_held += self.ledger.is_held
        return self.inner.now()

    def sleep_until(self, instant: datetime) -> None:
        self.inner.sleep_until(instant)


def told_of(desk: ResearchDesk) -> list[str]:
    """Symbols whose A+ setups were told, each of them once."""
    with desk.ledger.read() as tx:
        told = tx.alerts(desk.settings.execution.account)
    return sorted(one.data["symbol"] for one in told if one.kind == "setup_a_plus")


def best_of(desk: ResearchDesk, snapshots: Sequence[ScanSnapshot]) -> list[str]:
    """Symbols that were selected with the grade A+ in any of the snapshots."""
    with desk.ledger.read() as tx:
        setups = [setup for one in snapshots for setup in tx.setups(one.snapshot_id)]
    return sorted({setup.symbol for setup in setups if setup.selected and setup.grade == "A+"})


def closed(frame: pd.DataFrame, until: datetime) -> pd.DataFrame:
    """A frame without bars that are still open: nobody asks for their indicators."""
    return frame[frame["end"] <= until].reset_index(drop=True) if "end" in frame.columns else frame


def test_what_is_corrected_later_changes_no_snapshot_on_record_but_those_to_come(
    running: RunningSession, market: TradedMarket
) -> None:
    session = market.sessions[-1]
    times = running.desk.calendar.times(session)
    first, second = times.opens_at + timedelta(minutes=15), times.opens_at + timedelta(minutes=30)
    live = LiveResearch(running.desk, session)
    live.prepare()
    running.deliver(times.opens_at, first)
    live.step(first)
    (recorded,) = running.snapshots()

    early = running.day[running.day["end"] <= first].assign(volume=lambda rows: rows["volume"] + 1)
    running.desk.bars.write(early.reset_index(drop=True), Timeframe.MIN5, known_at=running.clock.now())
    live.step(first, corrected=True)
    assert running.snapshots() == [recorded]

    running.deliver(first, second)
    live.step(second)
    assert [one.as_of for one in running.snapshots()] == [first, second]
    assert running.snapshots()[0] == recorded


def test_who_begins_late_records_only_the_newest(running: RunningSession, market: TradedMarket) -> None:
    session = market.sessions[-1]
    opens = running.desk.calendar.times(session).opens_at
    running.deliver(opens, opens + timedelta(minutes=60))
    live = LiveResearch(running.desk, session)
    live.prepare()

    live.step(opens + timedelta(minutes=60))

    assert [one.as_of for one in running.snapshots()] == [opens + timedelta(minutes=60)]


def test_a_scheduled_run_in_session_records_only_the_newest_and_never_the_same_instant_again(
    running: RunningSession, market: TradedMarket
) -> None:
    desk, session = running.desk, market.sessions[-1]
    opens = desk.calendar.times(session).opens_at
    running.deliver(opens, opens + timedelta(minutes=60))
    assert is_live(desk, session)

    def scheduled_run() -> list[datetime]:
        for step in (make_universe, make_indicators, make_coarse_screen):
            step(desk, session)
        make_regime_score(desk, session, newest_only=True)
        make_watchlist(desk, session, newest_only=True)
        return [one.as_of for one in running.snapshots()]

    first = scheduled_run()
    corrected = running.day[running.day["end"] <= opens + timedelta(minutes=60)].reset_index(drop=True)
    desk.bars.write(corrected.assign(volume=corrected["volume"] + 1), Timeframe.MIN5, known_at=running.clock.now())
    again = scheduled_run()

    assert first == again == [opens + timedelta(minutes=60)]
    with desk.ledger.read() as tx:
        assert tx.row_counts()["scan_snapshots"] == tx.row_counts()["regime_snapshots"] == 1


def test_a_scheduled_run_waits_for_the_bar_that_has_just_closed(running: RunningSession, market: TradedMarket) -> None:
    desk, session = running.desk, market.sessions[-1]
    opens = desk.calendar.times(session).opens_at
    running.deliver(opens, opens + timedelta(minutes=10))
    running.clock.sleep_until(opens + timedelta(minutes=15, seconds=1))

    assert not await_newest_bar(desk, session, patience_seconds=20)
    assert running.clock.now() == opens + timedelta(minutes=15, seconds=21)
    running.deliver(opens + timedelta(minutes=10), opens + timedelta(minutes=15))
    assert await_newest_bar(desk, session, patience_seconds=20)
    assert running.clock.now() < opens + timedelta(minutes=16)


def test_nobody_waits_for_a_bar_that_is_long_missing_or_not_due(running: RunningSession, market: TradedMarket) -> None:
    desk, session = running.desk, market.sessions[-1]
    opens = desk.calendar.times(session).opens_at

    for now in (opens - timedelta(minutes=5), opens + timedelta(minutes=5), opens + timedelta(minutes=20)):
        running.clock.sleep_until(now)
        assert await_newest_bar(desk, session, patience_seconds=20)
        assert running.clock.now() == now


def test_nothing_is_recorded_for_a_bar_that_is_not_closed(running: RunningSession, market: TradedMarket) -> None:
    session = market.sessions[-1]
    opens = running.desk.calendar.times(session).opens_at
    live = LiveResearch(running.desk, session)
    live.prepare()
    running.deliver(opens, opens + timedelta(minutes=15))

    assert not live.step(opens + timedelta(minutes=10))
    assert not running.snapshots()


def test_no_universe_is_judged_by_the_volume_of_one_exchange(running: RunningSession, market: TradedMarket) -> None:
    session, desk = market.sessions[-1], replace(running.desk, settings=Settings())
    before = desk.calendar.previous(session)
    rows = desk.bars.view(Timeframe.DAY1, [before], as_of=before)
    desk.bars.write(rows, Timeframe.DAY1, known_at=running.clock.now(), feed="iex")

    with pytest.raises(InputError, match=r"of iex alone.*data fetch .*--daily --from"):
        make_universe(desk, session)

    desk.bars.write(rows, Timeframe.DAY1, known_at=running.clock.now() + timedelta(hours=1), feed="sip")
    make_universe(desk, session)
