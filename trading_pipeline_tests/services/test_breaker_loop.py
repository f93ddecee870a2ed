"""The loop trips by itself when record and venue stay apart, and holds entries back while prices are old."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from trading_pipeline.adapters.clock import FixedClock, SteppedClock
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.orders import Leg, OrdStatus, Side
from trading_pipeline.ports import VenuePosition
from trading_pipeline.services.breaker import read_history
from trading_pipeline.services.latch import Latch
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.braking import history, view
from trading_pipeline_tests.services.scripted import OPENS, Scene, Stage, flat_bars, minute, path
from trading_pipeline_tests.services.test_replay_acts import again

BOUGHT: dict[int, object] = {5: "50.00", 20: "49.90"}
"""XYZ's entry at 50.00 fills in minute 20."""


def as_it_is(_: str, call: Callable[[], object]) -> object:
    return call()


def live_day(scene: Scene, latch: Latch, apart: tuple[int, int]) -> None:
    """By the real clock; between those minutes the venue shows seven shares of XYZ more than were bought."""
    clock = FixedClock(OPENS)

    class Odd(Wrapped):
        def positions(self) -> Sequence[VenuePosition]:
            more = 7 if minute(apart[0]) <= clock.now() < minute(apart[1]) else 0
            return [replace(one, quantity=one.quantity + more) for one in self.broker.positions()]

    desk = scene.desk(clock=SteppedClock(OPENS, clock), latch=replace(latch, clock=clock))
    loop = scene.loop(desk=replace(desk, broker=Odd(desk.broker, as_it_is)))
    loop.real_clock = clock
    loop.run()


@dataclass
class MarketClock(FixedClock):
    """The venue's market goes its own way as time passes: the loop is not what moves it."""

    scene: Scene | None = None

    def sleep_until(self, instant: datetime) -> None:
        before = self.instant
        super().sleep_until(instant)
        assert self.scene is not None
        for bar in sorted(self.scene.bars, key=lambda one: (one.end_at, one.symbol)):
            if before < bar.end_at <= self.instant:
                self.scene.venue.on_bars([bar], bar.end_at)


def two_names(stage: Stage, **settings: Any) -> Scene:
    """XYZ is held from minute 20 on; an entry of ABC works from minute 30 on and is never filled."""
    scene = stage.scene(bars=[*path(BOUGHT), *flat_bars("50.20", "ABC")], **settings)
    scene.watchlist("XYZ", at=15)
    scene.watchlist("ABC", at=30)
    return scene


def test_a_difference_that_lasts_longer_than_five_minutes_halts_keeps_the_stop_and_withdraws_entries(
    stage: Stage, latch: Latch
) -> None:
    scene = two_names(stage)

    live_day(scene, latch, apart=(40, 110))

    (tripped,) = [at for what, at in history(scene) if what == "reconciliation"]
    assert 45 <= tripped <= 46
    assert view(scene, latch).state is TradingState.HALTED
    found = latch.look()
    assert found.trip is not None
    assert "XYZ" in found.trip.cause.words
    assert scene.order(Leg.ENTRY, "ABC").status is OrdStatus.CANCELED
    assert scene.order(Leg.ENTRY, "ABC").updated_at <= minute(46)
    sold = [fill.executed_at for fill in scene.fills() if fill.side is Side.SELL]
    assert all(at >= minute(100) for at in sold)  # nothing was closed but by the session's end


def test_a_difference_that_ends_before_holds_entries_back_for_as_long_and_latches_nothing(
    stage: Stage, latch: Latch
) -> None:
    scene = two_names(stage)

    live_day(scene, latch, apart=(40, 44))

    assert [what for what, _ in history(scene)] == []
    assert view(scene, latch).state is TradingState.ACTIVE
    assert not latch.file_blocks()


def test_prices_older_than_two_minutes_beyond_a_bar_hold_entries_back_until_a_clean_minute(
    stage: Stage, latch: Latch
) -> None:
    silent = [bar for bar in path(BOUGHT) if not minute(40) < bar.end_at <= minute(60)]
    scene = stage.scene(bars=[*silent, *flat_bars("50.20", "ABC")])
    scene.watchlist("XYZ", at=15)
    for at in (50, 70):
        scene.watchlist("ABC", at=at)
    clock = MarketClock(OPENS, scene)
    loop = scene.loop(desk=scene.desk(clock=SteppedClock(OPENS, clock), latch=latch))
    loop.real_clock, loop.market = clock, None
    loop.run()

    began, ended = read_history(scene.ledger, "A")
    assert (began.kind, began.data["trigger"], began.data["limit"]) == ("condition_began", "stale_data", "120")
    assert minute(47) <= began.occurred_at <= minute(47) + timedelta(seconds=10)  # a bar and two minutes after the last
    assert (ended.kind, ended.data["trigger"]) == ("condition_ended", "stale_data")
    assert minute(66) <= ended.occurred_at <= minute(66) + timedelta(seconds=10)  # the bar of minute 65, and a minute
    assert [order.created_at for order in scene.orders(Leg.ENTRY)] == [minute(15), minute(70)]
    assert view(scene, latch).state is TradingState.ACTIVE
    assert again(stage, scene).verified
