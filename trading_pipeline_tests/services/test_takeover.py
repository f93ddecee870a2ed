"""An exit takes over the bracket, whatever fails or races: never oversold, and flat or protected in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_pipeline.domain.orders import Leg, Order, OrdStatus, TimeInForce
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.services import care
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.services.guarded import (
    Faults,
    a_round,
    cover,
    holding,
    position_of,
    require_never_oversold,
    sync,
    trades_at,
)
from trading_pipeline_tests.services.scripted import TIMES, Scene, Stage

FAULTS = ("refused", "request", "reply")


def without_target(scene: Scene) -> Scene:
    """The position under a stop of its own alone; the bracket's legs have ended."""
    desk = scene.desk(at=20)
    for leg in (Leg.STOP, Leg.TARGET):
        desk.broker.cancel(scene.order(leg).client_order_id)
    sync(scene)
    with scene.ledger.transaction() as tx:
        (held,) = tx.positions("A")
        tx.save_position(replace(held, target=None))
    care.guard_protection(desk, TIMES)
    dispatch_due(desk)
    sync(scene)
    return scene


def own_stop(scene: Scene) -> Order:
    (stop,) = [order for order in scene.orders(Leg.STOP) if order.time_in_force is TimeInForce.GTC]
    return stop


def test_e20_a_manual_exit_reprices_the_target_and_keeps_the_stop(stage: Stage) -> None:
    scene = holding(stage.scene())

    a_round(scene, 30, reason=ExitReason.MANUAL)

    assert (scene.order(Leg.TARGET).limit_price, scene.order(Leg.STOP).status) == (dec("49.50"), OrdStatus.NEW)
    trades_at(scene, 35, "49.80")
    a_round(scene, 35)
    assert scene.shares() == [("BUY", 200, "50.00"), ("SELL", 200, "49.80")]
    assert scene.venue.open_orders() == ()
    with scene.ledger.read() as tx:
        assert [trade.exit_reason for trade in tx.trades("A")] == [ExitReason.MANUAL]


def test_e20_without_a_target_the_stop_ends_before_anything_is_sold(stage: Stage) -> None:
    scene = without_target(holding(stage.scene()))

    a_round(scene, 30, reason=ExitReason.MANUAL)

    (sale,) = scene.orders(Leg.EXIT)
    assert (sale.quantity, own_stop(scene).status) == (dec(200), OrdStatus.CANCELED)
    trades_at(scene, 35, "49.80")
    a_round(scene, 35)
    assert scene.shares()[1:] == [("SELL", 200, "49.80")]
    assert len(scene.orders(Leg.EXIT)) == 1


Race = Callable[[Scene], None]
RACES: dict[str, Race] = {
    "the target fills": lambda scene: trades_at(scene, 30, "57.00", high="58.00"),
    "the stop fills": lambda scene: trades_at(scene, 30, "47.00"),
    "the target fills in part": lambda scene: trades_at(scene, 30, "57.00", high="58.00", volume=500),
    "the stop fills in part": lambda scene: trades_at(scene, 30, "47.00", volume=500),
}


@pytest.mark.parametrize("race", RACES)
@pytest.mark.parametrize("has_target", [True, False])
def test_e21_a_leg_that_fills_while_the_exit_is_placed_sells_no_share_twice(
    stage: Stage, race: str, has_target: bool
) -> None:
    scene = holding(stage.scene())
    if not has_target:
        without_target(scene)
    faults = Faults(before=lambda: RACES[race](scene))

    a_round(scene, 30, reason=ExitReason.MANUAL, faults=faults)
    require_never_oversold(scene)
    for at in (35, 40, 45):
        trades_at(scene, at, "49.00")
        a_round(scene, at, "49.00")
        require_never_oversold(scene)

    assert position_of(scene) is None
    assert scene.venue.positions() == ()
    assert scene.venue.open_orders() == ()
    assert sum(shares for side, shares, _ in scene.shares() if side == "SELL") == 200


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["replace", "cancel", "submit"])
@pytest.mark.parametrize("has_target", [True, False])
def test_an_exit_whose_call_fails_once_is_carried_on(stage: Stage, fault: str, call: str, has_target: bool) -> None:
    scene = holding(stage.scene())
    if not has_target:
        without_target(scene)

    a_round(scene, 30, reason=ExitReason.MANUAL, faults=Faults([fault], only=call))
    require_never_oversold(scene)
    for at in (35, 40, 45, 50):
        trades_at(scene, at, "49.90")
        a_round(scene, at, "49.90")
        require_never_oversold(scene)

    assert position_of(scene) is None
    assert sum(shares for side, shares, _ in scene.shares() if side == "SELL") == 200


