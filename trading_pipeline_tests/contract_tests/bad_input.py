"""What an account, a venue or a set-up does not allow: refused in words that say what to do, and nothing is left."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import (
    AnyRequest,
    OrderType,
    Side,
)
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, bought, held, quantity_of
from trading_pipeline_tests.contract_tests.rehearsed import Rehearsed, Setup, entries_at_venue
from trading_pipeline_tests.venue.builders import a_bracket, an_oco, an_order

BUY, SELL, LIMIT = Side.BUY, Side.SELL, OrderType.LIMIT
ADVICE = {
    Setup.WRONG_KEYS: "BROKER__ALPACA__SECRET_KEY",
    Setup.REVOKED_KEYS: "not revoked",
    Setup.WRONG_PORT: "port|ConnectionError",
    Setup.NOT_A_BROKER: "port|HTTP 404",
    Setup.SECOND_CLIENT: "choose another broker.ib.client_id",
    Setup.READ_ONLY: 'clear "Read-Only API"',
    Setup.BLOCKED: "web page",
}
"""What the error must say in each case, besides what happened."""


class BadInputContract:
    """Nothing of this may cost money, and nothing may be left of it."""

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(a_bracket(quantity=1_000_000), id="insufficient funds"),
            pytest.param(an_order("x", BUY, LIMIT, limit=100, quantity=2_000), id="insufficient funds, alone"),
            pytest.param(an_order("x", SELL), id="nothing held"),
            pytest.param(an_oco(), id="nothing held, both ways"),
            pytest.param(an_order("x", BUY, symbol="GONE"), id="no price known"),
            pytest.param(a_bracket(stop="95.001"), id="sub-penny stop"),
            pytest.param(a_bracket(entry="100.005"), id="sub-penny entry"),
            pytest.param(a_bracket(stop=101), id="stop above the entry"),
            pytest.param(a_bracket(target=99), id="target below the entry"),
            pytest.param(an_order("x", BUY, LIMIT, limit=100, quantity="0.5"), id="fraction of a share"),
            pytest.param(an_order("x", BUY, LIMIT, limit=100, quantity=0), id="no share"),
            pytest.param(an_order("x", BUY, LIMIT, limit=100, quantity="NaN"), id="no number"),
            pytest.param(an_order("x", BUY, LIMIT), id="limit order without a limit"),
            pytest.param(an_order("x", BUY, limit=100), id="market order with a limit"),
        ],
    )
    def test_what_cannot_be_is_refused_with_a_reason_and_leaves_nothing(
        self, world: Rehearsed, request_: AnyRequest
    ) -> None:
        with pytest.raises(OrderRefused) as caught:
            world.broker.submit(request_)

        assert len(str(caught.value)) > 30  # what, which and why
        assert list(world.venue.open_orders()) == []
        assert list(world.broker.execution_reports(LONG_AGO)) == []

    def test_a_symbol_that_does_not_trade_is_refused_by_name(self, world: Rehearsed) -> None:
        order = an_order("x", BUY, LIMIT, limit=100, symbol="GONE")
        if not world.nature.lists_symbols:
            assert world.broker.submit(order)  # stated difference: any name may come to trade here
            return

        with pytest.raises(OrderRefused, match="GONE"):
            world.broker.submit(order)

        assert list(world.venue.open_orders()) == []

    def test_more_than_is_held_cannot_be_sold(self, world: Rehearsed) -> None:
        bought(world)

        with pytest.raises(OrderRefused):
            world.broker.submit(an_order("x", SELL, LIMIT, limit=100, quantity=101))

        assert (held(world), list(world.venue.open_orders())) == ({"AAA": 100}, [])

    def test_shares_that_other_orders_sell_cannot_be_sold_twice(self, world: Rehearsed) -> None:
        bought(world)
        world.broker.submit(an_oco())

        with pytest.raises(OrderRefused):
            world.broker.submit(an_order("x", SELL))
        world.trade(94)

        assert held(world) == {}

    def test_a_refused_id_may_not_come_back_as_another_order_by_surprise(self, world: Rehearsed) -> None:
        refused = a_bracket(quantity=1_000_000)
        for _ in range(2):
            with pytest.raises(OrderRefused):
                world.broker.submit(refused)

        assert world.broker.order("b-e") is None

    @pytest.mark.parametrize("price", ["98.001", "0", "-1", "NaN"])
    def test_a_replacement_by_what_is_no_price_is_refused_and_the_stop_stands(
        self, world: Rehearsed, price: str
    ) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        with pytest.raises(OrderRefused):
            world.broker.replace("b-s", stop_price=Decimal(price))
        world.trade(94)

        assert held(world) == {}

    def test_an_id_used_before_for_another_order_is_refused_after_its_fill_too(self, world: Rehearsed) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        for other in (a_bracket(quantity=99), a_bracket(entry=101), replace(a_bracket(), target=None)):
            with pytest.raises(OrderRefused):
                world.broker.submit(other)

        assert (entries_at_venue(world), held(world)) == (["b-e"], {"AAA": 100})
        assert quantity_of(world, "b-s") == 100

    @pytest.mark.parametrize("setup", list(Setup))
    def test_a_wrong_set_up_is_no_refused_trade_and_says_what_to_do(self, hasty: Rehearsed, setup: Setup) -> None:
        if setup in hasty.nature.cannot_be_set_up:
            pytest.skip(f"stated difference: {hasty.nature.cannot_be_set_up[setup]}")
        broker = hasty.set_up(setup)

        with pytest.raises((OutcomeUnknown, OrderRefused), match=ADVICE[setup]):
            broker.submit(a_bracket())

        assert entries_at_venue(hasty) == []
