"""Guarding positions: stops only rise, exits sell once, nothing stays unprotected overnight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.fold import apply_fill
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.orders import Leg, OrdStatus, Side, TimeInForce
from trading_pipeline.services import care
from trading_pipeline.services.book import exposures, read_holdings
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline_tests.builders import a_fill, dec
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.scripted import NEXT, OPENS, TIMES, Scene, Stage, a_bar, minute, path, quote

FULL_DAY, HALF_DAY = date(2024, 11, 27), date(2024, 11, 29)


def holding(scene: Scene) -> Scene:
    """200 XYZ bought at 50.00 in the bar that ended at minute 20, legs working: R is 2.00."""
    desk = scene.desk(at=15)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    dispatch_due(desk)
    scene.venue.on_bars([a_bar(20, "50.00", low="49.90")], minute(20))
    sync(scene)
    return scene


def sync(scene: Scene) -> None:
    sync_orders(scene.desk(at=119), TIMES.session, OPENS)


def trail(scene: Scene, before: object, now: object, at: int = 30) -> int:
    """One look at two quotes five minutes apart."""
    desk = scene.desk(at=at)
    with scene.ledger.read() as tx:
        held = tx.positions("A")
    moved = care.trail_stops(desk, held, quote(before, at - 5), quote(now, at))
    sync(scene)
    return moved


def stop_of(scene: Scene) -> object:
    return scene.order(Leg.STOP).stop_price


def test_a_stop_rises_only_after_two_quotes_beyond_the_step(stage: Stage) -> None:
    scene = holding(stage.scene())

    assert trail(scene, "50.00", "54.50", at=30) == 0
    assert stop_of(scene) == dec("48.00")
    assert trail(scene, "54.50", "54.50", at=35) == 1
    assert stop_of(scene) == dec("52.00")


def test_a_stop_never_falls_and_is_not_moved_twice(stage: Stage) -> None:
    scene = holding(stage.scene())
    trail(scene, "54.50", "54.50", at=30)

    assert trail(scene, "54.50", "54.50", at=35) == 0
    assert trail(scene, "53.10", "53.10", at=40) == 0
    assert stop_of(scene) == dec("52.00")


def test_e05_a_second_step_follows_the_first_because_r_is_initial(stage: Stage) -> None:
    scene = holding(stage.scene())

    trail(scene, "53.10", "53.10", at=30)
    assert stop_of(scene) == dec("50.00")
    trail(scene, "54.10", "54.10", at=35)

    assert stop_of(scene) == dec("52.00")


def test_a_repeated_quote_of_a_halted_symbol_is_one_quote(stage: Stage) -> None:
    scene = holding(stage.scene())
    with scene.ledger.read() as tx:
        held = tx.positions("A")

    same = quote("55.00", 25)
    assert care.trail_stops(scene.desk(at=35), held, same, same) == 0


def test_a_quote_from_before_the_position_does_not_raise_its_stop(stage: Stage) -> None:
    scene = holding(stage.scene())

    assert trail(scene, "55.00", "55.00", at=20) == 0


def test_a_replace_the_venue_refuses_is_noted_and_asked_again(stage: Stage) -> None:
    scene = holding(stage.scene())

    def refuse(name: str, call: object) -> object:
        raise OrderRefused(f"no {name} today")

    desk = scene.desk(at=30, broker=Wrapped(scene.desk(at=30).broker, refuse))
    with scene.ledger.read() as tx:
        held = tx.positions("A")
    assert care.trail_stops(desk, held, quote("54.50", 25), quote("54.50", 30)) == 0

    assert scene.events() == [("replace_failed", "WARNING")]
    assert trail(scene, "54.50", "54.50", at=35) == 1


@pytest.mark.parametrize(("session", "flat_from"), [(FULL_DAY, "20:45"), (HALF_DAY, "17:45")])
def test_e40_time_exits_follow_the_sessions_own_close(stage: Stage, session: date, flat_from: str) -> None:
    # 15:45 and 12:45 New York in winter
    times = ExchangeCalendar().times(session)
    scene = holding(stage.scene())

    def exits(now: object) -> bool:
        desk = scene.desk(times=times)
        desk.clock.sleep_until(now)  # type: ignore[arg-type]
        care.exit_due(desk, times, quote("50.00", 25))
        sync(scene)
        return scene.order(Leg.TARGET).limit_price != dec("56.00")

    starts = times.closes_at - timedelta(minutes=15)
    assert f"{starts:%H:%M}" == flat_from
    assert not exits(starts - timedelta(seconds=1))
    assert exits(starts)


def test_e20_a_time_exit_repeated_every_step_sells_once(stage: Stage) -> None:
    scene = holding(stage.scene())
    for at in (105, 110, 115):
        desk = scene.desk(at=at)
        care.exit_due(desk, TIMES, quote("50.00", at))
        dispatch_due(desk)
        sync(scene)
        if at == 110:
            scene.venue.on_bars([a_bar(at + 5, "50.00")], minute(at + 5))
            sync(scene)

    assert scene.shares() == [("BUY", 200, "50.00"), ("SELL", 200, "50.00")]
    assert scene.statuses()["stop"] is OrdStatus.CANCELED
    assert scene.venue.open_orders() == ()


def without_target(scene: Scene) -> Scene:
    """The same position, guarded by a stop alone."""
    desk = scene.desk(at=25)
    with scene.ledger.transaction() as tx:
        (held,) = tx.positions("A")
        tx.save_position(replace(held, target=None))
    for leg in (Leg.STOP, Leg.TARGET):
        desk.broker.cancel(scene.order(leg).client_order_id)
    sync(scene)
    care.protect_overnight(desk, TIMES)
    dispatch_due(desk)
    sync(scene)
    return scene


def test_e20_without_a_target_the_stop_makes_room_before_the_sale(stage: Stage) -> None:
    scene = without_target(holding(stage.scene()))
    desk = scene.desk(at=105)

    assert care.exit_due(desk, TIMES, {}) == 1
    assert scene.orders(Leg.EXIT) == []  # the stop's end is not confirmed yet
    sync(scene)
    for _ in range(3):
        care.exit_due(desk, TIMES, {})
        dispatch_due(desk)
        sync(scene)

    (sale,) = scene.orders(Leg.EXIT)
    assert (sale.quantity, sale.status) == (dec(200), OrdStatus.NEW)
    scene.venue.on_bars([a_bar(110, "49.50")], minute(110))
    sync(scene)
    care.exit_due(scene.desk(at=110), TIMES, {})
    assert dispatch_due(scene.desk(at=110)).sent == 0
    assert scene.shares()[-1] == ("SELL", 200, "49.50")


def test_an_exit_waits_while_a_leg_may_still_sell(stage: Stage) -> None:
    # given legs whose cancel is asked for, not confirmed
    scene = holding(stage.scene())
    with scene.ledger.transaction() as tx:
        for leg in (Leg.STOP, Leg.TARGET):
            order = tx.order(scene.order(leg).client_order_id)
            assert order is not None
            tx.save_order(replace(order, status=OrdStatus.PENDING_CANCEL))

    care.exit_due(scene.desk(at=105), TIMES, {})

    assert scene.orders(Leg.EXIT) == []


def test_a_night_stop_is_written_once(stage: Stage) -> None:
    scene = holding(stage.scene())
    desk = scene.desk(at=115)
    assert care.release_day_legs(desk) == 2
    sync(scene)

    for _ in range(2):  # a crash before the dispatch repeats the step
        care.protect_overnight(desk, TIMES)

    night = [order for order in scene.orders(Leg.STOP) if order.time_in_force is TimeInForce.GTC]
    assert [(order.stop_price, order.quantity) for order in night] == [(dec("48.00"), dec(200))]


@pytest.mark.parametrize(("at", "stale"), [(25, False), (30, True)])
def test_an_entry_is_cancelled_at_the_end_of_its_time_to_live(stage: Stage, at: int, stale: bool) -> None:
    scene = stage.scene()
    desk = scene.desk(at=15)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    dispatch_due(desk)
    sync(scene)

    assert care.cancel_stale_entries(scene.desk(at=at), TIMES) == int(stale)
    sync(scene)

    assert scene.order().status is (OrdStatus.CANCELED if stale else OrdStatus.NEW)


def test_entries_are_cancelled_before_time_exits_begin(stage: Stage) -> None:
    # given an entry that may live until long after the flatten time
    scene = stage.scene(plan={"entry_ttl_minutes": 390})
    desk = scene.desk(at=15)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    dispatch_due(desk)
    sync(scene)

    assert care.cancel_stale_entries(scene.desk(at=100), TIMES) == 0
    assert care.cancel_stale_entries(scene.desk(at=105), TIMES) == 1


def test_e24_a_halted_symbol_sleeps_under_a_gtc_stop_and_is_sold_the_next_day(stage: Stage) -> None:
    # given a symbol that stops trading before the time exit, and trades again the next day
    prices = path({5: "50.00", 20: "49.90"})
    bars = [bar for bar in prices if bar.end_at <= minute(90)] + path({5: "50.50"}, times=NEXT)
    scene = stage.scene(bars=bars)
    scene.watchlist("XYZ")

    scene.loop().run()

    (night,) = scene.venue.open_orders()
    stops = {order.client_order_id: order for order in scene.orders(Leg.STOP)}
    assert stops[night.client_order_id].time_in_force is TimeInForce.GTC
    assert night.stop_price == dec("48.00")

    record = scene.loop(NEXT).run()

    assert not record.was_flat
    assert scene.shares() == [("BUY", 200, "50.00"), ("SELL", 200, "50.50")]
    assert scene.venue.open_orders() == ()
    with scene.ledger.read() as tx:
        assert [(trade.session, trade.exit_reason.value) for trade in tx.trades("A")] == [(NEXT.session, "time")]


def test_a_gap_through_the_night_stop_sells_at_the_open(stage: Stage) -> None:
    bars = [bar for bar in path({5: "50.00", 20: "49.90"}) if bar.end_at <= minute(90)]
    scene = stage.scene(bars=[*bars, *path({5: "45.00"}, times=NEXT)])
    scene.watchlist("XYZ")
    scene.loop().run()

    scene.loop(NEXT).run()

    assert scene.shares()[-1] == ("SELL", 200, "45.00")
    with scene.ledger.read() as tx:
        assert [trade.exit_reason.value for trade in tx.trades("A")] == ["stop"]


def test_e13_marks_follow_quotes_and_keep_the_last_good_one(stage: Stage) -> None:
    scene = holding(stage.scene())
    care.mark_positions(scene.desk(at=25), quote("50.70", 25))

    (held,) = care.mark_positions(scene.desk(at=30), {})
    (kept,) = care.mark_positions(scene.desk(at=30), quote("49.00", 22))

    assert (held.mark, held.marked_at) == (dec("50.70"), minute(25))
    assert kept == held


def test_a_half_day_is_flat_before_its_early_close(stage: Stage) -> None:
    early = SessionTimes(TIMES.session, OPENS, OPENS + timedelta(minutes=90))
    scene = stage.scene(bars=path({5: "50.00", 20: "49.90"}))
    scene.watchlist("XYZ")

    scene.loop(early).run()

    sale = scene.fills()[-1]
    assert (sale.side.value, sale.executed_at) == ("SELL", minute(80))


def never_traded_again(stage: Stage) -> Scene:
    """XYZ is bought, halts before the time exit, and trades again the next day."""
    today = [bar for bar in path({5: "50.00", 20: "49.90"}) if bar.end_at <= minute(90)]
    scene = stage.scene(bars=[*today, *path({5: "50.50"}, times=NEXT)])
    scene.watchlist("XYZ")
    return scene


def silent_from(scene: Scene, at: int, until: int, *calls: str) -> Desk:
    """A desk whose venue does not answer the named calls from one minute to another."""
    desk = scene.desk()

    def around(name: str, call: Callable[[], object]) -> object:
        if name in calls and minute(at) <= desk.clock.now() < minute(until):
            raise OutcomeUnknown("no answer within 10 s")
        return call()

    return replace(desk, broker=Wrapped(desk.broker, around))


def night_stops(scene: Scene) -> list[tuple[object, object]]:
    stops = {o.client_order_id: o for o in scene.orders(Leg.STOP) if o.time_in_force is TimeInForce.GTC}
    return [(o.stop_price, o.quantity) for o in scene.venue.open_orders() if o.client_order_id in stops]


def test_a_day_leg_that_would_not_be_cancelled_expires_and_a_night_stop_takes_its_place(stage: Stage) -> None:
    scene = never_traded_again(stage)

    scene.loop(desk=silent_from(scene, 110, 121, "cancel")).run()

    assert night_stops(scene) == [(dec("48.00"), dec(200))]
    assert scene.events("unprotected_overnight") == []


def test_a_release_that_failed_once_is_asked_for_again_at_the_last_bar(stage: Stage) -> None:
    scene = never_traded_again(stage)

    scene.loop(desk=silent_from(scene, 115, 120, "cancel")).run()

    assert night_stops(scene) == [(dec("48.00"), dec(200))]


def test_a_position_that_sleeps_without_a_stop_is_a_critical_event_and_gets_one_at_the_next_open(stage: Stage) -> None:
    scene = never_traded_again(stage)
    scene.loop(desk=silent_from(scene, 110, 121, "cancel", "submit")).run()
    assert night_stops(scene) == []
    assert scene.events("unprotected_overnight") == [("unprotected_overnight", "CRITICAL")]

    loop, stops = scene.loop(NEXT), iter([False])
    loop.stop_requested = lambda: next(stops, True)  # right after the open
    loop.run()

    assert night_stops(scene) == [(dec("48.00"), dec(200))]


def test_a_position_without_a_live_stop_counts_its_notional_as_risk(stage: Stage) -> None:
    scene = holding(stage.scene())

    def risk() -> object:
        desk = scene.desk(at=30)
        with scene.ledger.read() as tx:
            record = tx.session_record("A", TIMES.session)
            assert record is not None
            (seen,) = exposures(read_holdings(desk, tx, record), [])
        return seen.stop

    assert risk() == dec("48.00")
    scene.desk(at=30).broker.cancel(scene.order(Leg.STOP).client_order_id)
    sync(scene)

    assert risk() is None


def test_break_even_after_a_partial_exit_costs_what_a_share_pays_both_ways(stage: Stage) -> None:
    bought = a_fill(Side.BUY, 100, 50, commission=1)
    held = apply_fill(apply_fill(None, bought), a_fill(Side.SELL, 90, 56, commission=1))

    assert care.entry_costs_per_share(apply_fill(None, bought)) == dec("0.02")
    assert dec("0.02") <= care.entry_costs_per_share(held) < dec("0.03")


def test_a_target_filled_in_part_and_closed_in_time_slips_only_in_what_the_exit_lost(stage: Stage) -> None:
    # given half sold at the target, and the rest in time, ten cents below the price the exit was started at
    bars = [a_bar(ends, "50.00", low="49.90") for ends in range(5, 60, 5)]
    bars += [a_bar(60, "55.00", opened="50.00", high="56.10", volume=1000)]
    bars += [a_bar(ends, "55.00" if ends <= 105 else "54.90") for ends in range(65, 125, 5)]
    scene = stage.scene(bars=bars)
    scene.watchlist("XYZ")

    scene.loop().run()

    assert scene.shares()[1:] == [("SELL", 100, "56.00"), ("SELL", 100, "54.90")]
    with scene.ledger.read() as tx:
        assert [trade.slippage_usd for trade in tx.trades("A")] == [dec(10)]
