"""Bars over Alpaca's protocol, asked for with the vendor's own client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Event

import pandas as pd
import pytest
import requests
from alpaca.common.enums import Sort
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.models import Bar
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.bars import adjust
from trading_pipeline.domain.market import MarketBar, Timeframe
from trading_pipeline.venue.tape import CorporateAction
from trading_pipeline_tests.venue.alpaca.doors import GENEROUS, AlpacaDoors, an_alpaca_door
from trading_pipeline_tests.venue.builders import SESSION, a_bar, a_venue, at
from trading_pipeline_tests.venue.tapes import ListedTape, a_day_bar, a_session

MINUTE, DAY = TimeFrame(1, TimeFrameUnit.Minute), TimeFrame(1, TimeFrameUnit.Day)
NOW = 47
WEEK_AGO = SESSION.opens_at - timedelta(days=7)


def bars_of(symbol: str, base: int) -> list[MarketBar]:
    """An hour of bars that rise by a dime a minute; every eleventh minute nothing trades."""
    return [
        a_bar(
            n, base + n / Decimal(10), base + n / Decimal(10) + 1, base - 1, base + n / Decimal(10) + Decimal("0.5"),
            symbol=symbol, volume=100 * n + 50,
        )
        for n in range(60)
        if n % 11
    ]  # fmt: skip


def a_tape() -> ListedTape:
    return ListedTape(
        base=[*bars_of("AAA", 100), *bars_of("BBB", 20)],
        daily=[a_day_bar(-4, "80"), a_day_bar(-1, "90"), a_day_bar(-1, "30", symbol="BBB")],
        taken=[
            CorporateAction(symbol="AAA", ex_date=SESSION.session, kind="split", value=Decimal(2)),
            CorporateAction(symbol="AAA", ex_date=a_session(-1).session, kind="dividend", value=Decimal(4)),
            CorporateAction(symbol="AAA", ex_date=a_session(1).session, kind="split", value=Decimal(3)),
        ],
    )


@pytest.fixture(scope="module")
def doors() -> Iterator[AlpacaDoors]:
    rules = GENEROUS.model_copy(update={"iex_volume_fraction": Decimal("0.03")})
    with an_alpaca_door(a_venue(), start=at(NOW), rules=rules, tape=a_tape()) as found:
        yield found


@pytest.fixture(scope="module")
def client(doors: AlpacaDoors) -> StockHistoricalDataClient:
    return StockHistoricalDataClient(*doors.keys, url_override=doors.url)


def asked(client: StockHistoricalDataClient, timeframe: TimeFrame = MINUTE, **changes: object) -> dict[str, list[Bar]]:
    defaults = {"symbol_or_symbols": ["BBB", "AAA"], "start": WEEK_AGO, "end": at(400), "feed": DataFeed.IEX}
    found = client.get_stock_bars(StockBarsRequest(timeframe=timeframe, **(defaults | changes)))
    assert not isinstance(found, dict)
    return found.data


def told(doors: AlpacaDoors, path: str = "/v2/stocks/bars", **query: object) -> requests.Response:
    """The answer itself."""
    headers = dict(zip(("APCA-API-KEY-ID", "APCA-API-SECRET-KEY"), doors.keys, strict=True))
    return requests.get(doors.url + path, params={k: str(v) for k, v in query.items()}, headers=headers, timeout=5)


def test_minute_bars_are_the_tapes_and_end_by_now(client: StockHistoricalDataClient) -> None:
    found = asked(client)

    tape = [bar for bar in bars_of("AAA", 100) if bar.end_at <= at(NOW)]
    assert [(b.timestamp, b.open, b.high, b.low, b.close) for b in found["AAA"]] == [
        (bar.start_at, float(bar.open), float(bar.high), float(bar.low), float(bar.close)) for bar in tape
    ]
    assert sorted(found) == ["AAA", "BBB"]


def test_start_and_end_are_both_included(client: StockHistoricalDataClient) -> None:
    found = asked(client, start=at(12), end=at(14), symbol_or_symbols="AAA")

    assert [bar.timestamp for bar in found["AAA"]] == [at(12), at(13), at(14)]


def test_iex_sees_a_part_of_the_volume(client: StockHistoricalDataClient) -> None:
    iex, sip = (asked(client, start=at(10), end=at(20), feed=feed) for feed in (DataFeed.IEX, DataFeed.SIP))

    assert [bar.volume for bar in iex["AAA"]] == [round(bar.volume * 0.03) for bar in sip["AAA"]]


@pytest.mark.parametrize(("minutes", "rule"), [(5, "5min"), (7, "7min"), (30, "30min"), (60, "60min"), (120, "120min")])
def test_longer_bars_are_what_pandas_makes_of_the_minutes(
    client: StockHistoricalDataClient, minutes: int, rule: str
) -> None:
    timeframe = (
        TimeFrame(minutes, TimeFrameUnit.Minute) if minutes < 60 else TimeFrame(minutes // 60, TimeFrameUnit.Hour)
    )
    kinds = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    base = (
        pd.DataFrame([bar.model_dump() for bar in asked(client)["AAA"]]).set_index("timestamp").tz_convert("US/Eastern")
    )

    expected = base.resample(rule, origin="start_day").agg(kinds).dropna()

    found = pd.DataFrame([bar.model_dump() for bar in asked(client, timeframe)["AAA"]]).set_index("timestamp")
    pd.testing.assert_frame_equal(
        found[list(kinds)], expected, check_freq=False, check_names=False, check_index_type=False
    )


def test_a_day_is_the_official_bar_or_the_minutes_so_far(client: StockHistoricalDataClient) -> None:
    yesterday, today = asked(client, DAY, start=WEEK_AGO)["BBB"]
    minutes = asked(client)["BBB"]

    assert (yesterday.timestamp, yesterday.close) == (datetime(2025, 6, 9, 4, tzinfo=UTC), 30)
    assert (today.timestamp, today.close) == (datetime(2025, 6, 10, 4, tzinfo=UTC), minutes[-1].close)
    assert today.high == max(bar.high for bar in minutes)


@pytest.mark.parametrize(
    ("unit", "starts"),
    [(TimeFrameUnit.Week, [date(2025, 6, 2), date(2025, 6, 9)]), (TimeFrameUnit.Month, [date(2025, 6, 1)])],
)
def test_weeks_begin_on_monday_and_months_on_the_first(
    client: StockHistoricalDataClient, unit: TimeFrameUnit, starts: list[date]
) -> None:
    found = asked(client, TimeFrame(1, unit), start=datetime(2025, 6, 1, tzinfo=UTC), symbol_or_symbols="AAA")

    assert [bar.timestamp for bar in found["AAA"]] == [
        datetime(day.year, day.month, day.day, 4, tzinfo=UTC) for day in starts
    ]


@pytest.mark.parametrize("kind", [Adjustment.SPLIT, Adjustment.DIVIDEND, Adjustment.ALL])
def test_adjusted_bars_are_those_of_the_analytics_for_actions_in_force(
    client: StockHistoricalDataClient, kind: Adjustment
) -> None:
    tape = a_tape()
    raw = asked(client, DAY, symbol_or_symbols="AAA", start=WEEK_AGO)["AAA"]
    frame = pd.DataFrame([bar.model_dump() for bar in raw]).rename(columns={"timestamp": "start"})
    frame = frame.assign(session=frame["start"].dt.tz_localize(None).dt.normalize(), end=frame["start"])
    actions = pd.DataFrame(
        [
            {"symbol": a.symbol, "ex_date": pd.Timestamp(a.ex_date), "kind": a.kind, "value": float(a.value)}
            for a in tape.taken
        ]
    )
    applied = actions[actions["kind"].eq("split")] if kind is Adjustment.SPLIT else actions
    applied = applied[applied["kind"].eq("dividend")] if kind is Adjustment.DIVIDEND else applied

    expected = adjust(frame, applied, SESSION.session, dividends=True)

    found = asked(client, DAY, symbol_or_symbols="AAA", start=WEEK_AGO, adjustment=kind)["AAA"]
    assert [bar.close for bar in found] == pytest.approx(expected["close"].tolist(), abs=5e-5)
    assert [bar.volume for bar in found] == pytest.approx(expected["volume"].tolist(), abs=1)
    assert found[0].close != raw[0].close


@settings(deadline=None, max_examples=40)
@given(
    limit=st.integers(1, 70), sort=st.sampled_from(Sort), minutes=st.sampled_from([1, 5, 60]),
    first=st.integers(-10, 50), length=st.integers(0, 60),
)  # fmt: skip
def test_page_by_page_is_all_at_once_and_never_later_than_now(
    doors: AlpacaDoors, limit: int, sort: Sort, minutes: int, first: int, length: int
) -> None:
    span = {"start": at(first).isoformat(), "end": at(first + length).isoformat()}
    frame = f"{minutes}Min" if minutes < 60 else "1Hour"
    query = span | {"symbols": "BBB,AAA", "timeframe": frame, "feed": "iex", "sort": sort.value}
    whole = told(doors, **query).json()
    pages = [told(doors, **query, limit=limit).json()]
    while token := pages[-1]["next_page_token"]:
        pages.append(told(doors, **query, limit=limit, page_token=token).json())

    joined: dict[str, list[object]] = {}
    for page in pages:
        assert sum(map(len, page["bars"].values())) <= limit
        for symbol, bars in page["bars"].items():
            joined.setdefault(symbol, []).extend(bars)
    assert joined == whole["bars"]
    times = [bar["t"] for bar in whole["bars"].get("AAA", [])]
    assert times == sorted(times, reverse=sort is Sort.DESC)
    assert all(datetime.fromisoformat(time) < at(NOW) for time in times)


def test_a_limit_counts_over_all_symbols(doors: AlpacaDoors) -> None:
    page = told(doors, symbols="AAA,BBB", timeframe="1Min", start=at(0).isoformat(), feed="iex", limit=3).json()

    assert (list(page["bars"]), len(page["bars"]["AAA"])) == (["AAA"], 3)
    assert page["next_page_token"]


def test_one_symbol_in_the_path_is_told_as_a_list(doors: AlpacaDoors) -> None:
    found = told(doors, "/v2/stocks/AAA/bars", timeframe="1Hour", start=at(0).isoformat(), feed="iex").json()
    unknown = told(doors, "/v2/stocks/ZZZ/bars", timeframe="1Hour", start=at(0).isoformat(), feed="iex").json()

    assert (found["symbol"], [bar["t"] for bar in found["bars"]]) == ("AAA", ["2025-06-10T14:00:00Z"])
    assert unknown == {"symbol": "ZZZ", "bars": [], "next_page_token": None}


def test_finer_bars_than_the_tapes_do_not_exist() -> None:
    five = ListedTape(base=[a_bar(0, 1, 2, 1, 2)], timeframe=Timeframe.MIN5)
    with an_alpaca_door(a_venue(), start=at(NOW), tape=five) as doors:
        client = StockHistoricalDataClient(*doors.keys, url_override=doors.url)

        assert [asked(client, TimeFrame(n, TimeFrameUnit.Minute)) for n in (1, 7)] == [{}, {}]
        assert len(asked(client, TimeFrame(15, TimeFrameUnit.Minute))["AAA"]) == 1


def test_a_free_plan_sees_sip_after_fifteen_minutes_only(client: StockHistoricalDataClient) -> None:
    asked(client, feed=DataFeed.SIP, end=at(NOW - 15))
    with pytest.raises(APIError, match="recent SIP data") as refusal:
        asked(client, feed=DataFeed.SIP, end=at(NOW - 14))

    assert refusal.value.status_code == 403
    newest = asked(client, feed=DataFeed.SIP, start=at(0), end=None)["AAA"][-1]
    assert newest.timestamp + timedelta(minutes=1) <= at(NOW - 15)


def test_a_plan_with_recent_sip_sees_it_to_now() -> None:
    rules = GENEROUS.model_copy(update={"recent_sip": True})
    with an_alpaca_door(a_venue(), start=at(NOW), tape=a_tape(), rules=rules) as doors:
        client = StockHistoricalDataClient(*doors.keys, url_override=doors.url)

        assert asked(client, feed=DataFeed.SIP)["AAA"][-1].timestamp == at(NOW - 1)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"symbols": "^GSPC"}, "invalid symbol: ^GSPC"),
        ({"symbols": ""}, "invalid symbol"),
        ({"timeframe": "2Day"}, "invalid timeframe: 2Day"),
        ({"timeframe": "60Min"}, "invalid timeframe: 60Min"),
        ({"timeframe": ""}, "invalid timeframe"),
        ({"start": "2025-06-10T13:30:00"}, "invalid format for parameter start"),
        ({"end": "yesterday"}, "invalid format for parameter end"),
        ({"end": "2025-06-01"}, "end should not be before start"),
        ({"limit": "0"}, "invalid limit"),
        ({"limit": "10001"}, "invalid limit"),
        ({"limit": "ten"}, "invalid limit"),
        ({"sort": "up"}, "invalid sort: up"),
        ({"adjustment": "split,nothing"}, "invalid adjustment: nothing"),
        ({"feed": "xyz"}, "invalid feed: xyz"),
        ({"page_token": "@@"}, "invalid page_token"),
        ({"page_token": "QUFB"}, "invalid page_token"),
        ({"currency": "EUR"}, "invalid currency: EUR"),
        ({"asof": "soon"}, "invalid format for parameter asof"),
    ],
)
def test_what_cannot_be_read_is_said(doors: AlpacaDoors, query: dict[str, str], message: str) -> None:
    asked_well = {"symbols": "AAA", "timeframe": "1Min", "start": at(0).isoformat(), "feed": "iex"}

    refused = told(doors, **(asked_well | query))

    assert refused.status_code == 400
    assert message in refused.json()["message"]


def test_feeds_of_other_plans_are_forbidden(doors: AlpacaDoors) -> None:
    refused = told(doors, symbols="AAA", timeframe="1Min", feed="otc")

    assert (refused.status_code, refused.json()["message"]) == (403, "subscription does not permit querying otc data")


def test_a_venue_without_a_tape_tells_nothing() -> None:
    with an_alpaca_door(a_venue(), start=at(NOW)) as doors:
        assert told(doors, symbols="AAA", timeframe="1Min", feed="iex").json() == {"bars": {}, "next_page_token": None}


def test_who_reads_much_keeps_nobody_waiting() -> None:
    tape = SlowTape(base=bars_of("AAA", 100))
    with an_alpaca_door(a_venue(), start=at(NOW), tape=tape) as doors, ThreadPoolExecutor() as pool:
        reading = pool.submit(told, doors, symbols="AAA", timeframe="1Min", start=at(0).isoformat(), feed="iex")
        assert tape.is_asked.wait(5)
        assert doors.client().get_clock()
        tape.may_answer.set()

        assert reading.result(5).status_code == 200


@dataclass
class SlowTape(ListedTape):
    """It answers when it may."""

    is_asked: Event = field(default_factory=Event)
    may_answer: Event = field(default_factory=Event)

    def bars(self, symbol: str, timeframe: Timeframe, first: datetime, last: datetime) -> Sequence[MarketBar]:
        self.is_asked.set()
        assert self.may_answer.wait(5)
        return super().bars(symbol, timeframe, first, last)
