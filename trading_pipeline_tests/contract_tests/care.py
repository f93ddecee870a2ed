"""The contract together with the services that care for positions: what is bought in part does not lie bare."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from trading_pipeline.domain.orders import EXTERNAL, OrderType, OrdStatus, Side
from trading_pipeline.services import care
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline.services.reconcile import reconcile
from trading_pipeline.venue.faults import Fault
from trading_pipeline.venue.watch import bare_shares
from trading_pipeline_tests.contract_tests.rehearsed import (
    Call,
    Rehearsed,
    entries_at_venue,
    healed,
    overfill,
    require_playable,
    trades_at_venue,
)
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, Stage, a_bar, quote
from trading_pipeline_tests.venue.builders import an_order

UNHEARD = [Fault.DROP_REPLY, Fault.HTTP_504, Fault.HTML_BODY, Fault.MALFORMED]
LOST = [Fault.DROP_REQUEST, Fault.HTTP_500, Fault.HTTP_429]
MOST_BARE_SECONDS = 10


class CareContract:
    """A desk over the broker: 200 XYZ are to be bought at 50.00, with a stop at 48.00 and a target at 56.00."""

    @pytest.fixture(scope="class")
    def stage(self, tmp_path_factory: pytest.TempPathFactory) -> Stage:
        return Stage(tmp_path_factory.mktemp("stage"))

    @pytest.fixture
    def scene(self, stage: Stage) -> Scene:
        return stage.scene()

    def test_e23_an_entry_filled_in_part_lies_under_a_stop_within_seconds(self, world: Rehearsed, scene: Scene) -> None:
        desk = decided(world, scene)
        dispatch_due(desk)
        world.deliver(a_bar(20, "49.90", low="49.80", volume=800))  # 80 of 200

        bare = [a_second(world, desk) for _ in range(MOST_BARE_SECONDS + 5)]

        assert not any(bare[MOST_BARE_SECONDS:])
        assert world.nature.legs_wait or not any(bare)
        assert (scene.order().status, scene.order().cum_qty) == (OrdStatus.CANCELED, Decimal(80))
        stops = [order for order in world.venue.open_orders() if order.stop_price is not None]
        assert [(stop.stop_price, stop.quantity - stop.cum_qty) for stop in stops] == [(Decimal(48), Decimal(80))]
        assert [(side, shares) for side, shares, _ in scene.shares()] == [("BUY", 80)]

    @pytest.mark.parametrize("fault", [*LOST, *UNHEARD])
    def test_an_entry_in_doubt_is_bought_once_or_never_and_never_lies_bare(
        self, hasty: Rehearsed, scene: Scene, fault: Fault
    ) -> None:
        require_playable(hasty, fault)
        desk = decided(hasty, scene)
        hasty.play(Call.SUBMIT, fault)
        dispatch_due(desk)
        healed(hasty)

        for _ in range(3):
            a_second(hasty, desk)
        hasty.deliver(a_bar(25, "50.00", low="49.90"))
        bare = [a_second(hasty, desk) for _ in range(2)]

        assert len(entries_at_venue(hasty)) <= 1
        assert not any(bare)
        assert sum(fill.quantity for fill in scene.fills()) == sum(shares for shares, _ in trades_at_venue(hasty))
        assert [order.cum_qty for order in scene.orders() if order.cum_qty] in ([200], [])

    @pytest.mark.parametrize("price", ["47.00", "57.00"], ids=["to its stop", "to its target"])
    def test_record_and_venue_agree_while_a_trade_is_open_and_after_it(
        self, world: Rehearsed, scene: Scene, price: str
    ) -> None:
        desk = decided(world, scene)
        assert agree(world, desk)
        dispatch_due(desk)
        assert agree(world, desk)
        world.deliver(a_bar(20, "50.50"), a_bar(25, "49.90", low="49.80"))  # the first began before it was sent
        a_second(world, desk)
        assert agree(world, desk)

        world.deliver(a_bar(30, price))
        a_second(world, desk)

        assert agree(world, desk)
        assert sum(shares if side == "BUY" else -shares for side, shares, _ in scene.shares()) == 0
        assert [order for order in scene.orders() if order.is_open] == []

    def test_shares_somebody_else_bought_are_taken_over_and_lock_their_symbol(
        self, world: Rehearsed, scene: Scene
    ) -> None:
        desk = decided(world, scene)
        theirs = an_order("theirs", Side.BUY, OrderType.LIMIT, limit=51, quantity=7, symbol="XYZ")
        world.stranger().submit(theirs)
        world.deliver(a_bar(20, "49.90", low="49.80"))
        a_second(world, desk)

        assert not agree(world, desk)

        assert [order.strategy for order in scene.orders() if order.quantity == 7] == [EXTERNAL]
        with scene.ledger.read() as tx:
            assert {block.symbol for block in tx.blocks(desk.account)} == {"XYZ"}

    def test_words_nobody_has_heard_of_stop_no_desk(self, hasty: Rehearsed, scene: Scene) -> None:
        require_playable(hasty, Fault.UNKNOWN_VALUE)
        desk = decided(hasty, scene)
        dispatch_due(desk)
        hasty.play(Call.ANY, Fault.UNKNOWN_VALUE, times=0)

        a_second(hasty, desk)
        hasty.deliver(a_bar(20, "49.90", low="49.80"))
        a_second(hasty, desk)
        healed(hasty)
        a_second(hasty, desk)

        assert (scene.order().status, scene.order().cum_qty) == (OrdStatus.FILLED, Decimal(200))
        assert [(order.leg.value, order.status) for order in scene.orders() if order.is_open] == [
            ("stop", OrdStatus.NEW),
            ("target", OrdStatus.NEW),
        ]

    def test_more_shares_than_were_ordered_are_booked_and_an_alarm(self, world: Rehearsed, scene: Scene) -> None:
        desk = decided(world, scene)
        dispatch_due(desk)
        world.deliver(a_bar(20, "49.90", low="49.80"))
        overfill(world, scene.order().client_order_id, 7)
        world.deliver(a_bar(25, "50.00"))

        a_second(world, desk)

        assert sorted(shares for side, shares, _ in scene.shares() if side == "BUY") == [7, 200]
        assert ("overfill", "CRITICAL") in scene.events()

    def test_shares_of_somebody_else_are_no_error_for_the_desk(self, world: Rehearsed, scene: Scene) -> None:
        desk = decided(world, scene)
        dispatch_due(desk)

        world.stranger().submit(an_order("theirs", Side.BUY, OrderType.LIMIT, limit=51, quantity=7, symbol="XYZ"))
        world.deliver(a_bar(20, "49.90", low="49.80"))
        a_second(world, desk)

        assert sum(fill.quantity for fill in scene.fills() if fill.client_order_id != "theirs") == 200


def decided(world: Rehearsed, scene: Scene) -> Desk:
    """The desk at minute 15, its entry decided and not sent."""
    world.deliver(a_bar(15, "50.00"))
    desk = scene.desk(broker=world.broker, clock=world.clock)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    return desk


def a_second(world: Rehearsed, desk: Desk) -> Decimal:
    """One second later, one round of the loop; returns the shares that lie bare after it."""
    world.clock.sleep_until(world.clock.now() + timedelta(seconds=1))
    for step in (sync, guard, dispatch_due, sync):
        step(desk)
    return bare_shares(world.venue).get("XYZ", Decimal(0))


def agree(world: Rehearsed, desk: Desk) -> bool:
    """Two comparisons, far enough apart for what differs to count as a difference."""
    passes = []
    for _ in range(2):
        world.clock.sleep_until(world.clock.now() + timedelta(seconds=6))
        sync(desk)
        passes.append(reconcile(desk, TIMES.session))
    assert passes[-1] is not None, "the venue gave no answer"
    return passes[-1].is_clean


def sync(desk: Desk) -> None:
    sync_orders(desk, TIMES.session, OPENS)


def guard(desk: Desk) -> None:
    care.guard_protection(desk, TIMES)
