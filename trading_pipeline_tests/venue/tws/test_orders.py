"""Orders through the real client library: brackets, changes, cancels, refusals, and mistakes the door lets happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.tws.orders import WireOrders
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline_tests.adapters.venue_worlds import next_session
from trading_pipeline_tests.venue.builders import FREE, SESSION, a_bar, a_venue, at, flat
from trading_pipeline_tests.venue.tws.clients import Client, a_client, complaints, statuses
from trading_pipeline_tests.venue.tws.doors import ROOMY, TwsDoors, a_tws_door


class Desk:
    """A door with one client at it, and a market that has traded at 100 for its first minute."""

    def __init__(self, venue: SimulatedVenue, doors: TwsDoors, client: Client) -> None:
        self.venue, self.doors, self.client, self.minute = venue, doors, client, 0
        self.trade(100)

    def trade(self, *prices: float, volume: int = 1_000_000) -> None:
        """The market trades at each price for a minute, and the client hears of it."""
        for price in prices:
            self.deliver(flat(self.minute, str(price), volume=volume))

    def deliver(self, bar: MarketBar) -> None:
        self.doors.market.on_bars([bar], bar.end_at)
        self.minute += 1
        self.client.settle()


@contextmanager
def a_desk(venue: SimulatedVenue | None = None, rules: TwsDoorRules = ROOMY, client_id: int = 1) -> Iterator[Desk]:
    account = venue or a_venue()
    with a_tws_door(account, rules=rules) as doors, a_client(doors, client_id) as client:
        yield Desk(account, doors, client)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with a_desk(a_venue(VenueRules(slippage_fraction=FREE.slippage_fraction))) as made:
        yield made


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


def test_a_fill_is_told_as_gateways_do_and_its_cost_after_the_last_state(desk: Desk) -> None:
    (trade,) = desk.client.place(desk.client.order("MKT"))
    desk.client.told.clear()

    desk.trade(100)

    order_id = trade.order.orderId
    assert desk.client.told == [f"{order_id} fill 100 at 100", f"{order_id} Filled 100", f"{order_id} cost 1"]
    assert trade.fills[0].execution.time == at(2)
    assert trade.fills[0].execution.permId == trade.order.permId > 0


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


def test_e2_shares_nobody_holds_are_not_sold_short_here(desk: Desk) -> None:
    """A margin account at IB would be short; this venue's account is long only and says so."""
    (trade,) = desk.client.place(desk.client.order("STP", "SELL", auxPrice=95))

    assert trade.orderStatus.status == "Inactive"
    assert "long only" in desk.client.errors[-1][2]
    assert desk.client.codes() == [201]


def test_e3_a_stop_moves_by_its_aux_price(desk: Desk) -> None:
    _, stop, _ = desk.client.place(*desk.client.bracket())
    desk.trade(99)

    stop.order.auxPrice = 97
    desk.client.place(stop.order)
    desk.trade(96.5)

    assert (stop.orderStatus.status, stop.orderStatus.avgFillPrice) == ("Filled", 96.5)


def test_e24_a_day_stop_ends_with_the_session(desk: Desk) -> None:
    desk.client.place(desk.client.order("MKT"))
    desk.trade(100)
    day, lasting = desk.client.place(
        desk.client.order("STP", "SELL", 50, auxPrice=90), desk.client.order("STP", "SELL", 50, auxPrice=90, tif="GTC")
    )

    desk.doors.market.on_session_close(SESSION)
    desk.client.settle()

    assert statuses([day, lasting]) == ["Cancelled", "PreSubmitted"]


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


def test_open_orders_are_ones_own_and_all_open_orders_are_everybodys(desk: Desk) -> None:
    with a_client(desk.doors, 2) as other:
        (theirs,) = other.place(other.order(lmtPrice=90))
        (mine,) = desk.client.place(desk.client.order(lmtPrice=91))

        own = desk.client.run(desk.client.ib.reqOpenOrdersAsync)
        everybodys = desk.client.run(desk.client.ib.reqAllOpenOrdersAsync)

        assert [trade.order.permId for trade in own] == [mine.order.permId]
        assert {t.order.permId for t in everybodys} == {mine.order.permId, theirs.order.permId}
        assert not any(str(theirs.order.permId) in line for line in desk.client.told)


def test_executions_are_told_again_by_filter_and_from_midnight_only(desk: Desk) -> None:
    desk.client.place(desk.client.order("MKT", orderRef="one"))
    desk.trade(100)
    sdk, ask = desk.client.thread.sdk, desk.client.ib.reqExecutionsAsync

    everything = desk.client.run(ask)
    assert [(fill.execution.orderRef, fill.execution.shares) for fill in everything] == [("one", 100)]
    assert [fill.commissionReport.commission for fill in desk.client.do(desk.client.ib.fills)] == [1]
    wrong: list[dict[str, Any]] = [{"side": "SELL"}, {"symbol": "BBB"}, {"clientId": 9}, {"time": "20250610-13:35:00"}]
    assert [desk.client.run(partial(ask, sdk.ExecutionFilter(**words))) for words in wrong] == [[], [], [], []]

    desk.deliver(a_bar(60 * 24, 100, 100, 100, 100))
    assert desk.client.run(ask) == []


