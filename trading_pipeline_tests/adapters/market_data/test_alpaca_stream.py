"""alpaca-py's own stream against the data door: bars, corrections, refusals, silence and reconnection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal

import pytest
from pydantic import SecretStr

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.market_data.alpaca import AlpacaMarketData
from trading_pipeline.adapters.market_data.alpaca_stream import AlpacaLiveBars
from trading_pipeline.domain.bar_building import MinuteBar
from trading_pipeline.domain.errors import MarketDataError
from trading_pipeline.venue.faults import Fault, FaultRule, Faults, FaultScript
from trading_pipeline_tests.adapters.market_data.doors import DataDoor, a_data_door
from trading_pipeline_tests.venue.alpaca.doors import GENEROUS, new_york
from trading_pipeline_tests.venue.builders import at, flat
from trading_pipeline_tests.venue.tapes import ListedTape

PATIENCE_SECONDS = 8.0


@contextmanager
def a_stream(door: DataDoor, **changes: object) -> Iterator[AlpacaLiveBars]:
    rules = door.rules(**changes)
    with closing(AlpacaMarketData(rules)) as history:
        stream = AlpacaLiveBars(rules, history, new_york(), SystemClock())
        try:
            yield stream
        finally:
            stream.disconnect()


def taken(stream: AlpacaLiveBars, count: int) -> list[MinuteBar]:
    """At least so many bars; fewer when no more come."""
    found: list[MinuteBar] = []
    until = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count and time.monotonic() < until:
        found += stream.take(0.2)
    return found


def eventually(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def playing(*rules: FaultRule) -> Faults:
    return Faults(FaultScript(rules=rules))


def test_minute_bars_arrive_as_the_vendor_closed_them() -> None:
    with a_data_door(ListedTape()) as door, a_stream(door) as stream:
        stream.subscribe(["AAA", "BBB"])
        door.market().on_bars([flat(0, 50), flat(0, 60, symbol="BBB"), flat(0, 70, symbol="CCC")], at(1))

        bars = taken(stream, 2)

    assert [(bar.symbol, bar.start_at, bar.close, bar.volume) for bar in bars] == [
        ("AAA", at(0), 50.0, 1_000_000.0),
        ("BBB", at(0), 60.0, 1_000_000.0),
    ]
    assert stream.health().connections == 1


def test_a_correction_comes_as_another_bar_of_the_same_minute() -> None:
    faults = playing(FaultRule(fault=Fault.CORRECT, op="data.stream.bars"))
    with a_data_door(ListedTape(), faults=faults) as door, a_stream(door) as stream:
        stream.subscribe(["AAA"])
        market = door.market()
        market.on_bars([flat(0, 50)], at(1))
        market.on_bars([flat(1, 51)], at(2))

        bars = taken(stream, 3)

    first, corrected = [bar for bar in bars if bar.start_at == at(0)]
    assert first.volume < corrected.volume == 1_000_000.0


@pytest.mark.parametrize("changes", [{"key_id": SecretStr("WRONG")}, {"secret_key": SecretStr("wrong")}])
def test_refused_keys_end_the_stream_at_once_and_say_so(changes: dict[str, object]) -> None:
    """The library alone tries refused keys for ever, without a word."""
    with a_data_door(ListedTape()) as door, a_stream(door, **changes) as stream:
        began = time.monotonic()
        with pytest.raises(MarketDataError, match=r"auth failed.*the keys are refused"):
            stream.subscribe(["AAA"])

        assert time.monotonic() - began < 20
        assert stream._thread is None


def test_a_second_connection_with_the_same_keys_is_told_to_stop_the_other() -> None:
    with a_data_door(ListedTape()) as door, a_stream(door) as first, a_stream(door) as second:
        first.subscribe(["AAA"])

        with pytest.raises(MarketDataError, match=r"another connection with these keys is open"):
            second.subscribe(["AAA"])


def test_a_feed_that_is_not_in_the_plan_is_told() -> None:
    with (
        a_data_door(ListedTape(), rules=GENEROUS) as door,
        a_stream(door, feed="sip") as stream,
        pytest.raises(MarketDataError, match=r"set broker.alpaca.feed: iex"),
    ):
        stream.subscribe(["AAA"])


def test_a_port_where_nobody_is_is_an_error_not_a_wait() -> None:
    with a_data_door(ListedTape()) as door:
        rules = door.rules(data_stream_url="ws://127.0.0.1:1/v2")
        with closing(AlpacaMarketData(rules)) as history:
            stream = AlpacaLiveBars(rules, history, new_york(), SystemClock())
            with pytest.raises(MarketDataError, match=r"gives no bars"):
                stream.subscribe(["AAA"])


def test_a_connection_that_ends_is_told_and_another_takes_its_place() -> None:
    faults, ends = playing(FaultRule(fault=Fault.CLOSE, op="data.stream.bars", nth=2)), list[str]()
    with a_data_door(ListedTape(), faults=faults) as door, a_stream(door) as stream:
        stream.on_disconnect = ends.append
        stream.subscribe(["AAA"])
        market = door.market()
        market.on_bars([flat(0, 50)], at(1))
        taken(stream, 1)
        market.on_bars([flat(1, 51)], at(2))  # never told: the connection ends instead
        again = eventually(lambda: stream.health().connections == 2)
        eventually(lambda: stream.health().is_connected)
        time.sleep(0.2)
        market.on_bars([flat(2, 52)], at(3))

        bars = taken(stream, 1)

    assert again
    assert ends
    assert [bar.start_at for bar in bars] == [at(2)]


def test_a_mute_connection_is_given_up_on_request() -> None:
    faults = playing(FaultRule(fault=Fault.STALL, op="data.stream.bars"))
    with a_data_door(ListedTape(), faults=faults) as door, a_stream(door) as stream:
        stream.subscribe(["AAA"])
        market = door.market()
        market.on_bars([flat(0, 50)], at(1))
        assert not stream.take(0.3)

        stream.reconnect()
        eventually(lambda: stream.health().connections == 2)
        time.sleep(0.2)
        market.on_bars([flat(1, 51)], at(2))

        assert [bar.start_at for bar in taken(stream, 1)] == [at(1)]


def test_a_bar_with_fields_nobody_knows_is_a_bar() -> None:
    faults = playing(FaultRule(fault=Fault.EXTRA_FIELD, op="data.stream.bars"))
    with a_data_door(ListedTape(), faults=faults) as door, a_stream(door) as stream:
        stream.subscribe(["AAA"])
        door.market().on_bars([flat(0, 50)], at(1))

        assert [bar.close for bar in taken(stream, 1)] == [50.0]


def test_quotes_and_market_hours_are_asked_of_the_same_part() -> None:
    with a_data_door(ListedTape([flat(0, 50)]), now=at(1)) as door, a_stream(door) as stream:
        assert stream.latest_quotes(["AAA"])["AAA"].price == Decimal(50)
        assert stream.is_market_open() in {True, False}
