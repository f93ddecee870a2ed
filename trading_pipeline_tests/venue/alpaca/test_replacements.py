"""Replacements at Alpaca's door: each a new order under a new id, through the vendor's own client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alpaca.trading.models import Order
from alpaca.trading.requests import ReplaceOrderRequest

from trading_pipeline_tests.venue.alpaca.doors import Desk, a_desk, leg_ids, names, refused


@pytest.fixture
def desk() -> Iterator[Desk]:
    with a_desk() as desk:
        yield desk


def test_a_replacement_is_a_new_order_and_the_old_one_points_to_it(desk: Desk) -> None:
    old = desk.post(client_order_id="a")

    new = desk.client.replace_order_by_id(old["id"], ReplaceOrderRequest(limit_price=101, client_order_id="a-2"))

    assert isinstance(new, Order)
    assert (str(new.replaces), new.client_order_id, new.limit_price) == (old["id"], "a-2", "101")
    before = desk.order(old["id"])
    assert (before["status"], before["replaced_by"], before["limit_price"]) == ("replaced", str(new.id), "100")
    assert desk.raw.get("/orders:by_client_order_id", {"client_order_id": "a"})["id"] == old["id"]
    assert desk.raw.get("/orders:by_client_order_id", {"client_order_id": "a-2"})["id"] == str(new.id)
    assert names(desk.listed()) == ["a-2"]
    desk.trade("100.5")
    assert desk.statuses(new.id) == ["filled"]


def test_a_replacement_without_a_name_is_given_one(desk: Desk) -> None:
    old = desk.post(client_order_id="a")

    new = desk.raw.patch(f"/orders/{old['id']}", {"qty": "50"})

    assert new["client_order_id"] not in {"a", ""}
    assert (new["qty"], new["status"]) == ("50", "new")


def test_a_held_stop_is_replaced_and_stays_held_under_its_entry(desk: Desk) -> None:
    bracket = desk.bracket()
    desk.trade(99)
    _, stop = leg_ids(bracket)

    new = desk.raw.patch(f"/orders/{stop}", {"stop_price": "97"})

    assert (new["status"], new["replaces"]) == ("held", stop)
    assert leg_ids(desk.order(bracket["id"], nested=True))[1] == new["id"]
    desk.trade(96)
    assert desk.statuses(stop, new["id"]) == ["replaced", "filled"]


def test_shares_filled_before_a_replacement_stay_with_the_chain(desk: Desk) -> None:
    old = desk.post()
    desk.trade(99, volume=400)

    new = desk.raw.patch(f"/orders/{old['id']}", {"limit_price": "101"})

    assert (new["status"], new["filled_qty"], new["qty"]) == ("partially_filled", "40", "100")


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({}, 42210000, "order parameters are not changed"),
        ({"limit_price": "100"}, 42210000, "order parameters are not changed"),
        ({"limit_price": "100.001"}, 42210000, "sub-penny"),
        ({"limit_price": "-1"}, 40010001, "limit_price must be > 0"),
        ({"qty": "40"}, 42210000, "qty must be > filled_qty"),
        ({"time_in_force": "gtc", "qty": "50"}, 42210000, "time_in_force"),
        ({"client_order_id": "taken", "qty": "50"}, 40010001, "client_order_id must be unique"),
    ],
)
def test_a_replacement_that_is_none_is_refused(desk: Desk, change: dict[str, str], code: int, message: str) -> None:
    desk.post(client_order_id="taken", symbol="BBB")
    order = desk.post()
    desk.trade(99, volume=400)

    with refused(422, code, message):
        desk.raw.patch(f"/orders/{order['id']}", change)

    assert desk.statuses(order["id"]) == ["partially_filled"]


def test_the_quantity_of_a_leg_cannot_be_replaced(desk: Desk) -> None:
    target, _ = leg_ids(desk.bracket())

    with refused(422, 42210000, "qty cannot be changed for advanced orders"):
        desk.raw.patch(f"/orders/{target}", {"qty": "50"})


def test_what_has_ended_or_was_replaced_takes_no_replacement(desk: Desk) -> None:
    first, second = desk.post(), desk.post()
    desk.raw.patch(f"/orders/{first['id']}", {"limit_price": "101"})
    desk.raw.delete(f"/orders/{second['id']}")

    with refused(422, 42210000, "order already replaced"):
        desk.raw.patch(f"/orders/{first['id']}", {"limit_price": "102"})
    with refused(422, 42210000, "cannot replace order in canceled status"):
        desk.raw.patch(f"/orders/{second['id']}", {"limit_price": "102"})


def test_a_replacement_beyond_the_buying_power_is_refused(desk: Desk) -> None:
    order = desk.post()

    with refused(403, 40310000, "insufficient buying power"):
        desk.raw.patch(f"/orders/{order['id']}", {"qty": "100000"})
