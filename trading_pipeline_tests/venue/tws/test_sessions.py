"""Connections: greeting, client ids, pace, what is unreadable, resets and outages."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.domain.orders import OrderType, Side
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline.venue.tws.session import Pace, Session
from trading_pipeline.venue.tws.wire import encoded, fields_of
from trading_pipeline_tests.adapters.venue_worlds import StandingClock
from trading_pipeline_tests.venue.builders import a_venue, an_order, at, flat
from trading_pipeline_tests.venue.tws.clients import FARMS, a_client, complaints, statuses
from trading_pipeline_tests.venue.tws.doors import ROOMY, TwsDoors, a_tws_door


class Knock:
    """A client of bare bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._file = sock, sock.makefile("rb")

    def hello(self, versions: str = "v157..178") -> list[str]:
        self._sock.sendall(b"API\0" + struct.pack(">I", len(versions)) + versions.encode())
        return self.hear()

    def shout(self, text: bytes) -> None:
        self._sock.sendall(text)

    def say(self, *fields: str | int) -> None:
        self._sock.sendall(encoded(fields))

    def hear(self) -> list[str]:
        """The next message; empty when the door has hung up."""
        head = self._file.read(4)
        return fields_of(self._file.read(struct.unpack(">I", head)[0])) if len(head) == 4 else []

    def hear_all(self, until: str) -> list[list[str]]:
        """Messages up to the first of a kind, or the end."""
        heard = [self.hear()]
        while heard[-1] and heard[-1][0] != until:
            heard.append(self.hear())
        return heard


@contextmanager
def a_knock(doors: TwsDoors) -> Iterator[Knock]:
    with socket.create_connection((doors.host, doors.port), timeout=5) as sock:
        yield Knock(sock)


@pytest.fixture
def doors() -> Iterator[TwsDoors]:
    with a_tws_door(a_venue()) as made:
        yield made


def test_connecting_pulls_everything_without_a_complaint(doors: TwsDoors, caplog: pytest.LogCaptureFixture) -> None:
    with a_client(doors) as client:
        assert client.ib.client.serverVersion() == 176
        assert client.do(client.ib.managedAccounts) == ["SIM"]
        assert {code for _, code, _ in client.errors} == FARMS
        assert client.run(client.ib.reqCurrentTimeAsync) == at(0)
        (found,) = client.run(lambda: client.ib.qualifyContractsAsync(client.thread.sdk.Stock("AAA", "SMART", "USD")))
        assert found == client.stock()
    assert complaints(caplog.records) == []


def test_the_door_speaks_the_newest_version_both_know(doors: TwsDoors) -> None:
    with a_knock(doors) as knock:
        assert knock.hello("v157..170") == ["170", "20250610 09:30:00 US/Eastern"]


@pytest.mark.parametrize("versions", ["v100..150", "v177..200", "nonsense", ""])
def test_a_client_of_other_versions_is_hung_up_on(doors: TwsDoors, versions: str) -> None:
    with a_knock(doors) as knock:
        assert knock.hello(versions) == []


def test_one_that_is_no_tws_client_is_hung_up_on(doors: TwsDoors) -> None:
    with a_knock(doors) as knock:
        knock.shout(b"GET / HTTP/1.1\r\n\r\n")
        assert knock.hear() == []


def test_a_client_id_in_use_is_error_326_and_the_end(doors: TwsDoors) -> None:
    with a_client(doors, 5) as first, a_client(doors, 5, connected=False) as second:
        with pytest.raises(Exception, match=r"^$|timed out|Timeout"):
            second.connect(timeout=1.0)

        assert second.codes() == [326]
        first.settle()


def test_what_the_door_cannot_read_is_error_320_and_the_connection_lives(doors: TwsDoors) -> None:
    with a_knock(doors) as knock:
        knock.hello()
        knock.say(71, 2, 9, "")
        knock.say(3, 1, "what")
        knock.say(777)
        knock.say(49, 1)

        errors = [one[3] for one in knock.hear_all("49") if one[0] == "4" and int(one[3]) not in FARMS]
        assert errors == ["320", "320"]


def test_nothing_is_answered_before_the_api_is_started(doors: TwsDoors) -> None:
    with a_knock(doors) as knock:
        knock.hello()
        knock.say(61, 1)
        assert knock.hear() == []


