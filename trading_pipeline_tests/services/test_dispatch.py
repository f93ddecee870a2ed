"""Sending exactly once in effect, whatever breaks on the way."""

from __future__ import annotations

import pytest

from trading_pipeline.domain.orders import OrdStatus
from trading_pipeline.ports import Broker
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import Dispatched, dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.fakes import Crashed, Fuse, FusedLedger, fused_broker, losing_broker
from trading_pipeline_tests.services.scripted import FREE, OPENS, TIMES, Scene, Stage, a_bar, quote

WORKING = {"entry": OrdStatus.NEW, "stop": OrdStatus.NEW, "target": OrdStatus.NEW}


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """One approved bracket, not yet sent."""
    return decided(stage.scene())


def decided(scene: Scene) -> Scene:
    desk = scene.desk(at=15)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    return scene


def sync(desk: Desk) -> None:
    sync_orders(desk, TIMES.session, OPENS)


def at_venue(scene: Scene) -> int:
    return len(scene.venue.open_orders())


def test_what_is_due_is_sent_once(scene: Scene) -> None:
    assert dispatch_due(scene.desk(at=15)) == Dispatched(sent=1)
    sync(scene.desk(at=15))
    assert dispatch_due(scene.desk(at=15)) == Dispatched()

    assert scene.statuses() == WORKING
    assert at_venue(scene) == 3


def test_an_order_whose_acknowledgement_is_slow_is_not_sent_again(scene: Scene) -> None:
    dispatch_due(scene.desk(at=15))

    broker = losing_broker(scene.desk(at=20).broker)
    dispatch_due(scene.desk(at=20, broker=broker))

    assert broker.sent == []


def test_e26_a_lost_reply_is_looked_up_and_never_sent_twice(scene: Scene) -> None:
    # given an order the venue took, though its answer never came
    desk = scene.desk(at=15)
    broker = losing_broker(desk.broker, "reply")
    assert dispatch_due(scene.desk(at=15, broker=broker)) == Dispatched(in_doubt=1)
    assert scene.order().status is OrdStatus.IN_DOUBT

    # when it is looked up, it is found, and its reports tell the rest
    assert dispatch_due(scene.desk(at=15, broker=broker)) == Dispatched()
    assert scene.order().status is OrdStatus.NEW
    sync(scene.desk(at=15))

    assert scene.statuses() == WORKING
    assert len(broker.sent) == 1
    assert at_venue(scene) == 3


def test_e26_a_report_ends_the_doubt_as_well(scene: Scene) -> None:
    broker = losing_broker(scene.desk(at=15).broker, "reply")
    dispatch_due(scene.desk(at=15, broker=broker))

    sync(scene.desk(at=15))
    dispatch_due(scene.desk(at=15, broker=broker))

    assert scene.statuses() == WORKING
    assert len(broker.sent) == 1


def test_e26_a_request_that_never_arrived_is_sent_again_under_its_id(scene: Scene) -> None:
    broker = losing_broker(scene.desk(at=15).broker, "request", "request", "")
    dispatch_due(scene.desk(at=15, broker=broker))
    dispatch_due(scene.desk(at=20, broker=broker))
    assert scene.order().status is OrdStatus.IN_DOUBT

    assert dispatch_due(scene.desk(at=25, broker=broker)) == Dispatched(sent=1)
    sync(scene.desk(at=25))

    assert len(set(broker.sent)) == 1
    assert scene.statuses() == WORKING
    assert at_venue(scene) == 3


def test_an_order_in_doubt_that_never_arrived_is_not_sent_past_its_time(scene: Scene) -> None:
    broker = losing_broker(scene.desk(at=15).broker, "request")
    dispatch_due(scene.desk(at=15, broker=broker))

    assert dispatch_due(scene.desk(at=30, broker=broker)) == Dispatched(expired=1)

    assert set(scene.statuses().values()) == {OrdStatus.EXPIRED}
    assert len(broker.sent) == 1
    assert at_venue(scene) == 0


def test_an_order_in_doubt_that_did_arrive_is_kept_past_its_time(scene: Scene) -> None:
    # given a lost reply, and the venue filled the order meanwhile
    broker = losing_broker(scene.desk(at=15).broker, "reply")
    dispatch_due(scene.desk(at=15, broker=broker))
    scene.venue.on_bars([a_bar(20, "50.00", low="49.90")], scene.desk(at=20).clock.now())

    dispatch_due(scene.desk(at=35, broker=broker))
    sync(scene.desk(at=35))

    assert scene.order().status is OrdStatus.FILLED
    assert scene.shares() == [("BUY", 200, "50.00")]


def test_an_unsent_order_past_its_time_ends_with_its_legs(scene: Scene) -> None:
    assert dispatch_due(scene.desk(at=30)) == Dispatched(expired=1)

    assert set(scene.statuses().values()) == {OrdStatus.EXPIRED}
    assert at_venue(scene) == 0


def test_an_order_that_left_before_a_crash_is_not_ended_because_its_report_is_late(scene: Scene) -> None:
    dispatch_due(scene.desk(at=15))  # reports not read yet

    assert dispatch_due(scene.desk(at=30)) == Dispatched()

    assert scene.order().status is OrdStatus.NEW
    assert at_venue(scene) == 3


def test_a_refusal_ends_entry_and_legs_with_the_venues_reason(stage: Stage) -> None:
    poor = FREE.model_copy(update={"initial_cash_usd": dec(1000)})
    scene = decided(stage.scene(venue=poor))

    assert dispatch_due(scene.desk(at=15)) == Dispatched(refused=1)

    assert set(scene.statuses().values()) == {OrdStatus.REJECTED}
    assert "buying power" in scene.order().text
    assert dispatch_due(scene.desk(at=15)) == Dispatched()


@pytest.mark.parametrize("touch", range(1, 7))
def test_a_crash_anywhere_around_sending_sends_nothing_twice(stage: Stage, touch: int) -> None:
    scene = decided(stage.scene())
    fuse = Fuse(burns_at=touch)
    desk = scene.desk(at=15)
    doomed = scene.desk(
        at=15, ledger=FusedLedger(scene.ledger, fuse), broker=losing_broker(fused_broker(desk.broker, fuse), "reply")
    )
    with pytest.raises(Crashed):
        dispatch_due(doomed)

    survivor: Broker = losing_broker(desk.broker)
    for _ in range(2):
        dispatch_due(scene.desk(at=15, broker=survivor))
        sync(scene.desk(at=15))

    assert scene.statuses() == WORKING
    assert at_venue(scene) == 3


def test_of_two_senders_one_claims(scene: Scene) -> None:
    order_id = scene.order().client_order_id
    with scene.ledger.transaction() as tx:
        assert tx.claim_order(order_id, "one", 1)
    with scene.ledger.transaction() as tx:
        assert not tx.claim_order(order_id, "two", 2)
