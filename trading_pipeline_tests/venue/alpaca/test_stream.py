"""News of orders at Alpaca's door, heard by the vendor's own stream client."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alpaca.trading.models import TradeUpdate
from alpaca.trading.stream import TradingStream
from websockets.sync.client import connect

from trading_pipeline.venue.faults import Fault, FaultRule, Faults, FaultScript
from trading_pipeline_tests.venue.alpaca.doors import Desk, a_desk
from trading_pipeline_tests.venue.alpaca.openapi import TRADING, document, needs_documents
from trading_pipeline_tests.venue.builders import SESSION, a_bar, at

PATIENCE_SECONDS = 5.0
ENTRY_NEWS = ["pending_new", "new"]


class Ear:
    """A TradingStream in its own thread, and what it heard."""

    def __init__(self, desk: Desk, *, raw_data: bool = True) -> None:
        self.heard: list[Any] = []
        self._stream = TradingStream(*desk.doors.keys, raw_data=raw_data, url_override=desk.doors.stream_url)
        self._stream._reconnect_min_backoff = 0.05
        self._stream.subscribe_trade_updates(self._hear)
        self._thread = threading.Thread(target=self._stream.run, daemon=True)
        self._thread.start()

    async def _hear(self, message: Any) -> None:
        self.heard.append(message["data"] if isinstance(message, dict) else message)

    @property
    def events(self) -> list[str]:
        return [message["event"] for message in self.heard]

    def has_heard(self, count: int) -> None:
        """Wait for so many messages; one more would be noticed."""
        eventually(lambda: len(self.heard) >= count)
        time.sleep(0.02)
        assert len(self.heard) == count, self.events

    def stop(self) -> None:
        self._stream.stop()  # its thread notices within five seconds; it is a daemon


@contextmanager
def an_ear(desk: Desk, *, raw_data: bool = True) -> Iterator[Ear]:
    """Listening from now on."""
    updates = desk.doors.door.updates
    before = updates.listening
    ear = Ear(desk, raw_data=raw_data)
    eventually(lambda: updates.listening > before)
    try:
        yield ear
    finally:
        ear.stop()


def eventually(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.005)


def playing(*rules: FaultRule) -> Faults:
    return Faults(FaultScript(rules=rules))


def test_a_brackets_life_is_told_as_alpaca_tells_it() -> None:
    """The stop is held throughout: neither its arrival nor its end is told."""
    with a_desk() as desk, an_ear(desk) as ear:
        bracket = desk.bracket()
        desk.trade(99, volume=400)
        desk.trade(99)
        desk.trade(111)
        ear.has_heard(6)

    target = bracket["legs"][0]
    assert ear.events == [*ENTRY_NEWS, "partial_fill", "fill", "new", "fill"]
    assert [one["order"]["id"] for one in ear.heard] == [bracket["id"]] * 4 + [target["id"]] * 2
    fills = [one for one in ear.heard if "fill" in one["event"]]
    assert [(one["qty"], one["price"], one["position_qty"]) for one in fills] == [
        ("40", "99", "40"), ("60", "99", "100"), ("100", "111", "0"),
    ]  # fmt: skip
    assert [one["order"]["status"] for one in fills] == ["partially_filled", "filled", "filled"]


def test_fills_of_one_bar_each_tell_the_position_they_left() -> None:
    with a_desk() as desk, an_ear(desk) as ear:
        desk.bracket()
        bar = a_bar(0, 99, 99, 94, 94)
        desk.market.on_bars([bar], bar.end_at)
        ear.has_heard(6)

    fills = [(one["order"]["side"], one["position_qty"]) for one in ear.heard if one["event"] == "fill"]
    assert fills == [("buy", "100"), ("sell", "0")]


def test_an_execution_has_one_id_on_the_stream_and_among_the_activities() -> None:
    with a_desk() as desk, an_ear(desk) as ear:
        desk.post()
        desk.trade(99)
        ear.has_heard(3)
        (activity,) = desk.raw.get("/account/activities/FILL")

    fill = ear.heard[-1]
    assert activity["id"].partition("::")[2] == fill["execution_id"]
    assert activity["transaction_time"] == fill["timestamp"]


def test_the_clients_own_models_read_the_news() -> None:
    with a_desk() as desk, an_ear(desk, raw_data=False) as ear:
        desk.post()
        desk.trade(99)
        ear.has_heard(3)

    update = ear.heard[-1]
    assert isinstance(update, TradeUpdate)
    assert (update.event, update.qty, update.price, update.position_qty) == ("fill", 100.0, 99.0, 100.0)


@needs_documents
def test_orders_in_the_news_are_those_of_the_document() -> None:
    with a_desk() as desk, an_ear(desk) as ear:
        bracket = desk.bracket()
        desk.trade(99)
        desk.raw.patch(f"/orders/{bracket['legs'][0]['id']}", {"limit_price": "112"})
        ear.has_heard(6)

    faults = [fault for one in ear.heard for fault in document(TRADING).component_faults("Order", one["order"])]
    assert [fault for fault in faults if not fault.startswith(("/source", "/subtag"))] == []


def test_a_replacement_is_told_of_both_orders() -> None:
    with a_desk() as desk, an_ear(desk) as ear:
        order = desk.post()
        new = desk.raw.patch(f"/orders/{order['id']}", {"limit_price": "101"})
        ear.has_heard(4)

    assert ear.events == [*ENTRY_NEWS, "replaced", "new"]
    old, told = (one["order"] for one in ear.heard[2:])
    assert (old["id"], old["replaced_by"], told["id"]) == (order["id"], new["id"], new["id"])


def test_the_ends_of_orders_are_told() -> None:
    with a_desk() as desk, an_ear(desk) as ear:
        order = desk.post()
        desk.raw.delete(f"/orders/{order['id']}")
        desk.post()
        desk.market.on_session_close(SESSION)
        ear.has_heard(6)

    assert ear.events == [*ENTRY_NEWS, "canceled", *ENTRY_NEWS, "expired"]


def test_an_order_for_a_closed_market_is_accepted_then_new_at_the_open() -> None:
    with a_desk(start=at(-60)) as desk, an_ear(desk) as ear:
        desk.post()
        desk.trade(99)
        ear.has_heard(3)

    assert ear.events == ["accepted", "new", "fill"]
    assert ear.heard[1]["timestamp"].startswith("2025-06-10T13:30:00")


def test_nothing_is_replayed_to_who_was_away() -> None:
    with a_desk(faults=playing(FaultRule(fault=Fault.CLOSE, op="stream", nth=2))) as desk, an_ear(desk) as ear:
        order = desk.post()  # its second piece of news closes the socket
        desk.trade(99)
        eventually(lambda: desk.doors.door.updates.listening == 1)
        desk.post(client_order_id="after")
        eventually(lambda: len(ear.heard) >= 3)

        assert ear.events == ["pending_new", *ENTRY_NEWS]
        assert {one["order"]["client_order_id"] for one in ear.heard[1:]} == {"after"}
        assert desk.statuses(order["id"]) == ["filled"]


@pytest.mark.parametrize(
    ("fault", "seconds", "events"),
    [
        (Fault.DUPLICATE, 0, ["pending_new", "new", "new", "fill"]),
        (Fault.OMIT, 0, ["pending_new", "fill"]),
        (Fault.REORDER, 0, ["pending_new", "fill", "new"]),
        (Fault.UNKNOWN_VALUE, 0, ["pending_new", "zz_unheard_of", "fill"]),
        (Fault.EXTRA_FIELD, 0, ["pending_new", "new", "fill"]),
        (Fault.DELAY, 0.05, ["pending_new", "fill", "new"]),
        (Fault.STALL, 0, ["pending_new"]),
        (Fault.MALFORMED, 0, ["pending_new", "fill"]),
    ],
)
def test_news_arrive_as_the_fault_lets_them_through(fault: Fault, seconds: float, events: list[str]) -> None:
    rule = FaultRule(fault=fault, op="stream", client_order_id="a", nth=2, seconds=seconds)
    with a_desk(faults=playing(rule)) as desk, an_ear(desk) as ear:
        desk.post(client_order_id="a")
        desk.trade(99)
        ear.has_heard(len(events))

    assert ear.events == events


def test_a_skewed_clock_shows_in_the_news() -> None:
    rule = FaultRule(fault=Fault.CLOCK_SKEW, op="*", times=0, seconds=-90)
    with a_desk(faults=playing(rule)) as desk, an_ear(desk) as ear:
        desk.post()
        ear.has_heard(2)

    assert ear.heard[0]["timestamp"].startswith("2025-06-10T13:28:30")
    assert ear.heard[0]["order"]["created_at"].startswith("2025-06-10T13:28:30")


# the protocol itself


def test_frames_are_binary_and_a_wrong_key_is_told() -> None:
    with a_desk() as desk, connect(desk.doors.stream_url) as socket:
        ask(socket, action="listen", data={"streams": ["trade_updates"]})
        assert told(socket) == {"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}}
        ask(socket, action="authenticate", data={"key_id": "PKVENUE", "secret_key": "wrong"})
        assert told(socket)["data"]["status"] == "unauthorized"
        ask(socket, action="auth", key=desk.doors.keys[0], secret=desk.doors.keys[1])
        assert told(socket) == {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
        ask(socket, action="listen", data={"streams": ["trade_updates", "quotes"]})
        assert told(socket) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        socket.send("no json")
        assert told(socket)["data"]["status"] == "unauthorized"
        desk.post()
        assert told(socket)["data"]["event"] == "pending_new"
        assert told(socket)["data"]["order"] == desk.listed()[0]


def ask(socket: Any, **message: Any) -> None:
    socket.send(json.dumps(message))


def told(socket: Any) -> dict[str, Any]:
    frame = socket.recv(PATIENCE_SECONDS)
    assert isinstance(frame, bytes)
    message: dict[str, Any] = json.loads(frame)
    return message


def test_a_connection_may_be_refused() -> None:
    rule = FaultRule(fault=Fault.HTTP_429, op="stream.connect")
    with a_desk(faults=playing(rule)) as desk, an_ear(desk) as ear:
        desk.post()
        ear.has_heard(2)