def test_more_messages_than_allowed_are_error_100_and_three_strikes_the_end() -> None:
    with a_tws_door(a_venue(), rules=TwsDoorRules(messages_per_second=5, strikes=1)) as doors, a_knock(doors) as knock:
        knock.hello()
        knock.say(71, 2, 9, "")
        for _ in range(6):  # not one more: a socket closed over unread words may take what was said with it
            knock.say(49, 1)

        heard = [one for one in knock.hear_all("none") if one]
        assert [one[0] for one in heard[5:]] == ["49"] * 5 + ["4"]
        assert heard[-1][3] == "100"


def test_a_second_over_the_limit_is_one_strike() -> None:
    clock = [0.0]
    pace = Pace(2, elapsed=lambda: clock[0])

    assert [pace.is_over() for _ in range(5)] == [False, False, True, True, True]
    assert pace.strikes == 1
    clock[0] = 1.5
    assert [pace.is_over() for _ in range(3)] == [False, False, True]
    assert pace.strikes == 2


def test_the_nightly_reset_ends_every_socket_and_fills_meanwhile_are_found_again(doors: TwsDoors) -> None:
    with a_client(doors) as client:
        (trade,) = client.place(client.order(lmtPrice=100))
        doors.act("reset")
        doors.market.on_bars([flat(0, 99)], at(1))

        client.connect()

        fills = client.do(client.ib.fills)
        assert [(fill.execution.permId, fill.execution.shares) for fill in fills] == [(trade.order.permId, 100)]


def test_between_1100_and_1102_what_is_sent_is_lost_and_what_happens_is_not_told(doors: TwsDoors) -> None:
    with a_client(doors) as client:
        (before,) = client.place(client.order(lmtPrice=100))
        lost = client.order(lmtPrice=90)
        doors.act("lose_servers")
        client.do(lambda: client.ib.placeOrder(client.stock(), lost))
        doors.market.on_bars([flat(0, 99)], at(1))
        doors.act("find_servers", with_data=True)
        client.settle()

        assert client.codes() == [1100, 1102]
        assert before.orderStatus.status == "Submitted"  # what the client believes
        assert client.open_ids() == []
        assert len(client.run(client.ib.reqExecutionsAsync)) == 1


def test_an_outage_that_loses_data_says_1101(doors: TwsDoors) -> None:
    with a_client(doors) as client:
        doors.act("outage", seconds=0.05, with_data=False)
        for _ in range(500):
            if client.codes() == [1100, 1101]:
                return
            time.sleep(0.01)
        raise AssertionError(client.codes())


def test_orders_entered_by_hand_are_seen_by_all_and_told_to_client_zero() -> None:
    venue = a_venue()
    with a_tws_door(venue) as doors, a_client(doors, 0) as zero, a_client(doors, 1) as one:
        _by_hand(doors)
        zero.settle()

        for client in (zero, one):
            (shown,) = client.run(client.ib.reqAllOpenOrdersAsync)
            assert (shown.order.orderId, shown.order.clientId, shown.order.totalQuantity) == (0, 0, 7)
        assert one.run(one.ib.reqOpenOrdersAsync) == []


def _by_hand(doors: TwsDoors) -> None:
    order = an_order("hand", Side.BUY, OrderType.LIMIT, quantity=7, limit=50)
    RemoteBroker(doors.control_url, StandingClock(at(0)), 5.0).submit(order)


def test_the_master_client_hears_of_every_clients_orders() -> None:
    rules = ROOMY.model_copy(update={"master_client_id": 7})
    with a_tws_door(a_venue(), rules=rules) as doors, a_client(doors, 7) as master, a_client(doors, 1) as one:
        (mine,) = one.place(one.order(lmtPrice=90))
        master.settle()

        trades = master.do(master.ib.openTrades)
        assert ([t.order.permId for t in trades], statuses(trades)) == ([mine.order.permId], ["Submitted"])


def test_what_is_still_said_to_a_client_that_left_writes_to_no_lost_socket(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio complains of each write after a few to a connection that is lost."""

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone.close()
        while not writer.is_closing():
            Session(writer, Pace(1)).say(*[("4", "2", "-1", "2104", "farm is OK")] * 100)
        done.set_result(None)

    async def serve() -> None:
        async with await asyncio.start_server(tell, sock=listening):
            await asyncio.wait_for(done, 5)

    with socket.create_server(("127.0.0.1", 0)) as listening, asyncio.Runner() as runner:
        done: asyncio.Future[None] = runner.get_loop().create_future()
        gone = socket.create_connection(listening.getsockname())
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        with caplog.at_level(logging.WARNING, logger="asyncio"):
            runner.run(serve())

    assert caplog.messages == []
