"""A filled entry that loses shares to a bust, and other purchases that are open: what is held stays under a stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import EXTERNAL, ExecType, Fill, Leg, Order, OrderType, OrdStatus, Side
from trading_pipeline.services import care
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline_tests.builders import a_report, an_order, dec
from trading_pipeline_tests.fakes import ScriptedReports
from trading_pipeline_tests.services.guarded import a_round, cover, holding, position_of, require_never_oversold
from trading_pipeline_tests.services.reconciling import Passes, a_scene, amend
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, Stage, minute


def take_back(scene: Scene, entry: Order, fill: Fill, *, left: int) -> None:
    """The venue busts the fill and books a smaller one in its place."""
    told = {"client_order_id": entry.client_order_id, "occurred_at": minute(21), "last_px": fill.price}
    reports = (
        a_report(ExecType.TRADE_CANCEL, exec_id="bust", ref_exec_id=fill.exec_id, last_qty=dec(fill.quantity), **told),
        a_report(ExecType.TRADE, exec_id="again", last_qty=dec(left), **told),
    )
    sync_orders(scene.desk(at=100, broker=ScriptedReports(reports)), TIMES.session, OPENS)


def end_legs(scene: Scene, *legs: Leg) -> None:
    for leg in legs:
        scene.desk(at=22).broker.cancel(scene.order(leg).client_order_id)


def a_purchase(status: OrdStatus = OrdStatus.NEW, **shape: object) -> Order:
    """A limit order that may buy more XYZ."""
    terms: dict[str, object] = {
        "client_order_id": "more", "intent_id": None, "symbol": "XYZ", "side": Side.BUY, "leg": Leg.ENTRY,
        "order_type": OrderType.LIMIT, "limit_price": dec(40), "stop_price": None, "quantity": dec(10),
        "cum_qty": ZERO, "status": status, "session": TIMES.session, "created_at": minute(20),
        "updated_at": minute(20),
    }  # fmt: skip
    return an_order(**terms, **shape)


def add(scene: Scene, *orders: Order) -> None:
    with scene.ledger.transaction() as tx:
        for order in orders:
            tx.add_order(order)


def stops_sent(scene: Scene) -> list[tuple[str, int]]:
    """(life, shares) of every stop that was sent beside the entry's own."""
    return [
        (o.time_in_force.value, int(o.quantity)) for o in scene.orders() if o.leg is Leg.STOP and o.parent_id is None
    ]


def test_shares_of_a_busted_entry_get_a_stop_though_the_entry_is_open_on_record(stage: Stage) -> None:
    scene = holding(stage.scene())
    take_back(scene, scene.order(), scene.fills()[0], left=150)
    assert scene.order().status is OrdStatus.PARTIALLY_FILLED
    end_legs(scene, Leg.STOP)

    for at in (22, 23, 24):
        a_round(scene, at)

    held = position_of(scene)
    assert held is not None
    assert (held.quantity, cover(scene).bare) == (dec(150), ZERO)
    assert stops_sent(scene) == [("GTC", 150)]
    require_never_oversold(scene)


@pytest.mark.parametrize("strategy", ["setups", EXTERNAL])
def test_bare_shares_get_a_stop_though_another_purchase_is_open(stage: Stage, strategy: str) -> None:
    scene = holding(stage.scene())
    add(scene, a_purchase(strategy=strategy))
    end_legs(scene, Leg.STOP)

    for at in (22, 23, 24):
        a_round(scene, at)

    assert stops_sent(scene) == [("GTC", 200)]
    assert cover(scene).bare == ZERO
    require_never_oversold(scene)


def test_an_open_bracket_and_its_legs_are_left_alone_while_bare_shares_beside_it_get_a_stop(stage: Stage) -> None:
    scene = holding(stage.scene())
    bracket = a_purchase()
    leg = replace(
        bracket, client_order_id="more-stop", side=Side.SELL, leg=Leg.STOP, order_type=OrderType.STOP,
        limit_price=None, stop_price=dec(38), parent_id="more", status=OrdStatus.PENDING_NEW,
    )  # fmt: skip
    end_legs(scene, Leg.STOP)
    add(scene, bracket, leg)

    for at in (22, 23, 24):
        a_round(scene, at)

    assert stops_sent(scene) == [("GTC", 200)]
    with scene.ledger.read() as tx:
        assert tx.order("more-stop") == leg
    require_never_oversold(scene)


def test_the_alarm_names_a_command_that_works_as_it_stands(stage: Stage) -> None:
    scene = holding(stage.scene())
    with scene.ledger.transaction() as tx:
        for leg in (Leg.STOP, Leg.TARGET):
            tx.save_order(replace(scene.order(leg), status=OrdStatus.CANCELED))

    care.guard_protection(scene.desk(at=30), TIMES)

    with scene.ledger.read() as tx:
        (told,) = [event for event in tx.risk_events("A", TIMES.session) if event.kind == "unprotected"]
    assert told.message.endswith("trading-pipeline close XYZ --reason TEXT --operator NAME")


def test_a_busted_entry_that_the_venue_calls_filled_is_ended_with_the_shares_it_kept(stage: Stage) -> None:
    scene = a_scene(stage)
    entry, make_pass = scene.order(symbol="XYZ"), Passes(scene)
    take_back(scene, entry, scene.fills()[0], left=60)
    assert scene.order(symbol="XYZ").is_open
    amend(scene, entry.client_order_id, cum_qty=dec(60), status=OrdStatus.FILLED)

    for _ in range(3):
        make_pass()

    ended = scene.order(symbol="XYZ")
    assert (ended.status, ended.cum_qty) == (OrdStatus.CANCELED, dec(60))
