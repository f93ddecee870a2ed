"""What people did in a session is done again by its replay; what cannot be done again is told, not called different."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.corporate import CashActivity, CashKind
from trading_pipeline.domain.errors import ReplayDivergence
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.orders import Leg, OrdStatus, Side
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.services.adjustments import ADJUSTMENT
from trading_pipeline.services.care.requests import held_position, request_exit
from trading_pipeline.services.entries import rearm
from trading_pipeline.services.replay import Replayed, replay_session
from trading_pipeline.services.trading_state import STATE_SEEN, set_trading_state
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.services.reconciling import request
from trading_pipeline_tests.services.scripted import NEXT, OPENS, TIMES, Scene, Stage, flat_bars, minute, path
from trading_pipeline_tests.services.test_live_loop import ActingClock, live
from trading_pipeline_tests.services.test_replay import Room

ANOTHER_CLOCK = OPENS + timedelta(days=400)
ABOVE = flat_bars("50.20")
"""A market in which no entry fills."""
Acts = Mapping[int, Callable[[], None]]


def run(scene: Scene, acts: Acts, times: SessionTimes = TIMES) -> SessionRecord:
    """A stored session; somebody acts right after the steps of these minutes."""
    loop = scene.loop(times)

    def act(instant: datetime, _done: int, _all: int) -> None:
        found = acts.get(int((instant - times.opens_at).total_seconds()) // 60)
        if found:
            found()

    loop.on_step = act
    return loop.run()


def state(scene: Scene, wanted: TradingState, at: datetime = ANOTHER_CLOCK) -> Callable[[], None]:
    def say() -> None:
        set_trading_state(scene.ledger, "A", wanted, reason="a drill", operator="ann", at=at)

    return say


def close_by_hand(scene: Scene, now: datetime) -> Callable[[], None]:
    def ask() -> None:
        with scene.ledger.transaction() as tx:
            held = held_position(tx, "A", "XYZ")
            request_exit(tx, ExchangeCalendar(), held, reason=ExitReason.MANUAL, operator="ann", text="news", now=now)

    return ask


def watched(stage: Stage, bars: list[Any], at: tuple[int, ...] = (15, 30, 45, 60), **settings: Any) -> Scene:
    scene = stage.scene(bars=bars, **settings)
    for minutes in at:
        scene.watchlist("XYZ", at=minutes)
    return scene


def again(stage: Stage, scene: Scene, session: date = TIMES.session, bars: list[MarketBar] | None = None) -> Replayed:
    """Replay it in rooms with the scene's own rules."""

    def room(opening_cash_usd: Decimal) -> Room:
        made = stage.unknown_regime(bars=bars or scene.bars)
        made.rules = scene.rules.model_copy(update={"initial_cash_usd": opening_cash_usd})
        return Room(made, any_research=True)

    return replay_session(Room(scene), room, "A", session)


def entries(scene: Scene) -> list[datetime]:
    return [order.created_at for order in scene.orders(Leg.ENTRY) if order.submitted_at]


@pytest.mark.parametrize("stopped", [TradingState.HALTED, TradingState.REDUCING])
def test_a_session_halted_and_resumed_half_way_is_verified(stage: Stage, stopped: TradingState) -> None:
    scene = watched(stage, ABOVE)

    record = run(scene, {20: state(scene, stopped), 50: state(scene, TradingState.ACTIVE)})

    assert entries(scene) == [minute(15), minute(60)]
    assert scene.events(STATE_SEEN) == [(STATE_SEEN, "INFO")] * 2
    done = again(stage, scene)
    assert (done.verified, done.record.decision_hash) == (True, record.decision_hash)


def test_an_account_that_was_halted_before_the_open_is_verified_and_resumed_in_the_next_session(stage: Stage) -> None:
    # given two sessions in one chain: shares kept overnight, halted between them, resumed after the second
    scene = stage.scene(bars=[*flat_bars("49.90"), *flat_bars("50.50", times=NEXT)], exits={"hold": "swing"})
    scene.watchlist("XYZ")
    scene.watchlist("ABC", at=15, times=NEXT)
    run(scene, {40: state(scene, TradingState.HALTED), 60: state(scene, TradingState.ACTIVE)})
    state(scene, TradingState.REDUCING)()
    run(scene, {}, NEXT)
    state(scene, TradingState.ACTIVE)()

    done = again(stage, scene, NEXT.session)

    assert done.verified
    assert [held for held, _ in scene.events(STATE_SEEN)] == [STATE_SEEN] * 3


