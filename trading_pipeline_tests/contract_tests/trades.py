"""Every kind and life of order does what it says, and what is changed in time holds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.orders import ExecType, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline_tests.adapters.venue_worlds import next_session
from trading_pipeline_tests.contract_tests.broker import (
    LONG_AGO,
    bought,
    held,
    quantity_of,
    reports_of,
    said,
    status_of,
)
from trading_pipeline_tests.contract_tests.rehearsed import Rehearsed, a_few
from trading_pipeline_tests.venue.builders import a_bar, a_bracket, an_oco, an_order

BUY, SELL = Side.BUY, Side.SELL
NEW, TRADE, CANCELED, EXPIRED = ExecType.NEW, ExecType.TRADE, ExecType.CANCELED, ExecType.EXPIRED
MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP
STOP_LIMIT, TRAILING = OrderType.STOP_LIMIT, OrderType.TRAILING_STOP


class TradesContract:
    """Orders in a venue that behaves."""

    def test_a_market_order_trades_at_the_next_price(self, world: Rehearsed) -> None:
        bought(world)

        world.broker.submit(an_order("m", SELL, MARKET))
        world.trade(103)

        (fill,) = [report for report in reports_of(world, "m") if report.exec_type is TRADE]
        assert fill.last_qty == 100
        assert held(world) == {}
        assert Decimal("102.9") <= fill.last_px <= 103

    def test_a_limit_order_waits_for_its_price_and_gets_no_worse(self, world: Rehearsed) -> None:
        world.broker.submit(an_order("l", BUY, LIMIT, limit=100))
        world.trade(101)
        assert (said(world, "l"), held(world)) == ([NEW], {})

        world.trade(99)

        (fill,) = [report for report in reports_of(world, "l") if report.exec_type is TRADE]
        assert fill.last_px <= 100
        assert status_of(world, "l") is OrdStatus.FILLED

    def test_a_stop_order_sleeps_above_its_price_and_sells_below_it(self, world: Rehearsed) -> None:
        bought(world)
        world.broker.submit(an_order("s", SELL, STOP, stop=95))
        world.trade(96)
        assert held(world) == {"AAA": 100}

        world.trade(94)

        assert (status_of(world, "s"), held(world)) == (OrdStatus.FILLED, {})

    def test_a_stop_limit_order_that_was_triggered_waits_for_its_limit(self, world: Rehearsed) -> None:
        bought(world)
        world.broker.submit(an_order("sl", SELL, STOP_LIMIT, stop=95, limit="94.5"))
        world.trade(93)
        assert held(world) == {"AAA": 100}

        world.trade(95)

        (fill,) = [report for report in reports_of(world, "sl") if report.exec_type is TRADE]
        assert fill.last_px >= Decimal("94.5")
        assert held(world) == {}

    def test_a_trailing_stop_follows_the_price_up_and_never_down(self, world: Rehearsed) -> None:
        if TRAILING not in world.broker.capabilities.order_types:
            pytest.skip("stated difference: this venue has no trailing stops")
        bought(world)
        world.broker.submit(an_order("t", SELL, TRAILING, trail="2"))
        for price in (105, 104):
            world.trade(price)
        assert held(world) == {"AAA": 100}

        world.trade(102)

        assert (said(world, "t"), held(world)) == ([NEW, TRADE], {})

    def test_an_immediate_order_takes_what_it_gets_and_ends(self, world: Rehearsed) -> None:
        require_life(world, TimeInForce.IOC)
        world.broker.submit(an_order("i", BUY, LIMIT, limit=100, time_in_force=TimeInForce.IOC))

        a_few(world, 99)

        assert held(world) == {"AAA": 10}
        assert said(world, "i")[:2] == [NEW, TRADE]
        assert status_of(world, "i") in {OrdStatus.CANCELED, OrdStatus.EXPIRED}
        world.trade(99)
        assert held(world) == {"AAA": 10}

    def test_an_all_or_nothing_order_takes_nothing_when_there_is_not_enough(self, world: Rehearsed) -> None:
        require_life(world, TimeInForce.FOK)
        world.broker.submit(an_order("f", BUY, LIMIT, limit=100, time_in_force=TimeInForce.FOK))

        a_few(world, 99)
        world.trade(99)

        assert held(world) == {}
        assert TRADE not in said(world, "f")
        assert status_of(world, "f") in {OrdStatus.CANCELED, OrdStatus.EXPIRED}

    def test_an_all_or_nothing_order_takes_all_when_there_is_enough(self, world: Rehearsed) -> None:
        require_life(world, TimeInForce.FOK)
        world.broker.submit(an_order("f", BUY, LIMIT, limit=100, time_in_force=TimeInForce.FOK))

        world.trade(99)

        assert (held(world), status_of(world, "f")) == ({"AAA": 100}, OrdStatus.FILLED)

    @pytest.mark.parametrize("life", list(TimeInForce))
    def test_a_life_is_told_back_as_it_was_sent(self, world: Rehearsed, life: TimeInForce) -> None:
        require_life(world, life)
        world.close_session()
        world.venue.on_session_open(next_session(), {}, {})  # tomorrow's hours are known, and its auctions are to come
        world.broker.submit(an_order("x", BUY, LIMIT, limit=90, time_in_force=life))

        order = world.broker.order("x")

        assert order is not None
        assert (order.time_in_force, order.order_type, order.limit_price) == (life, LIMIT, Decimal(90))

    def test_an_order_for_many_sessions_outlives_the_close(self, world: Rehearsed) -> None:
        world.broker.submit(an_order("g", BUY, LIMIT, limit=100, time_in_force=TimeInForce.GTC))
        world.broker.submit(an_order("d", BUY, LIMIT, limit=100))

        world.close_session()

        assert [order.client_order_id for order in world.broker.open_orders()] == ["g"]
        assert (said(world, "d"), said(world, "g")) == ([NEW, EXPIRED], [NEW])

    def test_an_order_sent_while_the_market_is_closed_waits_for_the_next_session(self, world: Rehearsed) -> None:
        world.close_session()
        world.broker.submit(an_order("x", BUY, LIMIT, limit=100))
        assert status_of(world, "x") in {OrdStatus.NEW, OrdStatus.PENDING_NEW}

        tomorrow = next_session()
        world.clock.sleep_until(tomorrow.opens_at)
        world.deliver(a_bar(24 * 60, 99, 99, 99, 99))

        assert (status_of(world, "x"), held(world)) == (OrdStatus.FILLED, {"AAA": 100})

    def test_an_order_in_a_halted_symbol_waits_and_trades_after_it(self, world: Rehearsed) -> None:
        world.halt(minutes=2)
        world.broker.submit(an_order("x", BUY, LIMIT, limit=100))
        world.trade(99)
        world.trade(99)
        assert (said(world, "x"), held(world)) == ([NEW], {})

        world.trade(99)

        assert (said(world, "x"), held(world)) == ([NEW, TRADE], {"AAA": 100})

    # parts

    def test_an_order_filled_in_parts_tells_each_part(self, world: Rehearsed) -> None:
        world.broker.submit(an_order("x", BUY, LIMIT, limit=100))

        a_few(world, 99, 30)
        order = world.broker.order("x")
        assert order is not None
        assert (order.status, order.cum_qty, order.quantity) == (OrdStatus.PARTIALLY_FILLED, Decimal(30), Decimal(100))
        world.trade(99)

        assert [r.last_qty for r in reports_of(world, "x") if r.exec_type is TRADE] == [30, 70]
        assert (status_of(world, "x"), held(world)) == (OrdStatus.FILLED, {"AAA": 100})

    def test_shares_bought_before_a_cancel_stay_bought(self, world: Rehearsed) -> None:
        world.broker.submit(an_order("x", BUY, LIMIT, limit=100))
        a_few(world, 99, 30)

        world.broker.cancel("x")
        world.trade(99)

        assert said(world, "x") == [NEW, TRADE, CANCELED]
        assert (held(world), quantity_of(world, "x")) == ({"AAA": 30}, Decimal(100))

    def test_a_target_filled_in_part_takes_as_many_shares_off_the_stop(self, world: Rehearsed) -> None:
        bought(world)
        world.broker.submit(an_oco())
        a_few(world, 111, 40)

        stop = world.broker.order("o-s")
        assert stop is not None
        assert stop.quantity - stop.cum_qty == 60
        world.trade(94)

        assert held(world) == {}
        sold = [r.last_qty for leg in ("o-s", "o-t") for r in reports_of(world, leg) if r.exec_type is TRADE]
        assert sum(sold) == 100

    def test_a_stop_filled_in_part_goes_on_and_sells_no_share_twice(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        a_few(world, 94, 40)
        assert held(world) == {"AAA": 60}
        world.trade(111)  # the target's price: whichever leg sells, no more than is held
        world.trade(94)

        assert held(world) == {}
        sold = [r.last_qty for leg in ("b-s", "b-t") for r in reports_of(world, leg) if r.exec_type is TRADE]
        assert sum(sold) == 100

    # changes and races

    def test_a_limit_replaced_before_the_market_came_trades_at_the_new_price(self, world: Rehearsed) -> None:
        world.broker.submit(an_order("x", BUY, LIMIT, limit=95))
        world.broker.replace("x", limit_price=Decimal(100))

        world.trade(99)

        assert said(world, "x") == [NEW, ExecType.REPLACED, TRADE]
        assert held(world) == {"AAA": 100}

    def test_what_was_filled_before_it_was_replaced_stays_filled(self, world: Rehearsed) -> None:
        world.broker.submit(an_order("x", BUY, LIMIT, limit=100))
        world.trade(99)

        with pytest.raises(OrderRefused):
            world.broker.replace("x", limit_price=Decimal(90))

        assert (said(world, "x"), held(world)) == ([NEW, TRADE], {"AAA": 100})

    def test_a_working_order_gets_another_quantity(self, world: Rehearsed) -> None:
        world.broker.submit(an_order("x", BUY, LIMIT, limit=100))
        if not world.broker.capabilities.replaces_quantity:
            with pytest.raises(OrderRefused, match="Cancel it"):
                world.broker.replace("x", quantity=Decimal(60))
            assert quantity_of(world, "x") == 100
            return

        world.broker.replace("x", quantity=Decimal(60))
        world.trade(99)

        assert (held(world), quantity_of(world, "x")) == ({"AAA": 60}, Decimal(60))

    def test_a_partly_filled_order_never_buys_more_than_was_asked_when_its_price_changes(
        self, world: Rehearsed
    ) -> None:
        world.broker.submit(an_order("x", BUY, LIMIT, limit=100))
        a_few(world, 99, 30)

        if world.nature.replaces_partly_filled:
            world.broker.replace("x", limit_price=Decimal(101))
        else:
            with pytest.raises(OrderRefused):
                world.broker.replace("x", limit_price=Decimal(101))
        world.trade(99)

        assert held(world) == {"AAA": 100}
        assert status_of(world, "x") is OrdStatus.FILLED

    def test_a_fill_that_wins_against_a_cancel_stands(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())
        assert len(world.broker.open_orders()) == 3
        world.trade(99)  # and nobody has looked since

        world.broker.cancel("b-e")

        assert (said(world, "b-e"), held(world)) == ([NEW, TRADE], {"AAA": 100})
        assert {order.client_order_id for order in world.broker.open_orders()} == {"b-s", "b-t"}

    def test_a_cancel_that_wins_against_a_fill_stands(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())

        world.broker.cancel("b-e")
        world.trade(99)

        assert held(world) == {}
        assert [said(world, leg) for leg in ("b-e", "b-s", "b-t")] == [[NEW, CANCELED]] * 3

    def test_a_stop_that_fires_against_its_replacement_sells_once(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)
        assert len(world.broker.open_orders()) == 2
        world.trade(94)

        with pytest.raises(OrderRefused):
            world.broker.replace("b-s", stop_price=Decimal(96))

        assert held(world) == {}
        sold = [r for r in world.broker.execution_reports(LONG_AGO) if r.exec_type is TRADE]
        assert sum(r.last_qty for r in sold if r.client_order_id == "b-s") == 100


def require_life(world: Rehearsed, life: TimeInForce) -> None:
    if life not in world.broker.capabilities.times_in_force:
        pytest.skip(f"stated difference: this venue takes no {life} orders")
