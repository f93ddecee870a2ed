"""The IB client library against the TWS door: history, quotes, live minutes, pacing and refusals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.adapters.market_data import ib_line, ib_stream
from trading_pipeline.adapters.market_data.ib import IbMarketData
from trading_pipeline.adapters.market_data.ib_line import BarPacing
from trading_pipeline.adapters.market_data.ib_stream import IbLiveBars
from trading_pipeline.domain.bar_building import LiveRules, MinuteBar
from trading_pipeline.domain.broker_rules import IbRules
from trading_pipeline.domain.errors import MarketDataError
from trading_pipeline.domain.market import Adjustment, Timeframe
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline_tests.services.vendors import ToldClock
from trading_pipeline_tests.venue.alpaca.doors import new_york
from trading_pipeline_tests.venue.builders import SESSION, a_bar, a_venue, at, flat
from trading_pipeline_tests.venue.tapes import ListedTape, a_session
from trading_pipeline_tests.venue.tws.doors import ROOMY, TwsDoors, a_tws_door

YESTERDAY = [flat(minute - 24 * 60, 90, volume=1000) for minute in range(390)]
TODAY = [flat(minute, 100 + minute, volume=1200) for minute in range(60)]
NOW = at(60)
PATIENCE_SECONDS = 8.0


@contextmanager
def a_source(
    tape: ListedTape | None = None, *, now: datetime = NOW, rules: TwsDoorRules = ROOMY, **settings: Any
) -> Iterator[tuple[TwsDoors, IbMarketData]]:
    with a_tws_door(a_venue(), tape or ListedTape([*YESTERDAY, *TODAY]), rules=rules) as doors:
        if now > at(0):
            doors.market.on_bars([], now)
        own: dict[str, object] = {"host": doors.host, "port": doors.port, "timeout_seconds": 5.0}
        with closing(IbMarketData(IbRules.model_validate(own | settings), ToldClock(now))) as source:
            yield doors, source


def eventually(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_minutes_of_a_session_come_whole_and_are_marked_as_split_adjusted() -> None:
    with a_source() as (_, source):
        delivery = source.bars(["AAA"], Timeframe.MIN1, [a_session(-1)], NOW)

    assert len(delivery.bars) == 390
    assert delivery.bars["time"].iloc[0] == pd.Timestamp(a_session(-1).opens_at)
    assert (delivery.feed, delivery.adjustment, delivery.adjusted_through) == ("ib", Adjustment.SPLIT, NOW.date())
    assert set(delivery.bars["volume"]) == {1000.0}


def test_a_running_session_comes_up_to_now() -> None:
    with a_source() as (_, source):
        delivery = source.bars(["AAA"], Timeframe.MIN1, [SESSION], NOW)

    assert list(delivery.bars["close"]) == [100.0 + minute for minute in range(60)]


def test_daily_bars_are_dated_by_their_session() -> None:
    with a_source() as (_, source):
        delivery = source.bars(["AAA"], Timeframe.DAY1, [a_session(-4), a_session(-1)], NOW)

    assert list(delivery.bars["time"]) == [pd.Timestamp(a_session(-1).session)]


def test_a_symbol_it_does_not_know_is_refused_and_the_rest_comes() -> None:
    rules = ROOMY.model_copy(update={"symbols": frozenset({"AAA"})})
    with a_source(rules=rules) as (_, source):
        delivery = source.bars(["ZZZ", "AAA"], Timeframe.MIN1, [SESSION], NOW)

    assert set(delivery.bars["symbol"]) == {"AAA"}
    assert list(delivery.refused) == ["ZZZ"]
    assert "does not know this symbol" in delivery.refused["ZZZ"]


def test_asked_twice_at_once_the_second_question_waits() -> None:
    """An identical request within fifteen seconds is a pacing violation."""
    with a_source() as (_, source):
        source.bars(["AAA"], Timeframe.MIN1, [SESSION], NOW)
        asked = ("AAA", Timeframe.MIN1, NOW, 1)

        assert source.line.pacing.wait_seconds("AAA", asked) > 14


def test_a_pacing_violation_is_asked_again_after_a_while_and_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_pipeline.adapters.market_data.ib.IDENTICAL_SECONDS", 0.1)
    monkeypatch.setattr(ib_line, "IDENTICAL_SECONDS", 0.0)
    with a_source() as (_, source):
        source.bars(["AAA"], Timeframe.MIN1, [SESSION], NOW)
        again = source.bars(["AAA"], Timeframe.MIN1, [SESSION], NOW)
        tries = source.line.pacing._all

    assert len(tries) == 1 + 3
    assert "pacing" in again.refused["AAA"].lower()


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 9)), min_size=1, max_size=120))
def test_whatever_is_asked_the_pacing_rules_are_kept(asked: list[tuple[str, int]]) -> None:
    clock, sent = [0.0], list[tuple[float, str, object]]()
    pacing = BarPacing(20, elapsed=lambda: clock[0])
    for symbol, number in asked:
        clock[0] += pacing.wait_seconds(symbol, (symbol, number))
        now = clock[0]
        assert sum(at_ > now - 600 for at_, _, _ in sent) < 20
        assert sum(at_ > now - 2 and one == symbol for at_, one, _ in sent) < 5
        assert not any(at_ > now - 15 and request == (symbol, number) for at_, _, request in sent)
        sent.append((now, symbol, (symbol, number)))
        pacing._all.append(now)
        pacing._of[symbol].append(now)
        pacing._last[symbol, number] = now


def test_a_sixth_question_about_one_contract_waits_two_seconds_and_another_contract_does_not() -> None:
    pacing = BarPacing(60, elapsed=lambda: 100.0)
    pacing._of["AAA"].extend([100.0] * 5)

    assert pacing.wait_seconds("AAA", "new") == 2.0
    assert pacing.wait_seconds("BBB", "new") == 0.0


def test_nobody_at_the_port_is_told_what_to_start() -> None:
    source = IbMarketData(IbRules(port=1, timeout_seconds=1.0), ToldClock(NOW))
    with closing(source), pytest.raises(MarketDataError, match=r"nobody listens at .*Start TWS or IB Gateway"):
        source.bars(["AAA"], Timeframe.MIN1, [SESSION], NOW)


def test_another_program_under_the_same_client_id_is_told() -> None:
    with a_source() as (_, first):
        first.bars(["AAA"], Timeframe.MIN1, [SESSION], NOW)
        with (
            closing(
                IbMarketData(first.line.rules.model_copy(update={"timeout_seconds": 1.0}), ToldClock(NOW))
            ) as second,
            pytest.raises(MarketDataError, match=r"326.*data_client_id"),
        ):
            second.bars(["AAA"], Timeframe.MIN1, [SESSION], NOW)


def test_e42_quotes_are_snapshots_that_give_their_lines_back() -> None:
    tape = ListedTape([bar for symbol in ("AAA", "BBB") for bar in [flat(n, 100, symbol=symbol) for n in range(60)]])
    with a_source(tape, rules=ROOMY.model_copy(update={"market_data_lines": 1}), market_data_lines=1) as (_, source):
        for _ in range(2):
            quotes = source.latest_quotes(["AAA", "BBB"])

    assert {symbol: quote.price for symbol, quote in quotes.items()} == {"AAA": Decimal(100), "BBB": Decimal(100)}
    assert quotes["AAA"].bid is not None


def test_quotes_without_a_subscription_say_so() -> None:
    with (
        a_source(rules=ROOMY.model_copy(update={"market_data": "none"})) as (_, source),
        pytest.raises(MarketDataError, match="subscribe in Client Portal"),
    ):
        source.latest_quotes(["AAA"])


# live minutes


@contextmanager
def a_stream(
    rules: TwsDoorRules = ROOMY, **settings: Any
) -> Iterator[tuple[TwsDoors, IbMarketData, IbLiveBars, ToldClock]]:
    with a_source(now=at(0), rules=rules, **settings) as (doors, source):
        clock = source._clock
        assert isinstance(clock, ToldClock)
        stream = IbLiveBars(source, LiveRules(), new_york(), clock)
        stream.connect()
        try:
            yield doors, source, stream, clock
        finally:
            stream.disconnect()


def minute_of(stream: IbLiveBars, clock: ToldClock, end: datetime, count: int = 1) -> list[MinuteBar]:
    """What has closed some seconds after a minute's end."""
    clock.instant = end + timedelta(seconds=3)
    found: list[MinuteBar] = []
    until = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count and time.monotonic() < until:
        found += stream.take(0.1)
    return found


