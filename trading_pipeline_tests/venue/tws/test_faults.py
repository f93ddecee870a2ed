"""Scripted faults at the TWS door, as the real client meets them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Fault, FaultRule, FaultScript
from trading_pipeline_tests.venue.builders import a_venue, at, flat
from trading_pipeline_tests.venue.tws.clients import Client, a_client, complaints, statuses
from trading_pipeline_tests.venue.tws.doors import TwsDoors, a_tws_door


class Scene:
    """A door, a client, and a market at 100."""

    def __init__(self, venue: SimulatedVenue, doors: TwsDoors, client: Client) -> None:
        self.venue, self.doors, self.client, self.minute = venue, doors, client, 0

    def play(self, fault: Fault, op: str, **words: Any) -> None:
        self.doors.market.play_faults(FaultScript(rules=(FaultRule(fault=fault, op=op, **words),)))

    def trade(self, price: int) -> None:
        self.doors.market.on_bars([flat(self.minute, price)], at(self.minute + 1))
        self.minute += 1

    def sent(self, **words: Any) -> Any:
        """The trade of an order that was sent, whatever becomes of it."""
        usual: dict[str, Any] = {"lmtPrice": 90, "orderRef": "mine"}
        order = self.client.order(**(usual | words))
        return self.client.do(lambda: self.client.ib.placeOrder(self.client.stock(), order))

    def wait(self, until: Callable[[], bool]) -> None:
        """Until something holds, five seconds at most."""
        for _ in range(500):
            if until():
                return
            time.sleep(0.01)
        raise AssertionError("waited five seconds in vain")

    def reconnected(self) -> None:
        """After a socket that ended."""
        self.client.run(self.client.ended)
        self.client.connect()


@pytest.fixture
def scene() -> Iterator[Scene]:
    venue = a_venue()
    with a_tws_door(venue) as doors, a_client(doors) as client:
        made = Scene(venue, doors, client)
        made.trade(100)
        yield made


@pytest.mark.parametrize("fault", [Fault.DROP_REPLY, Fault.MALFORMED])
def test_an_order_accepted_while_the_answer_is_lost_is_found_after_reconnecting(scene: Scene, fault: Fault) -> None:
    scene.play(fault, "orders.submit")

    scene.sent()
    scene.reconnected()

    shown = scene.client.run(scene.client.ib.reqOpenOrdersAsync)
    assert [(trade.order.orderRef, trade.orderStatus.status) for trade in shown] == [("mine", "Submitted")]


@pytest.mark.parametrize("fault", [Fault.DROP_REQUEST, Fault.RESET])
def test_an_order_lost_with_its_connection_never_existed(scene: Scene, fault: Fault) -> None:
    scene.play(fault, "orders.submit")

    scene.sent()
    scene.reconnected()

    assert scene.venue.open_orders() == ()
    assert scene.client.run(scene.client.ib.reqAllOpenOrdersAsync) == []


def test_an_order_lost_without_a_word_leaves_the_client_waiting(scene: Scene) -> None:
    scene.play(Fault.HTTP_500, "orders.submit")

    trade = scene.sent()
    scene.client.settle()

    assert trade.orderStatus.status == "PendingSubmit"
    assert scene.venue.open_orders() == ()


def test_a_gateway_that_does_not_wait_says_nothing_of_an_order_that_works(scene: Scene) -> None:
    scene.play(Fault.HTTP_504, "orders.submit")

    trade = scene.sent()
    scene.client.settle()
    assert trade.orderStatus.status == "PendingSubmit"

    scene.trade(89)
    scene.client.settle()
    assert trade.orderStatus.status == "Filled"


def test_an_order_delayed_is_done_though_its_client_has_gone(scene: Scene) -> None:
    scene.play(Fault.DELAY, "orders.submit", seconds=0.15)

    scene.sent()
    scene.client.do(scene.client.ib.disconnect)

    scene.wait(lambda: len(scene.venue.open_orders()) == 1)


def test_refusals_of_each_kind(scene: Scene) -> None:
    scene.play(Fault.REJECT, "orders.submit")
    at_once = scene.sent()
    scene.client.settle()
    scene.play(Fault.REJECT_LATER, "orders.submit")
    later = scene.sent()
    scene.client.settle()
    scene.play(Fault.HTTP_429, "orders.submit")
    scene.sent()
    scene.client.settle()

    assert statuses([at_once, later]) == ["Cancelled", "Inactive"]
    assert scene.client.codes() == [201, 201, 100]


def test_a_halt_keeps_the_order_and_fills_nothing(scene: Scene) -> None:
    scene.play(Fault.HALT, "orders.submit", seconds=120)

    trade = scene.sent(lmtPrice=100)
    scene.trade(99)
    scene.client.settle()

    assert trade.orderStatus.status == "Submitted"


def test_an_error_that_reads_like_a_cancel_is_none(scene: Scene) -> None:
    scene.play(Fault.CANCEL_HINT, "orders.submit")

    trade = scene.sent()
    scene.client.settle()

    assert [line.split()[1] for line in scene.client.told][-2:] == ["Cancelled", "Submitted"]
    assert trade.orderStatus.status == "Submitted"


@pytest.mark.parametrize(
    ("fault", "fills", "status"),
    [
        (Fault.DUPLICATE, 1, "Filled"),
        (Fault.OMIT, 0, "Submitted"),
        (Fault.STALL, 0, "Submitted"),
        (Fault.NO_COMMISSION, 1, "Filled"),
    ],
)
def test_news_doubled_or_left_out(scene: Scene, fault: Fault, fills: int, status: str) -> None:
    trade = scene.sent(lmtPrice=100)
    scene.client.settle()
    scene.play(fault, "stream")

    scene.trade(99)
    scene.client.settle()

    assert (len(trade.fills), trade.orderStatus.status) == (fills, status)
    assert all(not fill.commissionReport.execId for fill in trade.fills) == (fault is not Fault.DUPLICATE)


def test_shuffled_news_still_names_one_fill(scene: Scene) -> None:
    trade = scene.sent(lmtPrice=100)
    scene.client.settle()
    scene.doors.market.play_faults(FaultScript(rules=(FaultRule(fault=Fault.REORDER, op="stream"),), seed=3))

    scene.trade(99)
    scene.client.settle()

    assert len(trade.fills) == 1


@pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.RESET, Fault.MALFORMED])
def test_a_socket_that_ends_with_the_news_and_the_fill_found_afterwards(scene: Scene, fault: Fault) -> None:
    scene.sent(lmtPrice=100)
    scene.client.settle()
    scene.play(fault, "stream")

    scene.trade(99)
    scene.reconnected()

    assert [fill.execution.shares for fill in scene.client.do(scene.client.ib.fills)] == [100]


def test_late_news_comes_late(scene: Scene) -> None:
    trade = scene.sent(lmtPrice=100)
    scene.client.settle()
    scene.play(Fault.DELAY, "stream", seconds=0.8)

    scene.trade(99)
    scene.client.settle()
    assert trade.orderStatus.status == "Submitted"

    scene.wait(lambda: trade.orderStatus.status == "Filled")


def test_a_status_and_a_code_nobody_has_heard_of(scene: Scene) -> None:
    trade = scene.sent(lmtPrice=100)
    scene.client.settle()
    scene.play(Fault.UNKNOWN_VALUE, "stream")
    scene.trade(99)
    scene.client.settle()
    assert trade.orderStatus.status == "ZzUnheardOf"

    scene.play(Fault.UNKNOWN_VALUE, "orders.cancel")
    scene.client.do(lambda: scene.client.ib.client.cancelOrder(999))
    scene.client.settle()
    assert scene.client.codes() == [98765]

    scene.play(Fault.UNKNOWN_VALUE, "orders.open")
    second = scene.sent()
    scene.client.run(scene.client.ib.reqAllOpenOrdersAsync)
    assert second.orderStatus.status == "ZzUnheardOf"


def test_a_field_more_where_clients_let_it_pass(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.play(Fault.EXTRA_FIELD, "*", times=0)

    trade = scene.sent(lmtPrice=100)
    scene.client.run(lambda: scene.client.ib.reqContractDetailsAsync(scene.client.stock()))
    scene.client.run(scene.client.ib.reqAllOpenOrdersAsync)
    scene.trade(99)
    scene.client.settle()
    scene.client.run(lambda: scene.client.ib.reqCompletedOrdersAsync(False))

    assert trade.orderStatus.status == "Filled"
    assert complaints(caplog.records) == []


def test_a_clock_that_is_off(scene: Scene) -> None:
    scene.play(Fault.CLOCK_SKEW, "clock", seconds=-90)

    assert scene.client.run(scene.client.ib.reqCurrentTimeAsync) == at(1) - timedelta(seconds=90)


def test_an_outage_as_a_fault_loses_what_set_it_off(scene: Scene) -> None:
    scene.play(Fault.OUTAGE, "orders.submit", seconds=0.05)

    scene.sent()
    scene.wait(lambda: scene.client.codes() == [1100, 1102])
    scene.client.settle()
    assert scene.venue.open_orders() == ()


def test_each_played_fault_is_counted(scene: Scene) -> None:
    scene.play(Fault.HTTP_500, "orders.submit")
    scene.sent()
    scene.client.settle()

    assert scene.doors.door.chaos.faults.played == {Fault.HTTP_500: 1}


def test_changes_have_a_name_of_their_own_in_scripts(scene: Scene) -> None:
    trade = scene.sent()
    scene.client.settle()
    scene.play(Fault.REJECT, "orders.replace", client_order_id="mine")

    trade.order.lmtPrice = 91
    scene.client.place(trade.order)

    assert scene.client.codes() == [201]
    (shown,) = scene.client.run(scene.client.ib.reqAllOpenOrdersAsync)
    assert scene.venue.open_orders()[0].limit_price == 90
    assert shown.order.lmtPrice == 90
