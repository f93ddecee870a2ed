"""Orders through the real client library: fills, changes, cancels, refusals."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from trading_pipeline_tests.adapters.venue_worlds import next_session
from trading_pipeline_tests.venue.builders import SESSION, a_bar, a_venue, at
from trading_pipeline_tests.venue.tws.clients import a_client, statuses
from trading_pipeline_tests.venue.tws.desks import Desk, a_desk
from trading_pipeline_tests.venue.tws.doors import ROOMY, a_tws_door


def test_a_fill_is_told_as_gateways_do_and_its_cost_after_the_last_state(desk: Desk) -> None:
    (trade,) = desk.client.place(desk.client.order("MKT"))
    desk.client.told.clear()

    desk.trade(100)

    order_id = trade.order.orderId
    assert desk.client.told == [f"{order_id} fill 100 at 100", f"{order_id} Filled 100", f"{order_id} cost 1"]
    assert trade.fills[0].execution.time == at(2)
    assert trade.fills[0].execution.permId == trade.order.permId > 0


def test_e2_shares_nobody_holds_are_not_sold_short_here(desk: Desk) -> None:
    """A margin account at IB would be short; this venue's account is long only and says so."""
    (trade,) = desk.client.place(desk.client.order("STP", "SELL", auxPrice=95))

    assert trade.orderStatus.status == "Inactive"
    assert "long only" in desk.client.errors[-1][2]
    assert desk.client.codes() == [201]


def test_e24_a_day_stop_ends_with_the_session(desk: Desk) -> None:
    desk.client.place(desk.client.order("MKT"))
    desk.trade(100)
    day, lasting = desk.client.place(
        desk.client.order("STP", "SELL", 50, auxPrice=90), desk.client.order("STP", "SELL", 50, auxPrice=90, tif="GTC")
    )

    desk.doors.market.on_session_close(SESSION)
    desk.client.settle()

    assert statuses([day, lasting]) == ["Cancelled", "PreSubmitted"]


def test_cancelling_tells_the_end_and_error_202(desk: Desk) -> None:
    (trade,) = desk.client.place(desk.client.order(lmtPrice=90))

    desk.client.cancel(trade.order)

    assert trade.orderStatus.status == "Cancelled"
    assert desk.client.errors[-1][:2] == (trade.order.orderId, 202)


def test_cancelling_what_is_filled_or_unknown_is_refused_and_changes_nothing(desk: Desk) -> None:
    (trade,) = desk.client.place(desk.client.order("MKT"))
    desk.trade(100)

    desk.client.do(lambda: desk.client.ib.client.cancelOrder(trade.order.orderId))
    desk.client.do(lambda: desk.client.ib.client.cancelOrder(999))
    desk.client.settle()

    assert [(code, text) for _, code, text in desk.client.errors[-2:]] == [
        (10148, f"OrderId {trade.order.orderId} that needs to be cancelled cannot be cancelled, state: Filled."),
        (10147, "OrderId 999 that needs to be cancelled is not found."),
    ]
    assert trade.orderStatus.status == "Filled"


def test_a_global_cancel_ends_every_clients_orders(desk: Desk) -> None:
    with a_client(desk.doors, 2) as other:
        (theirs,) = other.place(other.order(lmtPrice=90))
        (mine,) = desk.client.place(desk.client.order(lmtPrice=91))

        other.do(other.ib.reqGlobalCancel)
        other.settle()
        desk.client.settle()

        assert statuses([theirs, mine]) == ["Cancelled", "Cancelled"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"lmtPrice": 100.001}, 110),
        ({"lmtPrice": 100, "totalQuantity": 0}, 434),
        ({"lmtPrice": 100, "totalQuantity": 1.5}, 10243),
        ({"lmtPrice": 100, "account": "DU9"}, 321),
        ({"lmtPrice": 100, "tif": "GTD"}, 201),
        ({"orderType": "MIDPRICE", "lmtPrice": 100}, 387),
        ({"lmtPrice": 100, "parentId": 900}, 10006),
        ({"lmtPrice": 100, "totalQuantity": 100_000}, 201),
    ],
)
def test_what_tws_refuses_never_reaches_the_book(desk: Desk, words: dict[str, Any], code: int) -> None:
    desk.client.place(desk.client.order(**words))

    assert desk.client.codes() == [code]
    assert desk.client.open_ids() == []


def test_an_unknown_stock_is_error_200() -> None:
    with a_desk(rules=ROOMY.model_copy(update={"symbols": frozenset({"AAA"})})) as desk:
        desk.client.place(desk.client.order(lmtPrice=1), symbol="BBB")
        assert desk.client.codes() == [200]
        assert desk.client.run(lambda: desk.client.ib.reqContractDetailsAsync(desk.client.stock("BBB"))) == []
        (details,) = desk.client.run(lambda: desk.client.ib.reqContractDetailsAsync(desk.client.stock()))
        assert (details.minTick, details.marketRuleIds.split(",")[0]) == (0.01, "26")
        rule = desk.client.run(lambda: desk.client.ib.reqMarketRuleAsync(26))
        assert [(one.lowEdge, one.increment) for one in rule] == [(0, 0.0001), (1, 0.01)]


def test_changes_of_what_may_not_change_are_refused_and_the_order_lives(desk: Desk) -> None:
    (trade,) = desk.client.place(desk.client.order(lmtPrice=90))
    order_id = trade.order.orderId

    desk.client.send(desk.client.order("MKT", orderId=order_id))
    desk.client.send(desk.client.order(action="SELL", lmtPrice=90, orderId=order_id))

    assert desk.client.codes() == [329, 105]
    assert desk.client.open_ids() == [order_id]


