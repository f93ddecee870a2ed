"""A session runs once in effect: however often it is interrupted, on whatever clock, it ends as it would have."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from trading_pipeline.adapters.clock import SteppedClock
from trading_pipeline.domain.errors import LedgerError, SettingsError
from trading_pipeline.domain.fold import fold
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.domain.risk import Code
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.book import cash_after
from trading_pipeline.services.decision_log import decision_log
from trading_pipeline_tests.fakes import (
    Crashed,
    FastClock,
    Fuse,
    FusedClock,
    FusedLedger,
    LiveFeed,
    ScriptedFeed,
    fused_broker,
)
from trading_pipeline_tests.services.scripted import (
    COSTLY,
    NEXT,
    OPENS,
    TIMES,
    Scene,
    Stage,
    a_bar,
    cash_by_hand,
    flat_bars,
    minute,
    path,
)

RALLY = path({5: "50.00", 20: "49.95", 40: "53.50", 50: "54.20", 60: "54.20", 65: "51.90"})
QUIET = path({5: "50.00", 20: "49.90"}, "ABC")
LOSER = path({5: "50.00", 35: "49.90", 45: "47.00"}, "LOS")


ROOMY = {
    "max_open_risk_fraction": "0.05", "max_open_positions": 8, "max_sector_exposure_fraction": None,
    "max_correlated_exposure_fraction": None,
}  # fmt: skip
"""Every trade of the day fits in; all symbols are of an unknown sector."""


def halted(symbol: str = "HLT") -> list[MarketBar]:
    """Trades until minute 85, then no more in this session."""
    return [bar for bar in path({5: "50.00", 40: "49.90"}, symbol) if bar.end_at <= minute(85)]


def thin(symbol: str = "THN") -> list[MarketBar]:
    """So few shares trade that an entry fills in part."""
    return [a_bar(ends, "49.90" if ends > 45 else "50.00", symbol=symbol, volume=300) for ends in range(5, 125, 5)]


def an_eventful_day(stage: Stage) -> Scene:
    """A trailed rally, a stop-out, a time exit, an entry filled in part, one never filled, a refusal, and a halt."""
    bars = [*RALLY, *QUIET, *LOSER, *halted(), *thin(), *flat_bars("50.00", "FAR")]
    scene = stage.scene(venue=COSTLY, bars=bars, risk=ROOMY)
    scene.watchlist("XYZ", "ABC", at=15)
    scene.watchlist("LOS", "HLT", "FAR", at=30)
    scene.watchlist("THN", at=45)
    scene.watchlist("ABC", "BAD", at=60, target=49.0)
    return scene


def outcome(scene: Scene) -> tuple[list[str], Sequence[object], Decimal]:
    with scene.ledger.read() as tx:
        return decision_log(tx, "A", TIMES.session), tx.fills("A"), scene.venue.account().cash_usd


@dataclass(frozen=True)
class Reference:
    scene: Scene
    record: SessionRecord


@pytest.fixture(scope="module")
def reference(stage: Stage) -> Reference:
    """The eventful day without any interruption; read only."""
    scene = an_eventful_day(stage)
    return Reference(scene, scene.loop().run())


def test_the_day_is_eventful(reference: Reference) -> None:
    scene = reference.scene
    with scene.ledger.read() as tx:
        reasons = {trade.symbol: trade.exit_reason.value for trade in tx.trades("A")}
        held = {position.symbol for position in tx.positions("A")}

    assert reasons == {"XYZ": "trailing", "LOS": "stop", "ABC": "time", "FAR": "time", "THN": "time"}
    assert held == {"HLT"}
    assert {order.status for order in scene.orders(Leg.ENTRY)} >= {OrdStatus.FILLED, OrdStatus.CANCELED}
    assert ("plan_refused", "INFO") in scene.events()
    assert not [kind for kind, severity in scene.events() if severity == "CRITICAL"]


def interrupted(scene: Scene, dice: random.Random, most: int) -> tuple[SessionRecord, int]:
    """Run with a process that dies after a random number of touches, again and again; returns how often it died."""
    for deaths in range(100):
        fuse = Fuse(burns_at=dice.randint(1, most))
        clock = FusedClock(scene.desk().clock, fuse)
        desk = scene.desk(clock=clock)
        broker = fused_broker(desk.broker, fuse)
        try:
            return scene.loop(
                desk=scene.desk(clock=clock, ledger=FusedLedger(scene.ledger, fuse), broker=broker)
            ).run(), deaths
        except Crashed:
            continue
    raise AssertionError("100 lives were not enough")


@pytest.mark.parametrize(("seed", "most"), [(1, 45), (2, 45), (3, 70)])
def test_a_session_killed_anywhere_and_resumed_ends_as_it_would_have(
    stage: Stage, reference: Reference, seed: int, most: int
) -> None:
    scene = an_eventful_day(stage)

    record, deaths = interrupted(scene, random.Random(seed), most)

    assert deaths > 3
    lines, fills, cash = outcome(scene)
    expected = outcome(reference.scene)
    assert lines == expected[0]
    assert (fills, cash) == (expected[1], expected[2])
    assert record.decision_hash == reference.record.decision_hash


def test_a_session_stopped_and_resumed_at_every_step_ends_as_it_would_have(stage: Stage, reference: Reference) -> None:
    scene = an_eventful_day(stage)
    stops = 0
    while True:
        loop = scene.loop()
        seen: list[object] = []
        loop.on_step = lambda *step, seen=seen: seen.append(step)
        loop.stop_requested = lambda seen=seen: bool(seen)  # type: ignore[misc]
        record = loop.run()
        if record.phase is SessionPhase.CLOSED:
            break
        stops += 1

    assert stops == 23
    assert record.decision_hash == reference.record.decision_hash


def test_a_running_clock_and_bars_that_appear_as_time_passes_trade_the_same(stage: Stage) -> None:
    # given prices at which a few milliseconds of delay cost a bar but no money
    bars = [*path({5: "50.00", 30: "49.90", 60: "57.00"}), *path({5: "50.00", 30: "49.90"}, "ABC")]
    replayed, live = stage.scene(bars=bars), stage.scene(bars=bars)
    clock = FastClock(OPENS - timedelta(minutes=5))
    for scene in (replayed, live):
        scene.watchlist("XYZ", "ABC")

    replayed.loop().run()
    loop = live.loop(desk=live.desk(clock=clock))
    loop.feed = LiveFeed(bars, clock)
    loop.run()

    assert live.shares() == replayed.shares()
    assert len(live.shares()) == 4
    assert live.statuses() == replayed.statuses()


def test_cash_is_conserved_to_the_cent(reference: Reference) -> None:
    scene = reference.scene
    fills = scene.fills()

    by_hand = cash_by_hand(reference.record.opening_cash_usd, fills)

    assert cash_after(reference.record.opening_cash_usd, fills) == by_hand == scene.venue.account().cash_usd
    with scene.ledger.read() as tx:
        last = tx.equity_points("A")[-1]
        assert (last.at, last.cash_usd) == (TIMES.closes_at, by_hand)
        assert last.equity_usd == by_hand + sum(p.quantity * (p.mark or 0) for p in tx.positions("A"))
        tied_up = sum(p.quantity * p.avg_px + p.commission_usd - p.realized_usd for p in tx.positions("A"))
        assert sum(trade.net_usd for trade in tx.trades("A")) == by_hand - 100_000 + tied_up


def test_positions_are_the_fold_of_fills_and_equal_the_venues(reference: Reference) -> None:
    scene = reference.scene
    folded = {symbol: p.quantity for symbol, p in fold(scene.fills()).items() if p.is_open}

    assert {p.symbol: p.quantity for p in scene.venue.positions()} == folded


def test_a_closed_session_is_returned_unchanged(reference: Reference) -> None:
    scene = reference.scene
    with scene.ledger.read() as tx:
        before = tx.row_counts()

    assert scene.loop().run() == reference.record

    with scene.ledger.read() as tx:
        assert tx.row_counts() == before


def test_the_next_session_opens_with_what_the_last_one_left(stage: Stage) -> None:
    scene = stage.scene(bars=[*flat_bars(), *flat_bars(times=NEXT)])
    scene.watchlist("XYZ")
    first = scene.loop().run()

    second = scene.loop(NEXT).run()

    cash = cash_by_hand(first.opening_cash_usd, [fill for fill in scene.fills() if fill.session == TIMES.session])
    assert second.opening_cash_usd == cash
    assert second.was_flat


def test_an_earlier_session_is_refused_after_a_later_one(stage: Stage) -> None:
    scene = stage.scene(bars=[*flat_bars(), *flat_bars(times=NEXT)])
    scene.loop(NEXT).run()

    with pytest.raises(LedgerError, match=r"already traded 2025-06-11.*--dry-run --session 2025-06-10"):
        scene.loop().run()


def test_a_session_is_not_left_out_while_something_is_held(stage: Stage) -> None:
    # given a position that sleeps, and the session after the next one
    day = timedelta(days=1)
    third = SessionTimes(NEXT.session + day, NEXT.opens_at + day, NEXT.closes_at + day)
    scene = stage.scene(bars=[*halted("XYZ"), *flat_bars(times=NEXT), *flat_bars(times=third)])
    scene.watchlist("XYZ")
    scene.loop().run()
    loop = scene.loop(third)
    loop.session_after = lambda session: session + day

    with pytest.raises(LedgerError, match=r"holds 1 position.*XYZ.*2025-06-11.*replay --session 2025-06-11"):
        loop.run()

    scene.loop(NEXT).run()
    assert loop.run().phase is SessionPhase.CLOSED


def test_a_session_may_be_left_out_when_nothing_is_held(stage: Stage) -> None:
    scene = stage.scene(bars=[*flat_bars(), *flat_bars(times=NEXT)])
    scene.loop().run()
    loop = scene.loop(NEXT)
    loop.session_after = lambda session: session

    assert loop.run().was_flat


@dataclass
class LateFeed(ScriptedFeed):
    """One bar is only known when the next one has ended."""

    def __init__(self, bars: Sequence[MarketBar], late_at: datetime) -> None:
        super().__init__(bars)
        self._all, self._late_at = self._bars, late_at

    def bars_after(self, times: SessionTimes, since: Mapping[str, datetime], instant: datetime) -> Sequence[MarketBar]:
        on_time = instant > self._late_at
        self._bars = [bar for bar in self._all if on_time or bar.end_at < self._late_at]
        return super().bars_after(times, since, instant)


def test_a_bar_that_arrives_late_is_still_matched(stage: Stage) -> None:
    # given the only bar that trades below the entry, an instant late
    bars = [a_bar(ends, "50.10", low="49.90" if ends == 20 else None) for ends in range(5, 125, 5)]
    scene = stage.scene(bars=bars)
    scene.watchlist("XYZ")
    loop = scene.loop()
    loop.feed = LateFeed(bars, minute(20))

    loop.run()

    assert scene.shares()[0] == ("BUY", 200, "50.00")
    assert scene.fills()[0].executed_at == minute(20)


def test_a_late_clock_that_steps_decides_as_the_replay_does(stage: Stage, reference: Reference) -> None:
    scene = an_eventful_day(stage)
    clock = SteppedClock(OPENS, FastClock(OPENS - timedelta(minutes=5), drift=timedelta(milliseconds=3)))

    record = scene.loop(desk=scene.desk(clock=clock)).run()

    assert record.decision_hash == reference.record.decision_hash


def test_an_unfinished_session_must_be_finished_first(stage: Stage) -> None:
    scene = stage.scene(bars=[*flat_bars(), *flat_bars(times=NEXT)])
    loop = scene.loop()
    loop.stop_requested = lambda: loop.desk.clock.now() >= minute(30)
    assert loop.run().phase is SessionPhase.RUNNING

    with pytest.raises(LedgerError, match=r"2025-06-10 of account A was interrupted.*replay --session 2025-06-10"):
        scene.loop(NEXT).run()

    scene.loop().run()
    assert scene.loop(NEXT).run().phase is SessionPhase.CLOSED


def test_time_exits_need_two_bars_before_the_close(stage: Stage) -> None:
    scene = stage.scene(exits={"flatten_before_close_minutes": 5})

    with pytest.raises(SettingsError, match=r"flatten_before_close_minutes is 5.*Set it to 10"):
        scene.loop().run()


def test_a_watchlist_before_or_after_the_entry_window_is_denied_for_that_reason(stage: Stage) -> None:
    scene = stage.scene()
    for at in (10, 95, 120):
        scene.watchlist("XYZ", at=at)

    record = scene.loop().run()

    with scene.ledger.read() as tx:
        decisions = tx.decisions(record.account, record.session)
    assert len(decisions) == 3
    assert all(Code.TRADING_WINDOW in {finding.code for finding in one.findings} for one in decisions)
    assert scene.orders() == []


def test_a_session_leaves_decisions_to_the_dagster_job_when_that_decides(stage: Stage) -> None:
    scene = stage.scene(decider="dagster_job")
    scene.watchlist("XYZ")

    scene.loop().run()

    assert scene.orders() == []
