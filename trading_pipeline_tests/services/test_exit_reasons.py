"""Every reason to leave a position, from the session loop to the closed trade."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.domain.errors import InputError, MissingResultError
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.services.care.requests import held_position, request_exit
from trading_pipeline.services.replay import copy_requests
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.services.guarded import position_of
from trading_pipeline_tests.services.scripted import NEXT, TIMES, Scene, Stage, minute, path

STEADY = path({5: "50.00", 20: "49.90"})


class Frames:
    """Indicator frames by name. Implements the reading half of ResearchStore."""

    def __init__(self, **frames: pd.DataFrame) -> None:
        self._frames = frames

    def read(self, name: str, session: date) -> pd.DataFrame:
        if name not in self._frames:
            raise MissingResultError(f"no {name} of {session}")
        return self._frames[name]


def rows(minutes: list[int], **columns: list[float]) -> pd.DataFrame:
    """Indicator rows of XYZ whose bars end at those minutes."""
    ends = [pd.Timestamp(minute(at)) for at in minutes]
    return pd.DataFrame({"symbol": "XYZ", "end": ends, **columns})


def run(stage: Stage, *, bars: Any = STEADY, frames: Frames | None = None, **exits: Any) -> Scene:
    """XYZ is bought at minute 20; a watchlist of another symbol is made at minute 60."""
    scene = stage.scene(bars=bars, exits=exits)
    scene.watchlist("XYZ")
    scene.watchlist("XYZ", at=60, selected=False, state="PostBottom")
    scene.loop(desk=scene.desk(frames=frames)).run()
    return scene


def trades(scene: Scene) -> list[tuple[str, object]]:
    """(reason, instant) of every closed trade."""
    with scene.ledger.read() as tx:
        return [(trade.exit_reason.value, trade.exit_at) for trade in tx.trades("A")]


def test_time_is_on_by_default_and_signals_are_off(stage: Stage) -> None:
    assert trades(run(stage)) == [("time", minute(110))]


def test_a_symbol_that_drops_off_the_watchlist_past_its_bottom_is_left(stage: Stage) -> None:
    assert trades(run(stage, reversal=True)) == [("reversal", minute(65))]


MOMENTUM = rows([30, 45, 60, 75], stoch_k=[70.0, 90.0, 75.0, 60.0], macd_hist=[3.0, 2.0, 1.0, 0.5])
MID_BAND = rows([30, 60, 90], close=[50.0, 49.0, 48.0], bb_mid=[49.9, 49.5, 49.0])


def test_lost_momentum_is_left_at_the_watchlist_that_shows_it(stage: Stage) -> None:
    frames = Frames(indicators_15min=MOMENTUM)

    assert trades(run(stage, frames=frames, momentum=True)) == [("momentum", minute(65))]
    assert trades(run(stage, frames=frames, momentum=False)) == [("time", minute(110))]


def test_a_close_back_below_the_middle_band_is_left(stage: Stage) -> None:
    assert trades(run(stage, frames=Frames(indicators_1h=MID_BAND), mid_band=True)) == [("momentum", minute(65))]


def test_without_indicators_nothing_is_left_for_them(stage: Stage) -> None:
    later = rows([75, 90, 105], stoch_k=[90.0, 90.0, 70.0], macd_hist=[3.0, 2.0, 1.0])

    for frames in (None, Frames(), Frames(indicators_15min=later)):
        assert trades(run(stage, frames=frames, momentum=True, mid_band=True)) == [("time", minute(110))]


def swing(stage: Stage, sessions: int, **exits: Any) -> Scene:
    """A swing position through so many sessions, one day after another."""
    days = [
        replace(TIMES, session=TIMES.session + timedelta(days=n), opens_at=TIMES.opens_at + timedelta(days=n),
                closes_at=TIMES.closes_at + timedelta(days=n))
        for n in range(sessions)
    ]  # fmt: skip
    bars = [*STEADY, *(bar for day in days[1:] for bar in path({5: "50.50"}, times=day))]
    scene = stage.scene(bars=bars, exits={"hold": "swing", **exits})
    scene.watchlist("XYZ")
    for day in days:
        scene.loop(day).run()
    return scene


def test_e24_a_swing_sleeps_under_a_gtc_oco_and_is_left_on_its_last_day(stage: Stage) -> None:
    first = swing(stage, 1)
    resting = {(o.stop_price or o.limit_price, o.quantity, o.time_in_force.value) for o in first.venue.open_orders()}
    assert resting == {(dec("48.00"), dec(200), "GTC"), (dec("56.00"), dec(200), "GTC")}

    scene = swing(stage, 3, max_hold_sessions=3, stalled_bars=0)

    assert trades(scene) == [("max_hold", minute(110) + timedelta(days=2))]
    assert scene.venue.open_orders() == ()
    assert scene.events("unprotected_overnight") == []


def test_a_swing_that_stalls_is_left_after_its_bars(stage: Stage) -> None:
    # six 15-minute bars on the first day after minute 20, the rest on the second
    scene = swing(stage, 2, stalled_bars=8)

    assert trades(scene) == [("max_hold", minute(35) + timedelta(days=1))]


def request(scene: Scene, at: int, **changes: Any) -> str:
    with scene.ledger.transaction() as tx:
        words: dict[str, Any] = {
            "reason": ExitReason.MANUAL,
            "operator": "ann",
            "text": "news",
            "now": minute(at),
        } | changes
        return request_exit(tx, ExchangeCalendar(), held_position(tx, "A", "XYZ"), **words).event_id


def stopped_after(scene: Scene, at: int) -> None:
    """The session as far as a minute."""
    loop = scene.loop()
    loop.stop_requested = lambda: loop.desk.clock.now() >= minute(at)
    loop.run()


def test_a_person_closes_a_position_once_and_a_replay_does_the_same(stage: Stage) -> None:
    scene = stage.scene(bars=STEADY)
    scene.watchlist("XYZ")
    stopped_after(scene, 40)
    assert request(scene, 38) == request(scene, 39)

    record = scene.loop().run()

    assert trades(scene) == [("manual", minute(45))]
    assert scene.shares() == [("BUY", 200, "50.00"), ("SELL", 200, "49.90")]
    again = stage.scene(bars=STEADY)
    again.watchlist("XYZ")
    copy_requests(scene.ledger, again.ledger, record)
    assert again.loop().run().decision_hash == record.decision_hash


@pytest.mark.parametrize("reason", [ExitReason.KILL_SWITCH, ExitReason.CIRCUIT_BREAKER, ExitReason.RECONCILE])
def test_switches_ask_in_the_same_way(stage: Stage, reason: ExitReason) -> None:
    scene = stage.scene(bars=STEADY)
    scene.watchlist("XYZ")
    stopped_after(scene, 40)
    request(scene, 38, reason=reason)

    scene.loop().run()

    assert trades(scene) == [(reason.value, minute(45))]


def test_a_request_after_the_last_exits_is_carried_out_in_the_next_session(stage: Stage) -> None:
    scene = stage.scene(bars=[*STEADY, *path({5: "50.50"}, times=NEXT)], exits={"hold": "swing"})
    scene.watchlist("XYZ")
    scene.loop().run()
    with scene.ledger.transaction() as tx:
        held = held_position(tx, "A", "XYZ")
        event = request_exit(
            tx, ExchangeCalendar(), held, reason=ExitReason.MANUAL, operator="ann", text="news", now=TIMES.closes_at
        )
    assert event.session == NEXT.session

    scene.loop(NEXT).run()

    assert [reason for reason, _ in trades(scene)] == ["manual"]
    assert position_of(scene) is None


def test_a_request_names_who_why_and_what_is_held(stage: Stage) -> None:
    scene = stage.scene(bars=STEADY)
    scene.watchlist("XYZ")
    stopped_after(scene, 40)

    with pytest.raises(InputError, match="--operator NAME"):
        request(scene, 40, operator=" ")
    with scene.ledger.read() as tx, pytest.raises(InputError, match="holds no ABC; it holds: XYZ"):
        held_position(tx, "A", "ABC")
