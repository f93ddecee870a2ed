"""What TWS tells of orders and the account when asked, and what of it outlives a kill."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.tws.orders import WireOrders
from trading_pipeline_tests.venue.builders import FREE, a_bar, at, flat
from trading_pipeline_tests.venue.tws.clients import a_client
from trading_pipeline_tests.venue.tws.desks import Desk, a_desk


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


def test_orders_that_joined_others_survive_a_kill_too(tmp_path: Path) -> None:
    path = tmp_path / "venue.db"
    with a_desk(SimulatedVenue(path, FREE)) as desk:
        entry, stop, target = desk.client.bracket()
        entry.transmit = stop.transmit = True
        desk.client.place(entry, stop, target)

    orders = WireOrders(SimulatedVenue(path, FREE))
    assert [order.engine_id for order in orders] == ["b-e", "b-s", "b-t"]
    assert [order.terms.parent_id for order in orders] == [0, entry.orderId, entry.orderId]