def test_an_id_that_has_ended_is_a_duplicate_and_a_filled_order_takes_no_change(desk: Desk) -> None:
    (gone,) = desk.client.place(desk.client.order(lmtPrice=90))
    desk.client.cancel(gone.order)
    (filled,) = desk.client.place(desk.client.order("MKT"))
    desk.trade(100)
    desk.client.errors.clear()

    desk.client.send(desk.client.order(lmtPrice=90, orderId=gone.order.orderId))
    desk.client.send(desk.client.order("MKT", orderId=filled.order.orderId))

    assert desk.client.codes() == [103, 104]


def test_an_order_without_a_life_becomes_day_with_an_error_clients_read_as_its_end(desk: Desk) -> None:
    desk.client.told.clear()

    (trade,) = desk.client.place(desk.client.order(lmtPrice=90, tif=""))

    order_id = trade.order.orderId
    assert desk.client.codes() == [10349]
    assert desk.client.told[-2:] == [f"{order_id} Cancelled 0", f"{order_id} Submitted 0"]
    assert desk.client.open_ids() == [order_id]


def test_the_same_order_ref_twice_is_two_orders(desk: Desk) -> None:
    """IB knows no uniqueness of orderRef: who resends blindly has doubled his order."""
    first, second = desk.client.place(
        desk.client.order(lmtPrice=90, orderRef="mine"), desk.client.order(lmtPrice=90, orderRef="mine")
    )

    assert statuses([first, second]) == ["Submitted", "Submitted"]
    shown = desk.client.run(desk.client.ib.reqAllOpenOrdersAsync)
    assert {trade.order.orderRef for trade in shown} == {"mine"}
    assert first.order.permId != second.order.permId


def test_an_order_before_the_open_is_held_with_a_warning_and_works_from_the_open_on(desk: Desk) -> None:
    tomorrow = next_session()
    desk.client.place(desk.client.order("MKT"))
    desk.trade(100)
    desk.venue.on_session_open(tomorrow, {}, {})  # its hours are known; the venue's time is not there yet

    (trade,) = desk.client.place(desk.client.order("STP LMT", "SELL", lmtPrice=90, auxPrice=91, tif="GTC"))
    assert desk.client.codes() == [399]
    assert "until 20250611 09:30:00 US/Eastern" in desk.client.errors[-1][2]

    (limit,) = desk.client.place(desk.client.order(lmtPrice=90, tif="GTC"))
    held = statuses([t for t in desk.client.run(desk.client.ib.reqOpenOrdersAsync) if t is limit])
    desk.deliver(a_bar(24 * 60, 100, 100, 100, 100))
    assert (held, statuses([trade, limit])) == (["PreSubmitted"], ["PreSubmitted", "Submitted"])


def test_read_only_mode_lets_no_order_through() -> None:
    venue = a_venue()
    with (
        a_tws_door(venue, rules=ROOMY.model_copy(update={"read_only": True})) as doors,
        a_client(doors, connected=False) as client,
    ):
        client.run(lambda: client.ib.connectAsync(doors.host, doors.port, 1, timeout=5, readonly=True))
        client.place(client.order(lmtPrice=90))
        assert client.codes() == [321]
        assert venue.open_orders() == ()


def test_a_share_class_is_a_blank_on_the_wire_and_a_dot_at_the_venue(desk: Desk) -> None:
    desk.client.place(desk.client.order(lmtPrice=90), symbol="BRK.B")
    assert desk.client.codes() == [200]  # IB has no such symbol

    stock = desk.client.thread.sdk.Stock("BRK B", "SMART", "USD")
    fine = desk.client.order(lmtPrice=90)
    desk.client.do(lambda: desk.client.ib.placeOrder(stock, fine))
    desk.client.settle()

    assert [order.symbol for order in desk.venue.open_orders()] == ["BRK.B"]
    (shown,) = desk.client.run(desk.client.ib.reqAllOpenOrdersAsync)
    assert (shown.contract.symbol, shown.contract.localSymbol) == ("BRK B", "BRK B") or shown.contract is stock


def test_what_if_tells_cost_and_margin_and_places_nothing(desk: Desk) -> None:
    order = desk.client.order(lmtPrice=90)

    state = desk.client.run(lambda: desk.client.ib.whatIfOrderAsync(desk.client.stock(), order))

    assert (float(state.initMarginChange), float(state.commission)) == (9000, 1)
    assert desk.venue.open_orders() == ()
    assert desk.client.open_ids() == []


@pytest.mark.parametrize(("price", "ends"), [(100, "Filled"), (120, "Cancelled")])
def test_a_fill_may_beat_a_cancel_that_waits(price: int, ends: str) -> None:
    with a_desk(rules=ROOMY.model_copy(update={"cancels_wait_for_bars": True})) as desk:
        (trade,) = desk.client.place(desk.client.order(lmtPrice=105))
        desk.client.cancel(trade.order)
        assert trade.orderStatus.status == "PendingCancel"
        assert [t.orderStatus.status for t in desk.client.run(desk.client.ib.reqOpenOrdersAsync)] == ["PendingCancel"]

        desk.trade(price)

        assert trade.orderStatus.status == ends
        assert desk.client.open_ids() == []


def test_older_tws_has_other_codes_for_cancels_that_cannot_be() -> None:
    with a_desk(rules=ROOMY.model_copy(update={"cancel_errors": "135/161"})) as desk:
        (trade,) = desk.client.place(desk.client.order("MKT"))
        desk.trade(100)
        for order_id in (999, trade.order.orderId):
            desk.client.do(partial(desk.client.ib.client.cancelOrder, order_id))
        desk.client.settle()
        assert desk.client.codes() == [135, 161]
