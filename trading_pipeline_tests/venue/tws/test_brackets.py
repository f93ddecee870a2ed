"""Brackets and groups through the real client library, and mistakes with them the door lets happen."""

from __future__ import annotations

from typing import Any

import pytest

from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline_tests.venue.tws.clients import complaints, statuses
from trading_pipeline_tests.venue.tws.desks import Desk


def test_a_bracket_runs_to_its_target_without_a_complaint(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    entry, stop, target = desk.client.place(*desk.client.bracket())
    assert statuses([entry, stop, target]) == ["Submitted", "PreSubmitted", "PreSubmitted"]
    assert (stop.orderStatus.whyHeld, target.orderStatus.whyHeld) == ("child,trigger", "child")

    desk.trade(99)
    assert statuses([entry, stop, target]) == ["Filled", "PreSubmitted", "Submitted"]
    assert stop.orderStatus.whyHeld == "trigger"
    assert complaints(caplog.records) == []

    desk.trade(112)
    assert statuses([entry, stop, target]) == ["Filled", "Cancelled", "Filled"]
    assert desk.client.codes() == [202]
    assert desk.venue.account().cash_usd == 100_000 + 1_300 - 2


def test_a_stop_sells_what_a_partly_filled_parent_bought(desk: Desk) -> None:
    """Unlike elsewhere, children act on the filled part of their parent while it still buys."""
    entry, stop, _ = desk.client.place(*desk.client.bracket())

    desk.trade(99, volume=400)
    assert (entry.orderStatus.filled, entry.orderStatus.remaining) == (40, 60)
    assert stop.orderStatus.whyHeld == "trigger"

    desk.trade(94, volume=400)
    assert (stop.orderStatus.status, stop.orderStatus.filled) == ("Submitted", 40)
    assert (entry.orderStatus.status, entry.orderStatus.filled) == ("Cancelled", 80)
    assert stop.orderStatus.remaining == 40


def test_e1_a_parent_that_transmits_goes_live_alone(desk: Desk) -> None:
    entry, stop, target = desk.client.bracket()
    entry.transmit = True

    trades = desk.client.place(entry)
    assert statuses(trades) == ["Submitted"]
    desk.trade(99)
    assert [held.quantity for held in desk.venue.positions()] == [100]
    assert desk.client.open_ids() == []  # bought, and no stop exists

    assert statuses(desk.client.place(stop, target)) == ["PreSubmitted", "Submitted"]


def test_e2_children_of_parent_zero_are_live_orders_of_their_own(desk: Desk) -> None:
    desk.client.place(desk.client.order("MKT", quantity=200))
    desk.trade(100)
    entry, stop, target = desk.client.bracket(entry=90)
    for child in (stop, target):
        child.parentId, child.transmit = 0, True

    trades = desk.client.place(entry, stop, target)
    desk.trade(111)

    assert statuses(trades)[1:] == ["PreSubmitted", "Filled"]  # sold, though the entry never bought
    assert [trade.orderStatus.whyHeld for trade in trades][1] == "trigger"
    assert trades[0].orderStatus.status == "PendingSubmit"  # nobody transmitted it


def test_e3_a_stop_moves_by_its_aux_price(desk: Desk) -> None:
    _, stop, _ = desk.client.place(*desk.client.bracket())
    desk.trade(99)

    stop.order.auxPrice = 97
    desk.client.place(stop.order)
    desk.trade(96.5)

    assert (stop.orderStatus.status, stop.orderStatus.avgFillPrice) == ("Filled", 96.5)


def test_untransmitted_orders_wait_unseen_by_the_market_and_can_be_withdrawn(desk: Desk) -> None:
    entry, stop, _ = desk.client.bracket()
    trades = desk.client.place(entry, stop)
    desk.trade(99)

    assert desk.client.open_ids() == [entry.orderId, stop.orderId]
    assert desk.doors.door.desk.orders.own(1, entry.orderId) is not None
    assert [trade.orderStatus.filled for trade in trades] == [0, 0]
    desk.client.cancel(entry)
    assert trades[0].orderStatus.status == "ApiCancelled"
    assert desk.client.open_ids() == [stop.orderId]


def test_two_sells_of_one_oca_group_end_one_another(desk: Desk) -> None:
    desk.client.place(desk.client.order("MKT"))
    desk.trade(100)
    group: dict[str, Any] = {"ocaGroup": "pair", "ocaType": 2, "tif": "GTC"}

    stop, target = desk.client.place(
        desk.client.order("STP", "SELL", auxPrice=95, **group),
        desk.client.order("LMT", "SELL", lmtPrice=110, **group),
    )
    desk.trade(111)

    assert statuses([stop, target]) == ["Cancelled", "Filled"]


def test_a_bracket_whose_orders_share_one_order_ref_is_a_bracket(desk: Desk) -> None:
    orders = desk.client.bracket()
    for order in orders:
        order.orderRef = "mine"

    entry, stop, target = desk.client.place(*orders)
    desk.trade(99, 112)

    assert statuses([entry, stop, target]) == ["Filled", "Cancelled", "Filled"]
    assert {order.client_order_id.split("~")[0] for order in _ever(desk.venue)} == {"mine"}


def _ever(venue: SimulatedVenue) -> list[Any]:
    return [venue.order(report.client_order_id) for report in venue.reports]


@pytest.mark.parametrize("kinds", [("LMT",), ("TRAIL",), ("STP", "STP"), ("STP", "LMT", "LMT")])
def test_a_bracket_of_another_shape_is_refused_whole_and_says_which_shapes_there_are(
    desk: Desk, kinds: tuple[str, ...]
) -> None:
    parent = desk.client.order(lmtPrice=90, transmit=False)
    prices = {"LMT": {"lmtPrice": 110}, "STP": {"auxPrice": 80}, "TRAIL": {"auxPrice": 5}}
    children = [
        desk.client.order(kind, "SELL", parentId=parent.orderId, transmit=number == len(kinds), **prices[kind])
        for number, kind in enumerate(kinds, 1)
    ]

    trades = desk.client.place(parent, *children)

    assert set(statuses(trades)) == {"Inactive"}
    assert desk.venue.open_orders() == ()
    assert "a stop, or a stop and a target" in desk.client.errors[-1][2]
