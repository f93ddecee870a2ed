"""Market data through the real client: ticks, lines, delays, bars with pacing, nothing from the future."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.tape import CorporateAction
from trading_pipeline.venue.tws.pacing import BarPacing
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline.venue.tws.ticks import five_second_bars
from trading_pipeline_tests.venue.builders import SESSION, a_bar, a_venue, at, flat
from trading_pipeline_tests.venue.tapes import ListedTape, a_session
from trading_pipeline_tests.venue.tws.clients import Client, a_client, complaints
from trading_pipeline_tests.venue.tws.doors import ROOMY, TwsDoors, a_tws_door

YESTERDAY = [flat(minute - 24 * 60, 90) for minute in range(390)]
TODAY = [flat(minute, 100 + minute) for minute in range(60)]
BARS = {"barSizeSetting": "1 min", "whatToShow": "TRADES", "useRTH": True}


@contextmanager
def a_feed(rules: TwsDoorRules = ROOMY, tape: ListedTape | None = None) -> Iterator[tuple[TwsDoors, Client]]:
    made = tape or ListedTape([*YESTERDAY, *TODAY])
    with a_tws_door(a_venue(), made, rules=rules) as doors, a_client(doors) as client:
        yield doors, client


def historical(client: Client, duration: str, end: str = "", **words: Any) -> list[Any]:
    asked = BARS | {"endDateTime": end, "durationStr": duration} | words
    return list(client.run(lambda: client.ib.reqHistoricalDataAsync(client.stock(), **asked)))


def move(doors: TwsDoors, *minutes: int) -> None:
    for minute in minutes:
        doors.market.on_bars([TODAY[minute]], at(minute + 1))


def test_historical_bars_end_with_the_venues_time(caplog: pytest.LogCaptureFixture) -> None:
    with a_feed() as (doors, client):
        move(doors, 0, 1, 2)

        bars = historical(client, "1 D")
        assert [(bar.date.minute, bar.close) for bar in bars] == [(30, 100), (31, 101), (32, 102)]
        assert historical(client, "1 D", "20250610 20:00:00 UTC") == bars
        assert [bar.date for bar in historical(client, "2 D", formatDate=2)][-1] == at(2)
    assert complaints(caplog.records) == []


def test_days_are_sessions_and_other_units_run_by_the_calendar() -> None:
    with a_feed() as (doors, client):
        move(doors, 0)

        assert len(historical(client, "2 D")) == 391
        assert len(historical(client, "120 S", "20250609 19:00:00 UTC")) == 2
        assert len(historical(client, "1 W")) == 391
        daily = historical(client, "1 Y", barSizeSetting="1 day")
        assert [(str(bar.date), bar.volume) for bar in daily] == [("2025-06-09", 390_000_000)]


def test_bars_before_a_split_are_told_in_todays_shares() -> None:
    split = CorporateAction(symbol="AAA", ex_date=SESSION.session, kind="split", value=Decimal(2))
    paid = CorporateAction(symbol="AAA", ex_date=SESSION.session, kind="dividend", value=Decimal(1))
    with a_feed(tape=ListedTape([*YESTERDAY, *TODAY], taken=[split, paid])) as (doors, client):
        assert [(bar.close, bar.volume) for bar in historical(client, "60 S", "20250609 19:00:00 UTC")] == [
            (45, 2_000_000)
        ]
        move(doors, 0)
        assert [(bar.close, bar.volume) for bar in historical(client, "60 S")] == [(100, 1_000_000)]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"durationStr": "1 F"}, 321),
        ({"barSizeSetting": "7 mins"}, 321),
        ({"whatToShow": "GUESS"}, 321),
        ({"whatToShow": "MIDPOINT"}, 162),
        ({"endDateTime": "20010101 00:00:00 UTC"}, 162),
        ({"endDateTime": "soon"}, 320),
    ],
)
def test_bars_that_cannot_be_are_an_error(words: dict[str, Any], code: int) -> None:
    with a_feed() as (_, client):
        asked = BARS | {"endDateTime": "", "durationStr": "1 D"} | words
        client.do(lambda: client.ib.client.reqHistoricalData(
            77, client.stock(), asked["endDateTime"], asked["durationStr"], asked["barSizeSetting"],
            asked["whatToShow"], True, 1, False, [],
        ))  # fmt: skip
        client.settle()
        assert client.codes() == [code]
        assert client.errors[-1][0] in {77, -1}


def test_asking_too_fast_for_bars_is_a_pacing_violation() -> None:
    with a_feed() as (doors, client):
        move(doors, 0)
        assert len(historical(client, "1 D")) == 1
        assert historical(client, "1 D") == []  # identical, within 15 seconds
        assert client.codes() == [162]
        assert "pacing violation" in client.errors[-1][2]


def test_the_pacing_of_bars_is_the_documented_one() -> None:
    clock = [0.0]
    pacing = BarPacing(elapsed=lambda: clock[0])
    of_one = [pacing.is_violated(number, "AAA") for number in range(6)]
    assert of_one == [False] * 5 + [True]

    clock[0] = 2.0
    spread = [pacing.is_violated(f"{number}", f"S{number}", weight=2) for number in range(28)]
    assert spread == [False] * 27 + [True]  # 5 and 27 twice are 59 of 60
    clock[0] = 601.0
    assert not pacing.is_violated("fresh", "AAA", weight=2)


def test_ticks_follow_the_market_and_a_snapshot_ends_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    with a_feed() as (doors, client):
        move(doors, 0)
        stock = client.stock()
        ticker = client.do(lambda: client.ib.reqMktData(stock, "233"))
        client.settle()
        assert (ticker.last, ticker.bid, ticker.ask, ticker.marketDataType) == (100, 99.99, 100.01, 1)

        move(doors, 1)
        client.settle()
        assert (ticker.last, ticker.volume, ticker.rtVolume) == (101, 1_000_000, 1_000_000)

        (snapshot,) = client.run(lambda: client.ib.reqTickersAsync(client.stock()))
        assert snapshot.last == 101
        client.do(lambda: client.ib.cancelMktData(stock))
        move(doors, 2)
        client.settle()
        assert ticker.last == 101
    assert complaints(caplog.records) == []


def test_lines_run_out_and_come_back() -> None:
    with a_feed(ROOMY.model_copy(update={"market_data_lines": 1, "symbols": frozenset({"AAA", "BBB"})})) as (_, client):
        first, second = client.stock("AAA"), client.stock("BBB")
        client.do(lambda: [client.ib.reqMktData(one) for one in (first, second)])
        client.settle()
        assert client.codes() == [101]

        client.do(lambda: client.ib.cancelMktData(first))
        client.do(lambda: client.ib.client.reqMktData(500, second, "", False, False, []))
        client.settle()
        assert client.codes() == [101]


def test_a_client_that_leaves_releases_its_lines() -> None:
    with a_feed(ROOMY.model_copy(update={"market_data_lines": 1})) as (doors, client):
        client.do(lambda: client.ib.reqMktData(client.stock()))
        client.settle()
        doors.act("reset")
        client.connect()
        client.do(lambda: client.ib.reqMktData(client.stock()))
        client.settle()
        assert client.codes() == []


def test_without_a_subscription_data_comes_late_or_not_at_all() -> None:
    with a_feed(ROOMY.model_copy(update={"market_data": "delayed"})) as (doors, client):
        move(doors, *range(20))
        client.do(lambda: client.ib.reqMktData(client.stock()))
        client.settle()
        assert client.codes() == [10089]

        client.do(lambda: client.ib.reqMarketDataType(3))
        ticker = client.do(lambda: client.ib.reqMktData(client.stock()))
        client.settle()
        assert client.codes()[-1] == 10167
        assert (ticker.marketDataType, ticker.last) == (3, 104)  # the bar that ended 15 minutes ago
        move(doors, 20)
        client.settle()
        assert ticker.last == 105


def test_no_subscription_at_all_is_error_354() -> None:
    with a_feed(ROOMY.model_copy(update={"market_data": "none"})) as (_, client):
        client.do(lambda: client.ib.reqMktData(client.stock()))
        client.do(lambda: client.ib.reqRealTimeBars(client.stock(), 5, "TRADES", True))
        client.settle()
        assert client.codes() == [354, 420]


def test_depth_is_not_carried() -> None:
    with a_feed() as (_, client):
        client.do(lambda: client.ib.reqMktDepth(client.stock()))
        client.settle()
        assert client.codes() == [10092]


def test_five_second_bars_come_when_their_base_bar_has_ended() -> None:
    with a_feed() as (doors, client):
        bars = client.do(lambda: client.ib.reqRealTimeBars(client.stock(), 5, "TRADES", True))
        client.settle()
        move(doors, 0)
        client.settle()
        assert len(bars) == 12
        assert (bars[0].time, bars[-1].time) == (at(0), at(1) - timedelta(seconds=5))
        assert sum(bar.volume for bar in bars) == 1_000_000


def test_bars_kept_up_to_date_go_on() -> None:
    with a_feed() as (doors, client):
        move(doors, 0)
        asked = BARS | {"endDateTime": "", "durationStr": "1 D", "keepUpToDate": True}
        bars = client.run(lambda: client.ib.reqHistoricalDataAsync(client.stock(), **asked))
        move(doors, 1)
        client.settle()
        assert [bar.close for bar in bars] == [100, 101]
        client.do(lambda: client.ib.cancelHistoricalData(bars))
        client.settle()
        assert client.codes() == []


def test_an_outage_that_loses_data_ends_every_subscription() -> None:
    with a_feed() as (doors, client):
        ticker = client.do(lambda: client.ib.reqMktData(client.stock()))
        client.settle()
        doors.act("lose_servers")
        doors.act("find_servers", with_data=False)
        move(doors, 0)
        client.settle()
        assert ticker.last != 100


def test_a_bar_of_a_tape_that_has_not_been_delivered_is_still_the_last_price() -> None:
    with a_tws_door(a_venue(), ListedTape([*YESTERDAY, *TODAY])) as doors, a_client(doors) as client:
        (ticker,) = client.run(lambda: client.ib.reqTickersAsync(client.stock()))
        assert ticker.last == 90


prices = st.integers(100, 200).map(Decimal)


@given(st.lists(prices, min_size=4, max_size=4), st.integers(0, 10**6), st.integers(1, 3))
def test_five_second_bars_add_up_to_their_bar(drawn: list[Decimal], volume: int, minutes: int) -> None:
    opened, closed, *_ = drawn
    bar = MarketBar(
        symbol="AAA", start_at=at(0), end_at=at(minutes), open=opened, high=max(drawn), low=min(drawn), close=closed,
        volume=Decimal(volume),
    )  # fmt: skip

    pieces = five_second_bars(bar)

    assert (pieces[0].start_at, pieces[-1].end_at, len(pieces)) == (bar.start_at, bar.end_at, 12 * minutes)
    assert all(one.end_at == other.start_at for one, other in pairwise(pieces))
    assert (pieces[0].open, pieces[-1].close) == (bar.open, bar.close)
    assert (max(one.high for one in pieces), min(one.low for one in pieces)) == (bar.high, bar.low)
    assert sum(one.volume for one in pieces) == volume
    assert all(one.volume >= 0 for one in pieces)


def test_sessions_of_the_week_are_in_the_details_of_a_contract() -> None:
    with a_feed() as (_, client):
        (details,) = client.run(lambda: client.ib.reqContractDetailsAsync(client.stock()))
        hours = details.liquidHours.split(";")
        assert hours[0] == "20250610:0930-20250610:1600"
        assert a_session(4).session.strftime("%Y%m%d:CLOSED") in hours


def test_a_bar_with_a_range_walks_it() -> None:
    pieces = five_second_bars(a_bar(0, 10, 13, 9, 12))
    assert [[int(price) for price in (one.open, one.high, one.low, one.close)] for one in pieces[:4]] == [
        [10, 10, 9, 9], [9, 13, 9, 13], [13, 13, 12, 12], [12, 12, 12, 12]
    ]  # fmt: skip