def test_a_halt_that_was_lifted_between_two_sessions_does_not_hold_back_the_second(stage: Stage) -> None:
    scene = stage.scene(bars=[*flat_bars("49.90"), *flat_bars("50.20", times=NEXT)], exits={"hold": "swing"})
    scene.watchlist("XYZ")
    scene.watchlist("XYZ", at=15, times=NEXT)
    run(scene, {40: state(scene, TradingState.HALTED)})
    state(scene, TradingState.ACTIVE)()
    run(scene, {}, NEXT)

    assert again(stage, scene, NEXT.session).verified


def test_a_manual_close_is_verified(stage: Stage) -> None:
    scene = watched(stage, path({5: "50.00", 20: "49.90"}), at=(15,))

    run(scene, {40: close_by_hand(scene, minute(41))})

    assert [side for side, _, _ in scene.shares()] == ["BUY", "SELL"]
    assert again(stage, scene).verified


def test_a_re_armed_symbol_is_verified(stage: Stage) -> None:
    scene = watched(stage, ABOVE, risk={"max_entries_per_symbol_per_session": 1})

    def lift() -> None:
        rearm(scene.desk(at=51), "XYZ", TIMES.session, reason="looked at it", operator="ann")

    run(scene, {50: lift})

    assert entries(scene) == [minute(15), minute(60)]
    assert again(stage, scene).verified


@pytest.mark.parametrize("what", ["halt", "close"])
def test_what_people_do_between_two_bars_of_a_live_session_is_verified_to_the_second(stage: Stage, what: str) -> None:
    scene = watched(stage, ABOVE if what == "halt" else path({5: "50.00", 20: "49.90"}), at=(15,))
    at = minute(41 if what == "close" else 17) + timedelta(seconds=3)
    act = close_by_hand(scene, at) if what == "close" else state(scene, TradingState.HALTED, at)
    clock: FixedClock = ActingClock(OPENS, at=at, act=act)

    live(scene, clock).run()

    with scene.ledger.read() as tx:
        told = {event.kind: event.occurred_at for event in tx.risk_events("A", TIMES.session)}
    assert at < told[STATE_SEEN if what == "halt" else "exit_started"] <= at + timedelta(seconds=5)
    assert again(stage, scene).verified


def test_a_session_that_is_different_is_still_told_from_one_that_was_halted(stage: Stage) -> None:
    scene = watched(stage, path({5: "50.00", 20: "49.90", 60: "57.00"}))
    run(scene, {20: state(scene, TradingState.HALTED)})

    with pytest.raises(ReplayDivergence, match="decides differently now: recorded"):
        again(stage, scene, bars=path({5: "50.00", 20: "49.80", 60: "55.00"}))


# what cannot be done again


def others_trade(scene: Scene, at: datetime) -> Callable[[], None]:
    def buy() -> None:
        scene.venue.submit(request("theirs", "XYZ", Side.BUY, 7), at)

    return buy


def test_orders_of_others_make_a_session_unverifiable_from_then_on_not_different(stage: Stage) -> None:
    scene = watched(stage, path({5: "50.00", 20: "49.90"}), at=(15, 60))
    run(scene, {40: others_trade(scene, minute(40))})
    assert any(order.status is OrdStatus.FILLED for order in scene.orders() if order.client_order_id == "theirs")

    done = again(stage, scene)

    assert not done.verified
    assert "had 1 order(s) made by others: not verifiable from 2025-06-10T14" in done.unverifiable
    assert "up to then it decides the same again" in done.unverifiable


def test_what_was_different_before_others_traded_is_a_divergence(stage: Stage) -> None:
    scene = watched(stage, path({5: "50.00", 20: "49.90"}), at=(15, 60))
    run(scene, {40: others_trade(scene, minute(40))})

    with pytest.raises(ReplayDivergence, match=r"1 order\(s\) made by others, the first at .*; it differs before that"):
        again(stage, scene, bars=path({5: "50.00", 20: "49.80"}))


def test_booked_cash_makes_a_session_unverifiable(stage: Stage) -> None:
    scene = watched(stage, path({5: "50.00", 20: "49.90"}), at=(15,))

    def book() -> None:
        with scene.ledger.transaction() as tx:
            tx.add_cash_activity(
                CashActivity(
                    broker=ADJUSTMENT, activity_id="adj-1", account="A", session=TIMES.session,
                    kind=CashKind.ADJUSTMENT, amount_usd=dec(5), occurred_at=minute(40), text="ann: found",
                )
            )  # fmt: skip

    run(scene, {40: book})

    assert "1 adjustment(s): not verifiable from" in again(stage, scene).unverifiable
