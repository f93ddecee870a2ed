"""The lives of orders at Alpaca's door, through the vendor's own client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.models import Order
from alpaca.trading.requests import (
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
)

from trading_pipeline_tests.venue.alpaca.doors import Desk, a_desk, leg_ids, names, refused
from trading_pipeline_tests.venue.builders import SESSION, a_bar, at


@pytest.fixture
def desk() -> Iterator[Desk]:
    with a_desk() as desk:
        yield desk


def test_the_clients_own_models_read_a_bracket_and_its_legs(desk: Desk) -> None:
    order = desk.client.submit_order(
        LimitOrderRequest(
            symbol="AAA", qty=100, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=100,
            order_class=OrderClass.BRACKET, client_order_id="b", take_profit=TakeProfitRequest(limit_price=110),
            stop_loss=StopLossRequest(stop_price=95, limit_price=94.5),
        )
    )  # fmt: skip

    assert isinstance(order, Order)
    assert order.legs is not None
    target, stop = order.legs
    assert (order.status, order.client_order_id) == (OrderStatus.PENDING_NEW, "b")
    assert (target.limit_price, target.status, stop.stop_price, stop.limit_price) == (
        "110",
        OrderStatus.HELD,
        "95",
        "94.5",
    )
    assert len({order.id, target.id, stop.id}) == len(
        {order.client_order_id, target.client_order_id, stop.client_order_id}
    )
    assert desk.statuses(order.id) == ["new"]


def test_a_filled_entry_sends_its_target_to_the_exchange_and_holds_its_stop(desk: Desk) -> None:
    bracket = desk.bracket()
    target, stop = leg_ids(bracket)

    desk.trade(99)

    assert desk.statuses(bracket["id"], target, stop) == ["filled", "new", "held"]
    entry = desk.order(bracket["id"])
    assert (entry["filled_qty"], entry["filled_avg_price"]) == ("100", "99")
    assert entry["filled_at"] == entry["updated_at"]


@pytest.mark.parametrize(("price", "expected"), [(94, ["canceled", "filled"]), (111, ["filled", "canceled"])])
def test_one_leg_fills_and_the_other_is_canceled(desk: Desk, price: int, expected: list[str]) -> None:
    legs = leg_ids(desk.bracket())
    desk.trade(99)

    desk.trade(price)

    assert desk.statuses(*legs) == expected


def test_e23_legs_of_a_partly_filled_entry_protect_nothing_and_end_with_it(desk: Desk) -> None:
    bracket = desk.bracket()
    legs = leg_ids(bracket)
    desk.trade(99, volume=400)
    assert desk.statuses(bracket["id"], *legs) == ["partially_filled", "held", "held"]

    desk.trade(94, volume=0)
    assert desk.statuses(*legs) == ["held", "held"]
    desk.raw.delete(f"/orders/{bracket['id']}")

    assert desk.statuses(bracket["id"], *legs) == ["canceled"] * 3
    assert desk.raw.get("/positions/AAA")["qty_available"] == "40"


def test_a_stop_takes_what_is_left_when_its_target_filled_in_part(desk: Desk) -> None:
    target, stop = leg_ids(desk.bracket())
    desk.trade(99)

    desk.trade(111, volume=400)

    assert desk.statuses(target, stop) == ["partially_filled", "held"]
    assert desk.order(stop)["qty"] == "60"


def test_canceling_one_leg_cancels_the_other(desk: Desk) -> None:
    target, stop = leg_ids(desk.bracket())
    desk.trade(99)

    desk.client.cancel_order_by_id(stop)

    assert desk.statuses(target, stop) == ["canceled", "canceled"]


def test_an_oco_is_its_target_with_the_stop_as_its_leg(desk: Desk) -> None:
    desk.post()
    desk.trade(99)
    request = LimitOrderRequest(
        symbol="AAA", qty=100, side=OrderSide.SELL, time_in_force=TimeInForce.GTC, order_class=OrderClass.OCO,
        client_order_id="o", take_profit=TakeProfitRequest(limit_price=110), stop_loss=StopLossRequest(stop_price=95),
    )  # fmt: skip

    oco = desk.client.submit_order(request)

    assert isinstance(oco, Order)
    assert oco.legs is not None
    (stop,) = oco.legs
    assert (oco.client_order_id, oco.limit_price, stop.stop_price) == ("o", "110", "95")
    assert desk.statuses(oco.id, stop.id) == ["new", "held"]
    desk.trade(94)
    assert desk.statuses(oco.id, stop.id) == ["canceled", "filled"]


def test_an_oto_is_an_entry_and_its_stop_which_goes_to_the_exchange_itself(desk: Desk) -> None:
    order = desk.bracket(order_class="oto", take_profit=None)
    (stop,) = order["legs"]
    assert desk.statuses(stop["id"]) == ["held"]

    desk.trade(99)

    assert desk.statuses(order["id"], stop["id"]) == ["filled", "new"]


# lists


def test_held_legs_are_in_no_list_of_open_orders(desk: Desk) -> None:
    bracket = desk.bracket()
    target, stop = leg_ids(bracket)
    assert [order["id"] for order in desk.listed()] == [bracket["id"]]

    desk.trade(99)

    assert [order["id"] for order in desk.listed()] == [target]
    assert {order["id"] for order in desk.listed(status="all")} == {bracket["id"], target, stop}


def test_a_nested_list_of_open_orders_is_empty_once_the_entry_is_filled(desk: Desk) -> None:
    bracket = desk.bracket()
    (shown,) = desk.listed(nested=True)
    assert [leg["id"] for leg in shown["legs"]] == list(leg_ids(bracket))

    desk.trade(99)

    assert desk.listed(nested=True) == []
    (closed,) = desk.listed(status="closed", nested="true")
    assert [leg["status"] for leg in closed["legs"]] == ["new", "held"]


def test_lists_filter_by_status_symbol_side_and_time_newest_first(desk: Desk) -> None:
    sent = [desk.post(symbol=symbol, client_order_id=symbol) for symbol in ("AAA", "BBB", "CCC")]
    desk.raw.delete(f"/orders/{sent[1]['id']}")

    assert names(desk.listed()) == ["CCC", "AAA"]
    assert names(desk.listed(status="closed")) == ["BBB"]
    assert names(desk.listed(status="all", direction="asc", limit=2)) == ["AAA", "BBB"]
    assert names(desk.listed(status="all", symbols="AAA,BBB", side="buy")) == ["BBB", "AAA"]
    assert desk.listed(status="all", side="sell") == []
    assert names(desk.listed(status="all", after=sent[0]["submitted_at"])) == ["CCC", "BBB"]
    assert names(desk.listed(status="all", until=sent[1]["submitted_at"])) == ["AAA"]
    assert names(desk.listed(status="all", after_order_id=sent[1]["id"])) == ["CCC"]
    assert names(desk.listed(status="all", before_order_id=sent[1]["id"])) == ["AAA"]


def test_no_two_orders_of_one_microsecond_share_their_time(desk: Desk) -> None:
    """Pages by `after` lose none."""
    first, second = (desk.post()["submitted_at"] for _ in range(2))

    assert (first, second) == ("2025-06-10T13:30:00Z", "2025-06-10T13:30:00.000000001Z")


def test_the_client_asks_for_lists_in_its_own_words(desk: Desk) -> None:
    desk.bracket()

    found = desk.client.get_orders(
        GetOrdersRequest(
            status=QueryOrderStatus.ALL, after=datetime(2025, 1, 1, tzinfo=UTC), nested=True, symbols=["AAA"]
        )
    )

    assert [order.client_order_id for order in found if isinstance(order, Order)] == ["b"]


@pytest.mark.parametrize("query", [{"limit": 501}, {"status": "held"}, {"after": "yesterday"}, {"direction": "up"}])
def test_a_list_asked_for_in_words_alpaca_does_not_know_is_refused(desk: Desk, query: dict[str, object]) -> None:
    with refused(422, 42210000, "invalid"):
        desk.listed(**query)


# canceling


def test_a_cancel_is_taken_and_what_has_ended_takes_none(desk: Desk) -> None:
    bracket = desk.bracket()

    desk.client.cancel_order_by_id(bracket["id"])

    assert desk.statuses(bracket["id"], *leg_ids(bracket)) == ["canceled"] * 3
    with refused(422, 42210000, 'order is already in "canceled" state'):
        desk.client.cancel_order_by_id(bracket["id"])


def test_a_fill_may_win_against_a_cancel(desk: Desk) -> None:
    order = desk.post()
    desk.trade(99)

    with refused(422, 42210000, 'order is already in "filled" state'):
        desk.client.cancel_order_by_id(order["id"])


def test_canceling_everything_tells_each_order_that_was_open(desk: Desk) -> None:
    bracket, other = desk.bracket(), desk.post(symbol="BBB")

    answers = desk.raw.cancel_orders()

    assert [(answer["id"], answer["status"]) for answer in answers] == [(bracket["id"], 200), (other["id"], 200)]
    assert desk.listed() == []


@pytest.mark.parametrize(
    "path", ["/orders/6a1f3c5e-0000-4000-8000-000000000000", "/orders:by_client_order_id?client_order_id=x"]
)
def test_an_order_nobody_sent_is_not_found(desk: Desk, path: str) -> None:
    with refused(404, 40410000, "order not found for"):
        desk.raw.get(path)


def test_an_id_that_is_no_uuid_is_malformed(desk: Desk) -> None:
    with refused(422, 40010001, "must be a UUID"):
        desk.raw.get("/orders/b-s")


# hours


def test_an_order_sent_when_the_market_is_closed_waits_for_the_open() -> None:
    with a_desk(start=at(-60)) as desk:
        order = desk.post()
        assert (order["status"], order["expires_at"]) == ("accepted", "2025-06-10T20:00:00Z")
        assert desk.statuses(order["id"]) == ["accepted"]
        with refused(422, 42210000, "cannot replace order in accepted status"):
            desk.raw.patch(f"/orders/{order['id']}", {"limit_price": "101"})

        desk.market.on_session_open(SESSION, {}, {})

        assert desk.statuses(order["id"]) == ["new"]


def test_a_day_order_expires_with_its_session(desk: Desk) -> None:
    order = desk.post()

    desk.market.on_session_close(SESSION)

    told = desk.order(order["id"])
    assert (told["status"], told["expired_at"][:19]) == ("expired", "2025-06-10T20:00:00")


def test_a_split_restates_an_order_under_its_own_id(desk: Desk) -> None:
    order = desk.post(time_in_force="gtc")
    desk.market.on_session_close(SESSION)

    desk.market.on_session_open(SESSION, {"AAA": Decimal(2)}, {})

    told = desk.order(order["id"])
    assert (told["status"], told["qty"], told["limit_price"]) == ("new", "200", "50")


def test_a_trailing_stop_shows_how_far_it_has_come(desk: Desk) -> None:
    desk.post()
    desk.trade(99)
    order = desk.post(side="sell", type="trailing_stop", trail_price="2.5", time_in_force="gtc")

    desk.trade(104)

    told = desk.order(order["id"])
    assert (told["trail_price"], told["stop_price"], told["hwm"]) == ("2.5", "101.5", "104")


def test_a_market_order_fills_at_the_next_bar(desk: Desk) -> None:
    desk.trade(100)
    order = desk.client.submit_order(
        MarketOrderRequest(symbol="AAA", qty=10, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    assert isinstance(order, Order)

    bar = a_bar(1, "101.5", 102, 101, 102)
    desk.market.on_bars([bar], bar.end_at)

    assert desk.order(order.id)["filled_avg_price"] == "101.5"
