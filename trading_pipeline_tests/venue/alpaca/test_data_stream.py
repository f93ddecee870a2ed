"""The stock data stream: alpaca-py's own client hears the market, and every error of the protocol is told."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from alpaca.data.models import Bar, Quote, Trade
from alpaca.data.models.trades import TradingStatus
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.venue.alpaca.door import AlpacaDoor
from trading_pipeline.venue.alpaca.stream_data import FEEDS
from trading_pipeline.venue.door import LOOPBACK
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import FaultScript
from trading_pipeline.venue.hours import Halt
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline_tests.venue.alpaca.data_lines import (
    BareLine,
    a_bare_line,
    a_line,
    stream_url,
    the_vendors_stream,
    until,
)
from trading_pipeline_tests.venue.alpaca.doors import ALPACA, GENEROUS, AlpacaDoors, an_alpaca_door, new_york
from trading_pipeline_tests.venue.alpaca.openapi import MARKET_DATA, document, needs_documents
from trading_pipeline_tests.venue.builders import a_bar, a_venue, at, flat

MANY = 500
UPDATES = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "corrections", "cancelErrors")


@pytest.fixture
def doors() -> Iterator[AlpacaDoors]:
    with an_alpaca_door(a_venue()) as found:
        yield found


def error(code: int, msg: str) -> dict[str, Any]:
    return {"T": "error", "code": code, "msg": msg}


def test_the_vendors_client_hears_bars_trades_quotes_days_and_halts(doors: AlpacaDoors) -> None:
    market = doors.market()

    def subscribe(stream: Any, hear: Any) -> None:
        stream.subscribe_trades(hear, "AAA")
        stream.subscribe_quotes(hear, "AAA")
        stream.subscribe_bars(hear, "*")
        stream.subscribe_daily_bars(hear, "AAA")
        stream.subscribe_trading_statuses(hear, "AAA")

    with the_vendors_stream(doors, subscribe) as heard:
        market.on_bars([a_bar(0, 100, 102, 99, 101, volume=400), flat(0, 5, symbol="BBB")], at(1))
        trade, quote, bar, other, day = heard.wait(5)
        market.halt(Halt("AAA", at(1), at(3)))
        market.on_bars([flat(1, 103, volume=100)], at(2))
        status, *_ = heard.wait(10)[5:]
        market.on_bars([flat(3, 103)], at(4))
        resumed = heard.wait(15)[10]

    assert isinstance(trade, Trade)
    assert (trade.symbol, trade.price, trade.timestamp) == ("AAA", 101, at(1) - timedelta(milliseconds=1))
    assert isinstance(quote, Quote)
    assert (quote.bid_price, quote.ask_price) == (100.98, 101.02)
    assert isinstance(bar, Bar)
    assert (bar.symbol, bar.timestamp, bar.open, bar.high, bar.low, bar.close, bar.volume) == (
        "AAA", at(0), 100, 102, 99, 101, 400,
    )  # fmt: skip
    assert (other.symbol, other.close) == ("BBB", 5)
    assert (day.timestamp, day.close, day.volume) == (datetime(2025, 6, 10, 4, tzinfo=UTC), 101, 400)
    assert isinstance(status, TradingStatus)
    assert (status.status_code, status.timestamp) == ("H", at(1))
    assert (resumed.status_code, resumed.timestamp) == ("T", at(3))
    days = [item for item in heard.items if isinstance(item, Bar) and item.timestamp.hour == 4]
    assert [(one.high, one.volume) for one in days] == [(102, 400), (103, 500), (103, 1_000_500)]


def test_500_symbols_of_one_delivery_are_heard_well_within_a_second(doors: AlpacaDoors) -> None:
    market, symbols = doors.market(), [f"S{n:03}" for n in range(MANY)]

    took = list[float]()
    with the_vendors_stream(doors, lambda stream, hear: stream.subscribe_bars(hear, *symbols)) as heard:
        for minute in range(3):
            begun = time.perf_counter()
            market.on_bars([flat(minute, 100, symbol=symbol) for symbol in symbols], at(minute + 1))
            heard.wait(MANY * (minute + 1))
            took.append(heard.at[-1] - begun)

    assert min(took) < 1.0
    assert [item.symbol for item in heard.items] == symbols * 3


def test_iex_sees_a_part_of_the_volume() -> None:
    rules = GENEROUS.model_copy(update={"iex_volume_fraction": Decimal("0.03"), "recent_sip": True})
    with an_alpaca_door(a_venue(), rules=rules) as doors, a_line(doors) as iex, a_line(doors, "sip") as sip:
        for line in (iex, sip):
            line.subscribe(bars=["AAA"])
        doors.market().on_bars([flat(0, 5, volume=1000)], at(1))

        assert [line.hear()[0]["v"] for line in (iex, sip)] == [30, 1000]


@pytest.mark.parametrize("is_packed", [True, False])
def test_both_codecs_say_the_same(doors: AlpacaDoors, *, is_packed: bool) -> None:
    with a_line(doors, is_packed=is_packed) as line:
        line.subscribe(bars=["AAA"])
        doors.market().on_bars([flat(0, 5, volume=1000)], at(1))
        (bar,) = line.hear()

    start = at(0) if is_packed else "2025-06-10T13:30:00Z"
    assert bar == {"T": "b", "S": "AAA", "t": start, "o": 5, "h": 5, "l": 5, "c": 5, "v": 1000, "n": 10, "vw": 5}


@needs_documents
def test_streamed_news_has_the_letters_of_the_documents(doors: AlpacaDoors) -> None:
    with a_line(doors, is_packed=False) as line:
        line.subscribe(trades=["AAA"], quotes=["AAA"], bars=["AAA"], dailyBars=["AAA"])
        doors.market().on_bars([flat(0, 5, volume=1000)], at(1))
        news = line.hear()

    schemas = {"t": "stock_trade", "q": "stock_quote", "b": "stock_bar", "d": "stock_bar"}
    assert [one["T"] for one in news] == list(schemas)
    for one in news:
        told = {name: value for name, value in one.items() if name not in {"T", "S"}}
        assert document(MARKET_DATA).component_faults(schemas[one["T"]], told) == []


def test_subscriptions_add_up_and_are_told_whole(doors: AlpacaDoors) -> None:
    with a_line(doors) as line:
        line.subscribe(trades=["BBB", "AAA"])
        told = line.subscribe(bars=["*"], updatedBars=["AAA"])
        left = line.answer(action="unsubscribe", trades=["AAA", "ZZZ"], bars=["*"])

    assert {name: symbols for name, symbols in told.items() if symbols} == {
        "T": "subscription", "trades": ["AAA", "BBB"], "corrections": ["AAA", "BBB"], "cancelErrors": ["AAA", "BBB"],
        "bars": ["*"], "updatedBars": ["AAA"],
    }  # fmt: skip
    assert set(told) == {"T", *UPDATES}
    assert (left["trades"], left["bars"], left["updatedBars"]) == (["BBB"], [], ["AAA"])


def test_only_what_is_followed_is_heard(doors: AlpacaDoors) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["AAA"])
        doors.market().on_bars([flat(0, 5), flat(0, 6, symbol="BBB")], at(1))

        assert [one["S"] for one in line.hear()] == ["AAA"]


def test_a_delivery_repeated_is_told_once(doors: AlpacaDoors) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["AAA"])
        for minute in (0, 0, 1):
            doors.market().on_bars([flat(minute, 5)], at(minute + 1))

        assert [line.hear()[0]["t"] for _ in range(2)] == [at(0), at(1)]


def test_keys_in_the_headers_need_no_message(doors: AlpacaDoors) -> None:
    key, secret = doors.keys
    with a_bare_line(doors, headers={"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}) as line:
        assert line.hear() == [{"T": "success", "msg": "authenticated"}]
        assert line.subscribe(bars=["AAA"])["bars"] == ["AAA"]


def test_wrong_keys_and_no_keys_end_the_connection() -> None:
    hasty = GENEROUS.model_copy(update={"auth_seconds": 0.2})
    with an_alpaca_door(a_venue(), rules=hasty) as doors:
        with a_bare_line(doors) as line:
            wrong = {"key": doors.keys[0], "secret": "other"}
            assert line.answer(action="auth", **wrong) == error(402, "auth failed")
            assert is_closed(line)
        with a_bare_line(doors) as late:
            assert late.hear() == [error(404, "auth timeout")]
            assert is_closed(late)


def test_one_connection_a_key_until_it_is_given_back(doors: AlpacaDoors) -> None:
    key, secret = doors.keys
    with a_line(doors) as first:
        with a_bare_line(doors) as second:
            assert second.answer(action="auth", key=key, secret=secret) == error(406, "connection limit exceeded")
            assert is_closed(second)
        assert first.subscribe(bars=["AAA"])["bars"] == ["AAA"]
    until(lambda: can_connect(doors), "the connection to be given back")


def can_connect(doors: AlpacaDoors) -> bool:
    with a_bare_line(doors) as line:
        key, secret = doors.keys
        return bool(line.answer(action="auth", key=key, secret=secret)["T"] == "success")


def test_the_free_plan_has_no_sip_stream(doors: AlpacaDoors) -> None:
    with a_bare_line(doors, "sip") as line:
        key, secret = doors.keys
        assert line.answer(action="auth", key=key, secret=secret) == error(409, "insufficient subscription")
        assert is_closed(line)


@pytest.mark.parametrize("channels", [{"trades": ["*"]}, {"trades": ["A", "B"], "quotes": ["A", "B"]}])
def test_the_free_plan_counts_trades_and_quotes_and_a_refused_subscription_changes_nothing(
    channels: dict[str, list[str]],
) -> None:
    rules = GENEROUS.model_copy(update={"symbol_limit": 3})
    with an_alpaca_door(a_venue(), rules=rules) as doors, a_line(doors) as line:
        line.subscribe(quotes=["A"])
        assert line.subscribe(**channels) == error(405, "symbol limit exceeded")
        found = line.subscribe(bars=[f"S{n}" for n in range(100)])

        assert (found["trades"], found["quotes"], len(found["bars"])) == ([], ["A"], 100)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"action": "auth", "key": "k", "secret": "s"}, 403),
        ({"action": "dance"}, 400),
        ({"subscribe": ["AAA"]}, 400),
        ({"action": 7}, 400),
        ({"action": "subscribe", "bars": "AAA"}, 400),
        ({"action": "subscribe", "bars": [7]}, 400),
        ({"action": "subscribe", "candles": ["AAA"]}, 400),
        ({"action": "subscribe", "news": ["*"]}, 410),
    ],
)
def test_what_cannot_be_done_is_answered_and_the_connection_goes_on(
    doors: AlpacaDoors, message: dict[str, Any], code: int
) -> None:
    with a_line(doors) as line:
        assert line.answer(**message)["code"] == code
        assert line.subscribe(bars=["AAA"])["bars"] == ["AAA"]


@pytest.mark.parametrize(
    ("is_packed", "frame"), [(True, b"\xc1"), (True, b""), (False, "{"), (False, "[]"), (False, b"\xff")]
)
def test_frames_that_cannot_be_read_are_invalid_syntax(
    doors: AlpacaDoors, *, is_packed: bool, frame: bytes | str
) -> None:
    with a_line(doors, is_packed=is_packed) as line:
        line.say_raw(frame)
        assert line.hear() == [error(400, "invalid syntax")]
        assert line.subscribe(bars=["AAA"])["bars"] == ["AAA"]


def test_who_subscribes_before_it_is_known_is_told_so(doors: AlpacaDoors) -> None:
    with a_bare_line(doors) as line:
        assert line.subscribe(bars=["AAA"]) == error(401, "not authenticated")
        key, secret = doors.keys
        assert line.answer(action="auth", key=key, secret=secret)["T"] == "success"


def test_a_client_that_does_not_read_is_cut_and_the_others_hear_on() -> None:
    rules = GENEROUS.model_copy(update={"unread_limit": 5, "recent_sip": True})
    with an_alpaca_door(a_venue(), rules=rules) as doors, a_deaf_line(doors) as deaf, a_line(doors, "sip") as busy:
        market, symbols = doors.market(), [f"S{n:03}" for n in range(MANY)]
        deaf.subscribe(trades=["*"], quotes=["*"], bars=["*"], dailyBars=["*"])
        busy.subscribe(bars=["*"])
        counts = [fed(market, busy, minute, symbols) for minute in range(60)]

        assert set(counts) == {MANY}
        until(lambda: can_connect(doors), "the deaf one to be cut")
        assert len(everything(deaf)) < 60 * 4 * MANY


@contextmanager
def a_deaf_line(doors: AlpacaDoors) -> Iterator[BareLine]:
    """It takes little before it stops: small buffers, nothing compressed, nobody who reads."""
    with socket.socket() as narrow:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect((LOOPBACK, urlsplit(doors.url).port))
        key, secret = doors.keys
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret, "Content-Type": "application/msgpack"}
        with connect(
            stream_url(doors), sock=narrow, compression=None, additional_headers=headers, max_size=None
        ) as line:  # fmt: skip
            found = BareLine(line, is_packed=True)
            assert [found.hear()[0]["T"] for _ in range(2)] == ["success", "success"]
            yield found


def fed(market: RemoteMarket, line: BareLine, minute: int, symbols: Sequence[str]) -> int:
    market.on_bars([flat(minute, 100, symbol=symbol) for symbol in symbols], at(minute + 1))
    return len(line.hear())


def everything(line: BareLine) -> list[dict[str, Any]]:
    """All that can still be read, until the connection ends."""
    found: list[dict[str, Any]] = []
    try:
        while True:
            found += line.hear()
    except ConnectionClosed:
        return found


def is_closed(line: BareLine) -> bool:
    try:
        line.hear()
    except ConnectionClosed:
        return True
    return False


def test_a_script_may_refuse_the_connection(doors: AlpacaDoors) -> None:
    rule = {"fault": "http_429", "op": "data.stream.connect"}
    doors.market().play_faults(FaultScript.model_validate({"rules": [rule]}))

    with pytest.raises(InvalidStatus, match="429"), a_bare_line(doors):
        pass
    with a_line(doors):
        pass


def test_each_feed_hears_a_delivery_of_bars_once_and_each_address_is_served_once() -> None:
    hub = Hub(SimulatedVenue(None, ALPACA), VenueTime(at(0)))
    door = AlpacaDoor(hub, GENEROUS, new_york())

    assert len(hub._on_bars) == 1 + len(FEEDS)
    served = [repr(route) for route in door._application().routes]
    assert len(served) == len(set(served))
