"""What every Broker adapter must do. Subclass BrokerContract in the adapter's tests and say how to open a world."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

import pytest

from trading_pipeline.domain.corporate import CashKind
from trading_pipeline.domain.errors import InputError, OrderRefused
from trading_pipeline.domain.orders import (
    BracketRequest,
    ExecType,
    ExecutionReport,
    OrderRequest,
    OrderType,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading_pipeline.ports import Broker
from trading_pipeline_tests.venue.builders import a_bracket, an_oco, an_order

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
NEW, TRADE, CANCELED, REPLACED = ExecType.NEW, ExecType.TRADE, ExecType.CANCELED, ExecType.REPLACED


class World(Protocol):
    """A broker, and a market behind it that the test moves. The account starts with cash and no position."""

    @property
    def broker(self) -> Broker: ...

    def trade(self, price: int) -> None:
        """AAA trades freely at one price for a while, beginning now."""

    def close_session(self) -> None:
        """The session ends."""

    def pay_dividend(self, usd_per_share: str) -> None:
        """The next session opens, and AAA pays before it."""


class BrokerContract(ABC):
    """The contract, as tests."""

    @abstractmethod
    def open_world(self) -> World:
        """A fresh account at the broker under test."""

    @pytest.fixture
    def world(self) -> World:
        return self.open_world()

    def test_a_repeated_submission_is_the_same_order(self, world: World) -> None:
        first = world.broker.submit(a_bracket())

        assert world.broker.submit(a_bracket()) == first
        assert said(world, "b-e") == said(world, "b-s") == said(world, "b-t") == [NEW]

    def test_a_submission_repeated_after_its_fill_does_not_trade_again(self, world: World) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        world.broker.submit(a_bracket())
        world.trade(99)

        assert held(world) == {"AAA": 100}

    def test_an_id_used_for_other_content_is_refused_and_the_order_stands(self, world: World) -> None:
        world.broker.submit(a_bracket())

        with pytest.raises(OrderRefused):
            world.broker.submit(a_bracket(quantity=99))

        assert quantity_of(world, "b-e") == 100

    @pytest.mark.parametrize("request_", [an_order("x", Side.SELL), a_bracket("x", quantity=1_000_000)])
    def test_what_the_account_cannot_carry_is_refused_each_time_and_leaves_nothing(
        self, world: World, request_: OrderRequest | BracketRequest
    ) -> None:
        for _ in range(2):
            with pytest.raises(OrderRefused):
                world.broker.submit(request_)

        assert list(world.broker.open_orders()) == []
        assert list(world.broker.execution_reports(LONG_AGO)) == []

    def test_an_order_never_sent_is_none(self, world: World) -> None:
        assert world.broker.order("never") is None

    def test_fills_add_up_to_the_position_and_the_cash(self, world: World) -> None:
        before = world.broker.account()
        world.broker.submit(a_bracket())

        world.trade(99)

        fills = [report for report in world.broker.execution_reports(LONG_AGO) if report.exec_type is TRADE]
        spent = sum((fill.last_qty * fill.last_px + fill.commission for fill in fills), Decimal(0))
        assert sum(fill.last_qty for fill in fills) == 100
        assert held(world) == {"AAA": 100}
        assert world.broker.account().cash_usd == before.cash_usd - spent

    @pytest.mark.parametrize(("price", "done", "gone"), [(94, "b-s", "b-t"), (111, "b-t", "b-s")])
    def test_one_leg_fills_and_the_other_is_canceled(self, world: World, price: int, done: str, gone: str) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        world.trade(price)

        assert (status_of(world, done), status_of(world, gone)) == (OrdStatus.FILLED, OrdStatus.CANCELED)
        assert held(world) == {}
        assert list(world.broker.open_orders()) == []

    def test_a_cancel_is_answered_by_a_report_and_takes_the_legs_along(self, world: World) -> None:
        world.broker.submit(a_bracket())

        world.broker.cancel("b-e")

        assert said(world, "b-e") == said(world, "b-s") == said(world, "b-t") == [NEW, CANCELED]

    def test_canceling_what_has_ended_does_nothing(self, world: World) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        world.broker.cancel("b-e")

        assert status_of(world, "b-e") is OrdStatus.FILLED
        assert len(list(world.broker.open_orders())) == 2

    def test_a_replaced_stop_keeps_its_id_and_works_at_the_new_price(self, world: World) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        world.broker.replace("b-s", stop_price=Decimal(98))
        assert said(world, "b-s") == [NEW, REPLACED]
        world.trade(97)

        assert held(world) == {}

    def test_a_target_replaced_by_a_marketable_limit_is_the_exit(self, world: World) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        world.broker.replace("b-t", limit_price=Decimal(97))
        world.trade(99)

        assert (status_of(world, "b-t"), status_of(world, "b-s")) == (OrdStatus.FILLED, OrdStatus.CANCELED)

    def test_an_ended_order_cannot_be_replaced(self, world: World) -> None:
        world.broker.submit(a_bracket())
        world.broker.cancel("b-e")

        with pytest.raises(OrderRefused):
            world.broker.replace("b-s", stop_price=Decimal(96))

    def test_day_orders_end_with_the_session(self, world: World) -> None:
        world.broker.submit(a_bracket())

        world.close_session()

        assert list(world.broker.open_orders()) == []
        assert status_of(world, "b-e") is OrdStatus.EXPIRED

    def test_what_the_venue_can_do_is_told(self, world: World) -> None:
        can = world.broker.capabilities

        assert {OrderType.MARKET, OrderType.LIMIT, OrderType.STOP} <= can.order_types
        assert {TimeInForce.DAY, TimeInForce.GTC} <= can.times_in_force

    def test_an_order_is_told_as_it_was_sent(self, world: World) -> None:
        world.broker.submit(a_bracket(legs=TimeInForce.GTC))

        stop = world.broker.order("b-s")
        assert stop is not None
        assert (stop.side, stop.order_type, stop.time_in_force) == (Side.SELL, OrderType.STOP, TimeInForce.GTC)
        assert (stop.quantity, stop.stop_price, stop.limit_price) == (Decimal(100), Decimal(95), None)
        assert stop.parent_id in {"b-e", None}
        entry = world.broker.order("b-e")
        assert entry is not None
        assert (entry.side, entry.limit_price, entry.parent_id) == (Side.BUY, Decimal(100), None)
        assert stop in world.broker.open_orders()

    def test_a_bracket_without_a_target_is_an_entry_and_its_stop(self, world: World) -> None:
        world.broker.submit(replace(a_bracket(), target=None))
        world.trade(99)

        assert [order.client_order_id for order in world.broker.open_orders()] == ["b-s"]
        world.trade(94)

        assert held(world) == {}

    @pytest.mark.parametrize(("price", "done", "gone"), [(94, "o-s", "o-t"), (111, "o-t", "o-s")])
    def test_one_side_of_an_oco_fills_and_the_other_is_canceled(
        self, world: World, price: int, done: str, gone: str
    ) -> None:
        bought(world)
        stop_id = world.broker.submit(an_oco())
        assert said(world, "o-s") == said(world, "o-t") == [NEW]
        assert venue_id(world, "o-s") == stop_id == world.broker.submit(an_oco())

        world.trade(price)

        assert (status_of(world, done), status_of(world, gone)) == (OrdStatus.FILLED, OrdStatus.CANCELED)
        assert held(world) == {}

    @pytest.mark.parametrize("leg", ["o-s", "o-t"])
    def test_canceling_one_side_of_an_oco_cancels_the_other(self, world: World, leg: str) -> None:
        bought(world)
        world.broker.submit(an_oco())

        world.broker.cancel(leg)

        assert status_of(world, "o-s") is status_of(world, "o-t") is OrdStatus.CANCELED
        assert held(world) == {"AAA": 100}

    @pytest.mark.parametrize("leg", ["b-s", "b-t"])
    def test_canceling_one_leg_of_a_bracket_cancels_the_other(self, world: World, leg: str) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        world.broker.cancel(leg)

        assert list(world.broker.open_orders()) == []
        assert held(world) == {"AAA": 100}

    def test_an_oco_over_more_than_is_held_is_refused(self, world: World) -> None:
        bought(world)

        with pytest.raises(OrderRefused):
            world.broker.submit(an_oco(quantity=101))

    def test_a_changed_quantity_holds_for_the_whole_family_and_frees_shares(self, world: World) -> None:
        if not world.broker.capabilities.replaces_quantity:
            pytest.skip("this venue does not replace quantities")
        world.broker.submit(a_bracket())
        world.trade(99)

        world.broker.replace("b-s", quantity=Decimal(60))
        world.broker.submit(an_order("part", Side.SELL, quantity=40))
        world.trade(99)
        assert held(world) == {"AAA": 60}
        assert quantity_of(world, "b-s") == quantity_of(world, "b-t") == 60
        world.trade(94)

        assert held(world) == {}

    @pytest.mark.parametrize("quantity", ["0", "-1", "0.5", "NaN", "Infinity", "101"])
    def test_a_quantity_the_order_cannot_have_is_refused(self, world: World, quantity: str) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)

        with pytest.raises(OrderRefused):
            world.broker.replace("b-s", quantity=Decimal(quantity))

        assert quantity_of(world, "b-s") == 100

    @pytest.mark.parametrize("price", ["NaN", "Infinity", "0", "-5", "98.001"])
    def test_what_is_no_price_is_refused(self, world: World, price: str) -> None:
        with pytest.raises(OrderRefused):
            world.broker.submit(replace(an_order("x", Side.BUY, OrderType.LIMIT, limit=1), limit_price=Decimal(price)))

        assert list(world.broker.open_orders()) == []

    def test_what_the_venue_does_not_know_cannot_be_replaced_or_canceled(self, world: World) -> None:
        with pytest.raises(OrderRefused):
            world.broker.replace("nobody", stop_price=Decimal(1))
        with pytest.raises(OrderRefused):
            world.broker.cancel("nobody")

    def test_a_dividend_is_a_cash_activity_and_in_the_cash(self, world: World) -> None:
        world.broker.submit(a_bracket(legs=TimeInForce.GTC))
        world.trade(99)
        world.close_session()
        before = world.broker.account().cash_usd

        world.pay_dividend("0.25")

        (paid,) = world.broker.cash_activities(LONG_AGO)
        assert (paid.kind, paid.symbol, paid.amount_usd) == (CashKind.DIVIDEND, "AAA", Decimal(25))
        assert world.broker.account().cash_usd == before + 25
        assert list(world.broker.cash_activities(paid.occurred_at)) == [paid]
        assert list(world.broker.cash_activities(paid.occurred_at + timedelta(seconds=1))) == []

    def test_an_instant_without_a_zone_is_refused(self, world: World) -> None:
        with pytest.raises(InputError):
            world.broker.execution_reports(datetime(2025, 6, 10))  # noqa: DTZ001

    def test_reports_come_oldest_first_each_once_and_overlap_is_harmless(self, world: World) -> None:
        world.broker.submit(a_bracket())
        world.trade(99)
        middle = list(world.broker.execution_reports(LONG_AGO))[-1].occurred_at
        world.trade(94)

        everything = list(world.broker.execution_reports(LONG_AGO))
        times = [report.occurred_at for report in everything]
        assert times == sorted(times)
        assert len({report.exec_id for report in everything}) == len(everything)
        assert list(world.broker.execution_reports(middle)) == [r for r in everything if r.occurred_at >= middle]


def bought(world: World) -> None:
    """100 shares held, and no order."""
    world.broker.submit(an_order("buy", Side.BUY, OrderType.LIMIT, limit=100))
    world.trade(99)


def venue_id(world: World, client_order_id: str) -> str:
    order = world.broker.order(client_order_id)
    assert order is not None
    return order.venue_order_id


def reports_of(world: World, client_order_id: str) -> list[ExecutionReport]:
    reports = world.broker.execution_reports(LONG_AGO)
    return [report for report in reports if report.client_order_id == client_order_id]


def said(world: World, client_order_id: str) -> list[ExecType]:
    return [report.exec_type for report in reports_of(world, client_order_id)]


def held(world: World) -> dict[str, int]:
    return {position.symbol: int(position.quantity) for position in world.broker.positions()}


def status_of(world: World, client_order_id: str) -> OrdStatus:
    order = world.broker.order(client_order_id)
    assert order is not None
    return order.status


def quantity_of(world: World, client_order_id: str) -> Decimal:
    order = world.broker.order(client_order_id)
    assert order is not None
    return order.quantity
