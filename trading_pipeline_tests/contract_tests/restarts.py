"""A process ends at any instruction and another one begins: one order, every fill, the same words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.orders import ExecType, OrdStatus
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, held, said, status_of
from trading_pipeline_tests.contract_tests.rehearsed import (
    Rehearsed,
    a_few,
    entries_at_venue,
    in_the_end,
    trades_at_venue,
    trades_told,
)
from trading_pipeline_tests.contract_tests.trader import NEW_STOP, Act, Point, act_and_die
from trading_pipeline_tests.forked import KILLED, processes
from trading_pipeline_tests.venue.builders import a_bracket, an_oco

PATIENCE_SECONDS = 60
TRADE = ExecType.TRADE


class RestartsContract:
    """The process under test ends orderly, or by kill -9 at a point of its own choosing."""

    @pytest.mark.parametrize("point", list(Point))
    def test_a_process_killed_while_it_sends_leaves_at_most_one_order_and_its_successor_makes_it_one(
        self, world: Rehearsed, point: Point
    ) -> None:
        kill_while_sending(world, point)
        found = world.broker.order("b-e")
        was_there = entries_at_venue(world)

        world.broker.submit(a_bracket())

        assert (found is not None) == bool(was_there)
        assert {Point.JOURNALED: [], Point.ANSWERED: ["b-e"]}.get(point, was_there) == was_there
        assert entries_at_venue(world) == ["b-e"]
        assert len(world.venue.open_orders()) == 3
        world.trade(99)
        assert (held(world), trades_told(world)) == ({"AAA": 100}, trades_at_venue(world))

    def test_what_a_killed_process_had_sent_trades_while_nobody_looks_and_is_told(self, world: Rehearsed) -> None:
        kill_while_sending(world, Point.SENT)
        for _ in range(2):
            world.trade(99)
        world.reopen()

        assert trades_told(world) == trades_at_venue(world)
        world.broker.submit(a_bracket())
        assert (entries_at_venue(world), held(world)) == (["b-e"], {"AAA": 100})
        assert {order.client_order_id for order in world.broker.open_orders()} == {"b-s", "b-t"}

    def test_a_process_killed_while_it_replaces_a_stop_leaves_one_stop_and_its_successor_moves_it(
        self, world: Rehearsed
    ) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)
        kill_while_sending(world, Point.SENT, Act.REPLACE)

        world.broker.replace("b-s", stop_price=NEW_STOP)

        stops = [order for order in world.broker.open_orders() if order.stop_price is not None]
        assert [(stop.client_order_id, stop.stop_price) for stop in stops] == [("b-s", NEW_STOP)]
        assert len(world.venue.open_orders()) == 2
        world.trade(97)
        assert held(world) == {}

    @pytest.mark.parametrize("point", list(Point))
    def test_a_process_killed_while_it_cancels_leaves_an_order_or_none_and_its_successor_makes_it_none(
        self, world: Rehearsed, point: Point
    ) -> None:
        world.broker.submit(a_bracket())
        kill_while_sending(world, point, Act.CANCEL)
        left = len(world.venue.open_orders())

        world.broker.cancel("b-e")

        assert {Point.JOURNALED: 3, Point.ANSWERED: 0}.get(point, left) == left
        assert in_the_end(lambda: said(world, "b-e")) == [ExecType.NEW, ExecType.CANCELED]
        world.trade(99)
        assert (held(world), len(world.venue.open_orders())) == ({}, 0)
        assert trades_told(world) == trades_at_venue(world) == []

    def test_the_next_process_tells_the_same_reports_in_the_same_words(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())
        a_few(world, 99, 30)
        world.trade(99)
        world.broker.replace("b-s", stop_price=Decimal(96))
        told = list(world.broker.execution_reports(LONG_AGO))

        world.reopen()

        assert list(world.broker.execution_reports(LONG_AGO)) == told
        world.trade(94)
        world.reopen()
        after = list(world.broker.execution_reports(LONG_AGO))
        assert after[: len(told)] == told
        assert trades_told(world) == trades_at_venue(world)

    def test_the_next_process_changes_and_cancels_what_the_former_one_sent(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)
        world.reopen()

        world.broker.replace("b-s", stop_price=Decimal(97))
        world.reopen()
        stop = world.broker.order("b-s")
        world.broker.cancel("b-t")

        assert stop is not None
        assert stop.stop_price == 97
        assert (status_of(world, "b-s"), status_of(world, "b-t")) == (OrdStatus.CANCELED, OrdStatus.CANCELED)

    def test_the_next_process_refuses_an_id_that_was_used_for_something_else(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())
        world.reopen()

        with pytest.raises(OrderRefused):
            world.broker.submit(a_bracket(quantity=99))

        assert entries_at_venue(world) == ["b-e"]

    def test_fills_between_two_processes_are_told_by_the_second(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())
        world.broker.execution_reports(LONG_AGO)
        before = world.clock.now()
        world.hang_up()
        for price in (99, 111):
            deliver_to_nobody(world, price)

        world.reopen()

        assert trades_told(world) == trades_at_venue(world)
        told = [r for r in world.broker.execution_reports(before) if r.exec_type is TRADE]
        assert [r.last_qty for r in told] == [100, 100]
        assert (status_of(world, "b-t"), held(world)) == (OrdStatus.FILLED, {})

    def test_files_that_are_lost_double_nothing_and_lose_no_fill(self, world: Rehearsed) -> None:
        first = world.broker.submit(a_bracket())
        world.trade(99)

        world.forget()

        assert world.broker.submit(a_bracket()) == first
        assert entries_at_venue(world) == ["b-e"]
        assert trades_told(world) == trades_at_venue(world)
        assert {order.client_order_id for order in world.broker.open_orders()} == {"b-s", "b-t"}
        world.trade(94)
        assert held(world) == {}

    def test_an_oco_outlives_its_process(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)
        world.broker.cancel("b-s")
        world.broker.submit(an_oco())
        world.reopen()

        assert {order.client_order_id for order in world.broker.open_orders()} == {"o-s", "o-t"}
        world.trade(94)
        assert (status_of(world, "o-s"), status_of(world, "o-t")) == (OrdStatus.FILLED, OrdStatus.CANCELED)
        assert said(world, "o-t")[-1] is ExecType.CANCELED


def kill_while_sending(world: Rehearsed, point: Point, act: Act = Act.SUBMIT) -> None:
    """Another process acts on a_bracket() and is killed at the point; then ours begins on what it left."""
    world.hang_up()
    process = processes().Process(target=act_and_die, args=({**world.child(), "point": point, "act": act},))
    process.start()
    process.join(PATIENCE_SECONDS)
    assert process.exitcode in KILLED
    world.reopen()


def deliver_to_nobody(world: Rehearsed, price: int) -> None:
    """The market goes on while no broker is connected."""
    world.trade(price)
