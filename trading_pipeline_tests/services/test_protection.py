"""The guard of protection: stops of exactly the size of what is held, or an alarm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from trading_pipeline.domain.orders import EXTERNAL, Leg, OrdStatus, TimeInForce
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.services import care
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.services.guarded import (
    Faults,
    a_round,
    cover,
    desk_with,
    holding,
    position_of,
    require_never_oversold,
    sync,
    trades_at,
)
from trading_pipeline_tests.services.scripted import NEXT, TIMES, Scene, Stage, a_bar, minute, quote


def partly_filled(stage: Stage) -> Scene:
    """80 of 200 XYZ bought in a thin bar that ended at minute 20; the entry works on."""
    return holding(stage.scene(), [a_bar(20, "49.90", low="49.80", volume=800)])


def stops(scene: Scene) -> list[tuple[object, object, str]]:
    """(price, shares, life) of every stop open at the venue."""
    found = [order for order in scene.venue.open_orders() if order.stop_price is not None]
    return [(order.stop_price, order.quantity - order.cum_qty, order.time_in_force.value) for order in found]


def at_seconds(scene: Scene, seconds: float, connections: int = 0) -> None:
    """A look by the guard so many seconds after minute 20."""
    desk = scene.desk(at=15, connections=lambda: connections)
    desk.clock.sleep_until(minute(20) + (minute(1) - minute(0)) / 60 * seconds)
    care.guard_protection(desk, TIMES)
    sync(scene)


def test_e23_an_entry_partly_filled_for_five_seconds_loses_its_remainder_and_keeps_its_stop(stage: Stage) -> None:
    scene = partly_filled(stage)

    at_seconds(scene, 4)
    assert scene.order().status is OrdStatus.PARTIALLY_FILLED
    at_seconds(scene, 5)

    assert (scene.order().status, scene.order().cum_qty) == (OrdStatus.CANCELED, dec(80))
    assert stops(scene) == [(dec("48.00"), dec(80), "DAY")]
    assert cover(scene).bare == 0


def test_an_entry_filled_ahead_of_our_clock_loses_its_remainder_at_once(stage: Stage) -> None:
    scene = partly_filled(stage)

    at_seconds(scene, -4, connections=1)
    at_seconds(scene, -5)  # a venue that goes by our clock: what is ahead comes again
    assert scene.order().status is OrdStatus.PARTIALLY_FILLED
    at_seconds(scene, -5, connections=1)

    assert (scene.order().status, scene.order().cum_qty) == (OrdStatus.CANCELED, dec(80))


def test_shares_bought_ahead_of_our_clock_and_bare_ring_the_alarm_at_once(stage: Stage) -> None:
    scene = holding(stage.scene())
    for leg in (Leg.STOP, Leg.TARGET):
        scene.desk(at=20).broker.cancel(scene.order(leg).client_order_id)
    sync(scene)
    with scene.ledger.transaction() as tx:
        (held,) = tx.positions("A")
        tx.save_position(replace(held, stop=None, initial_stop=None))

    care.guard_protection(scene.desk(at=15), TIMES)
    assert scene.events("unprotected") == []
    care.guard_protection(scene.desk(at=15, connections=lambda: 1), TIMES)

    assert scene.events("unprotected") == [("unprotected", "CRITICAL")]


def test_e23_a_filled_part_without_a_stop_gets_an_oco_of_its_own_once(stage: Stage) -> None:
    # given a venue that ends the legs with the entry
    scene = partly_filled(stage)
    at_seconds(scene, 5)
    for leg in (Leg.STOP, Leg.TARGET):
        scene.desk(at=20).broker.cancel(scene.order(leg).client_order_id)
    sync(scene)

    for seconds in (6, 7, 8):
        at_seconds(scene, seconds)
        dispatch_due(scene.desk(at=20))
        sync(scene)

    assert stops(scene) == [(dec("48.00"), dec(80), "GTC")]
    (target,) = [order for order in scene.venue.open_orders() if order.limit_price is not None]
    assert (target.limit_price, target.quantity) == (dec("56.00"), dec(80))
    assert scene.events("unprotected") == []


def test_no_second_set_of_legs_is_sent_beside_live_ones_the_record_does_not_know(stage: Stage) -> None:
    scene = holding(stage.scene())
    with scene.ledger.transaction() as tx:  # a report was lost: the record says the legs have ended
        for leg in (Leg.STOP, Leg.TARGET):
            tx.save_order(replace(scene.order(leg), status=OrdStatus.CANCELED))

    desk = scene.desk(at=30)
    care.guard_protection(desk, TIMES)
    dispatch_due(desk)

    assert len(scene.venue.open_orders()) == 2
    assert len(scene.orders(Leg.STOP)) == 1
    assert scene.events("unprotected") == [("unprotected", "CRITICAL")]


def test_a_stop_for_the_day_before_protects_nothing_though_the_venue_has_not_told_its_end(stage: Stage) -> None:
    scene = holding(stage.scene())
    assert scene.order(Leg.STOP).is_open

    for second in (4, 6):  # after the next open; no report comes
        desk = scene.desk(at=15)
        desk.clock.sleep_until(NEXT.opens_at + timedelta(seconds=second))
        care.guard_protection(desk, NEXT)
        assert scene.events("unprotected") == ([] if second == 4 else [("unprotected", "CRITICAL")])


def test_a_position_without_any_stop_is_covered_and_while_it_cannot_be_the_alarm_rings(stage: Stage) -> None:
    scene = holding(stage.scene())
    for leg in (Leg.STOP, Leg.TARGET):
        scene.desk(at=20).broker.cancel(scene.order(leg).client_order_id)
    sync(scene)

    a_round(scene, 30, faults=Faults(["refused"] * 9, only="submit"))
    a_round(scene, 31, faults=Faults(["refused"] * 9, only="submit"))
    assert set(scene.events("unprotected")) == {("unprotected", "CRITICAL")}

    a_round(scene, 35)
    assert stops(scene) == [(dec("48.00"), dec(200), "GTC")]


def test_a_price_already_below_the_stop_level_is_sold_instead(stage: Stage) -> None:
    scene = holding(stage.scene())
    for leg in (Leg.STOP, Leg.TARGET):
        scene.desk(at=20).broker.cancel(scene.order(leg).client_order_id)
    sync(scene)

    a_round(scene, 30, "47.50")
    a_round(scene, 31, "47.50")
    trades_at(scene, 35, "47.40")
    sync(scene)

    assert scene.shares()[1:] == [("SELL", 200, "47.40")]
    with scene.ledger.read() as tx:
        assert [trade.exit_reason for trade in tx.trades("A")] == [ExitReason.STOP]


def test_stops_of_the_wrong_size_are_resized(stage: Stage) -> None:
    scene = holding(stage.scene())
    for leg in (Leg.STOP, Leg.TARGET):
        scene.desk(at=20).broker.replace(scene.order(leg).client_order_id, quantity=dec(120))
    sync(scene)
    assert cover(scene).bare == 80

    a_round(scene, 30)

    assert stops(scene) == [(dec("48.00"), dec(200), "DAY")]
    assert cover(scene).bare == 0


@pytest.mark.parametrize("fraction", [None, "0.05"])
def test_an_adopted_position_without_a_stop_raises_an_alarm_and_gets_one_only_when_set(
    stage: Stage, fraction: str | None
) -> None:
    scene = holding(stage.scene(strategy=EXTERNAL, exits={"external_stop_fraction": fraction}))
    for leg in (Leg.STOP, Leg.TARGET):
        scene.desk(at=20).broker.cancel(scene.order(leg).client_order_id)
    sync(scene)
    with scene.ledger.transaction() as tx:
        (held,) = tx.positions("A")
        tx.save_position(replace(held, initial_stop=None, stop=None, target=None))

    for at in (30, 31):
        a_round(scene, at)

    assert scene.events("unprotected") == [("unprotected", "CRITICAL")]
    assert stops(scene) == ([] if fraction is None else [(dec("47.50"), dec(200), "GTC")])


def test_a_stop_left_behind_by_a_position_that_is_gone_ends(stage: Stage) -> None:
    scene = holding(stage.scene())
    with scene.ledger.transaction() as tx:
        (held,) = tx.positions("A")
        tx.save_position(replace(held, quantity=dec(0)))

    care.guard_protection(scene.desk(at=30), TIMES)

    assert scene.venue.open_orders() == ()


def test_part_of_the_profit_is_sold_after_the_stop_made_room_and_the_rest_is_at_break_even_or_better(
    stage: Stage,
) -> None:
    scene = holding(stage.scene(exits={"partial_profit": True}))
    before: care.Quotes = {}
    for at, price in ((25, "54.10"), (30, "54.20"), (35, "54.30"), (40, "54.30")):
        trades_at(scene, at, price)
        desk = desk_with(scene, at)
        sync(scene)
        after = quote(price, at)
        held = care.mark_positions(desk, after)
        care.take_partial_profits(desk, TIMES, held, before, after)
        require_never_oversold(scene)
        care.trail_stops(desk, held, before, after)
        before = after
        sync(scene)
        care.guard_protection(desk, TIMES)
        sync(scene)
        dispatch_due(desk)
        sync(scene)
        require_never_oversold(scene)

    assert scene.shares() == [("BUY", 200, "50.00"), ("SELL", 67, "54.30")]
    assert stops(scene) == [(dec("52.00"), dec(133), "DAY")]
    assert [event for event in scene.events() if event[1] != "INFO"] == []


def test_a_part_is_sold_once_and_never_after_an_exit_began(stage: Stage) -> None:
    scene = holding(stage.scene(exits={"partial_profit": True}))
    held = position_of(scene)
    assert held is not None
    a_round(scene, 30, "54.50", reason=ExitReason.MANUAL)

    care.take_partial_profits(scene.desk(at=30), TIMES, [held], quote("54.50", 25), quote("54.50", 30))

    assert scene.events("partial_profit") == []
    assert TimeInForce.GTC not in {order.time_in_force for order in scene.orders()}