def test_completed_orders_are_those_of_the_day(desk: Desk) -> None:
    filled, gone = desk.client.place(desk.client.order("MKT"), desk.client.order(lmtPrice=90))
    desk.client.cancel(gone.order)
    desk.trade(100)

    done = desk.client.run(lambda: desk.client.ib.reqCompletedOrdersAsync(False))

    assert {(t.order.permId, t.orderStatus.status, t.order.filledQuantity) for t in done} == {
        (filled.order.permId, "Filled", 100), (gone.order.permId, "Cancelled", 0)
    }  # fmt: skip


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


def test_positions_and_account_follow_fills(desk: Desk) -> None:
    desk.client.place(desk.client.order("MKT"))
    desk.trade(100)

    (held,) = desk.client.run(desk.client.ib.reqPositionsAsync)
    assert (held.contract.symbol, held.position, held.avgCost) == ("AAA", 100, 100)
    values = {value.tag: value.value for value in desk.client.do(desk.client.ib.accountValues) if value.currency}
    assert (values["TotalCashValue"], values["NetLiquidation"]) == ("89999.00", "99999.00")
    (item,) = desk.client.do(desk.client.ib.portfolio)
    assert (item.position, item.marketPrice) == (100, 100)


def test_a_corrected_fill_comes_under_the_next_version_of_its_exec_id(desk: Desk) -> None:
    (trade,) = desk.client.place(desk.client.order("MKT"))
    desk.trade(100)
    (first,) = trade.fills

    desk.doors.act("correct", exec_id=first.execution.execId, price="101")
    desk.client.settle()

    assert [fill.execution.execId[-3:] for fill in trade.fills] == [".01", ".02"]
    assert trade.fills[1].execution.execId[:-3] == first.execution.execId[:-3]
    assert (trade.fills[1].execution.price, trade.orderStatus.avgFillPrice) == (101, 101)
    assert desk.venue.account().cash_usd == 100_000 - 10_100 - 1
    again = desk.client.run(desk.client.ib.reqExecutionsAsync)
    assert [fill.execution.execId for fill in again] == [trade.fills[1].execution.execId]


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


def test_what_the_wire_knows_of_orders_survives_a_kill_of_the_venue(tmp_path: Path) -> None:
    path = tmp_path / "venue.db"
    venue = SimulatedVenue(path, FREE)
    with a_desk(venue) as desk:
        kept = desk.client.place(*desk.client.bracket())
        loose = desk.client.order(lmtPrice=80, transmit=False, orderRef="loose")
        desk.client.place(loose)
        desk.trade(99)
        before = [(t.order.permId, t.order.orderRef, t.orderStatus.status) for t in kept]

    # nobody closed it: what is on disk is what a kill leaves
    with a_desk(SimulatedVenue(path, FREE)) as again:
        shown = again.client.run(again.client.ib.reqOpenOrdersAsync)
        assert [(t.order.permId, t.order.orderRef, t.orderStatus.status) for t in shown][:2] == before[1:]
        assert [t.order.orderRef for t in shown] == ["b-s", "b-t", "loose"]
        assert [t.order.parentId for t in shown] == [kept[0].order.orderId, kept[0].order.orderId, 0]
        assert len(again.client.run(again.client.ib.reqExecutionsAsync)) == 1
        (fresh,) = again.client.place(again.client.order(lmtPrice=80))
        assert fresh.order.orderId > loose.orderId
        assert fresh.order.permId > max(t.order.permId for t in shown)


def test_ids_rolled_back_come_again_for_other_orders(desk: Desk) -> None:
    first, second = desk.client.place(desk.client.order(lmtPrice=90), desk.client.order(lmtPrice=91))
    desk.client.cancel(second.order)
    next_before = second.order.orderId + 1

    desk.doors.act("roll_back", client_id=1, count=1)
    desk.doors.act("reset")
    with a_client(desk.doors, 1) as again:
        fresh = again.order(lmtPrice=92, orderId=next_before - 1)
        (trade,) = again.place(fresh)

        assert trade.order.permId not in {first.order.permId, second.order.permId}
        assert again.open_ids() == [first.order.orderId, next_before - 1]


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


def test_what_if_tells_cost_and_margin_and_places_nothing(desk: Desk) -> None:
    order = desk.client.order(lmtPrice=90)

    state = desk.client.run(lambda: desk.client.ib.whatIfOrderAsync(desk.client.stock(), order))

    assert (float(state.initMarginChange), float(state.commission)) == (9000, 1)
    assert desk.venue.open_orders() == ()
    assert desk.client.open_ids() == []


def test_what_the_venue_could_not_save_the_door_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "venue.db"
    with a_desk(SimulatedVenue(path, FREE)) as desk:
        other = SimulatedVenue(path, FREE)
        other.on_bars([flat(500, 100)], at(501))  # a second writer: the first may not save any more
        lost = desk.client.order(lmtPrice=90)
        desk.client.do(lambda: desk.client.ib.placeOrder(desk.client.stock(), lost))
        desk.client.run(desk.client.ended)

        assert [order.order_id for order in desk.doors.door.desk.orders] == []
        assert other.open_orders() == ()


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


def test_orders_that_joined_others_survive_a_kill_too(tmp_path: Path) -> None:
    path = tmp_path / "venue.db"
    with a_desk(SimulatedVenue(path, FREE)) as desk:
        entry, stop, target = desk.client.bracket()
        entry.transmit = stop.transmit = True
        desk.client.place(entry, stop, target)

    orders = WireOrders(SimulatedVenue(path, FREE))
    assert [order.engine_id for order in orders] == ["b-e", "b-s", "b-t"]
    assert [order.terms.parent_id for order in orders] == [0, entry.orderId, entry.orderId]