def test_e20_nothing_is_sold_while_the_venue_has_a_sell_the_record_takes_for_ended(stage: Stage) -> None:
    scene = without_target(holding(stage.scene()))
    with scene.ledger.transaction() as tx:
        tx.save_order(replace(own_stop(scene), status=OrdStatus.CANCELED))

    held = position_of(scene)
    assert held is not None
    care.start_exit(scene.desk(at=30), TIMES, held, None, ExitReason.MANUAL)

    assert scene.orders(Leg.EXIT) == []


def test_e23_a_refused_exit_has_its_stop_back_in_the_same_round_and_is_tried_again(stage: Stage) -> None:
    scene = without_target(holding(stage.scene()))

    a_round(scene, 30, reason=ExitReason.MANUAL, faults=Faults(["refused"], only="submit"))

    (sale,) = scene.orders(Leg.EXIT)
    assert sale.status is OrdStatus.REJECTED
    (stop,) = scene.venue.open_orders()
    assert (stop.stop_price, stop.quantity) == (dec("48.00"), dec(200))
    assert cover(scene).bare == 0

    a_round(scene, 35)
    trades_at(scene, 40, "49.90")
    a_round(scene, 40)
    assert scene.shares()[1:] == [("SELL", 200, "49.90")]


def test_a_target_the_venue_never_reprices_is_cancelled_with_its_stop(stage: Stage) -> None:
    scene = holding(stage.scene())

    for at in (30, 35):
        a_round(scene, at, reason=ExitReason.MANUAL, faults=Faults(["refused"] * 9, only="replace"))
        require_never_oversold(scene)
    a_round(scene, 40)
    trades_at(scene, 45, "49.90")
    a_round(scene, 45)

    assert scene.shares()[1:] == [("SELL", 200, "49.90")]
    assert scene.order(Leg.TARGET).status is OrdStatus.CANCELED


@given(
    faults=st.lists(st.sampled_from(("", *FAULTS)), max_size=8),
    prices=st.lists(st.sampled_from(["46.00", "48.50", "50.00", "53.00", "57.00"]), min_size=3, max_size=5),
    volumes=st.lists(st.sampled_from([300, 1200, 1_000_000]), min_size=5, max_size=5),
    has_target=st.booleans(),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_fails_and_trades_no_share_is_sold_twice_and_the_position_ends(
    stage: Stage, faults: list[str], prices: list[str], volumes: list[int], has_target: bool
) -> None:
    scene = holding(stage.scene())
    if not has_target:
        without_target(scene)
    script = Faults(list(faults))
    for number, price in enumerate(prices):
        a_round(scene, 30 + 5 * number, "50.00", reason=ExitReason.MANUAL, faults=script)
        require_never_oversold(scene)
        trades_at(scene, 35 + 5 * number, price, volume=volumes[number])
    for at in range(60, 85, 5):  # the venue answers again
        a_round(scene, at, "49.90")
        require_never_oversold(scene)
        assert cover(scene).bare == 0 or ("unprotected", "CRITICAL") in scene.events()
        trades_at(scene, at + 5, "49.90")
    sync(scene)

    assert position_of(scene) is None
    assert scene.venue.positions() == ()
    assert sum(shares for side, shares, _ in scene.shares() if side == "SELL") == 200