def test_five_second_bars_become_the_minute_they_were_cut_from() -> None:
    with a_stream() as (doors, _, stream, clock):
        assert not stream.subscribe(["AAA"])
        doors.market.on_bars([a_bar(0, 100, 104, 99, 102, volume=1200)], at(1))
        eventually(lambda: sum(len(one.pieces) for one in stream.builder._minutes.values()) == 12)

        (bar,) = minute_of(stream, clock, at(1))

    assert (bar.symbol, bar.start_at) == ("AAA", at(0))
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (100.0, 104.0, 99.0, 102.0, 1200.0)


def test_more_symbols_than_lines_are_refused_by_name() -> None:
    with a_stream(market_data_lines=1) as (_, _, stream, _):
        refused = stream.subscribe(["AAA", "BBB"])

    assert list(refused) == ["BBB"]
    assert "1 live symbols" in refused["BBB"]


def test_without_a_subscription_a_symbol_is_refused() -> None:
    with a_stream(ROOMY.model_copy(update={"market_data": "none"})) as (_, _, stream, _):
        refused = stream.subscribe(["AAA"])

    assert "subscribe in Client Portal" in refused["AAA"]


def test_e42_lines_are_given_back() -> None:
    with a_stream(ROOMY.model_copy(update={"market_data_lines": 1}), market_data_lines=1) as (_, source, stream, _):
        stream.subscribe(["AAA"])
        stream.disconnect()

        assert source.latest_quotes(["AAA"])


def test_e43_a_lost_connection_is_made_again_with_its_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ib_stream, "FIRST_WAIT_SECONDS", 0.05)
    ends: list[str] = []
    with a_stream() as (doors, _, stream, clock):
        stream.on_disconnect = ends.append
        stream.subscribe(["AAA"])
        doors.act("reset")
        again = eventually(lambda: stream.health().connections == 2)
        doors.market.on_bars([flat(0, 100, volume=1200)], at(1))

        bars = minute_of(stream, clock, at(1))

    assert again
    assert len(ends) == 1
    assert [bar.close for bar in bars] == [100.0]


def test_subscriptions_that_an_outage_lost_are_asked_for_again() -> None:
    with a_stream() as (doors, _, stream, clock):
        stream.subscribe(["AAA"])
        doors.act("lose_servers")
        lost = eventually(lambda: not stream.health().is_connected)
        doors.act("find_servers", with_data=False)
        eventually(lambda: stream.health().is_connected and bool(stream._lines))
        time.sleep(0.3)
        doors.market.on_bars([flat(0, 100, volume=1200)], at(1))

        assert lost
        assert [bar.close for bar in minute_of(stream, clock, at(1))] == [100.0]
