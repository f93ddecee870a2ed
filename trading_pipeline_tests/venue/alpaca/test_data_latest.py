"""Latest bars, trades and quotes, snapshots, ticks of the past and corporate actions, with the vendor's own clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest
import requests
from alpaca.common.enums import Sort
from alpaca.common.exceptions import APIError
from alpaca.data.enums import CorporateActionsType, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.models import QuoteSet, TradeSet
from alpaca.data.models.corporate_actions import CashDividend, CorporateActionsSet, ForwardSplit, ReverseSplit
from alpaca.data.requests import (
    CorporateActionsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)

from trading_pipeline.domain.market import Timeframe
from trading_pipeline.venue.tape import CorporateAction
from trading_pipeline_tests.venue.alpaca.doors import GENEROUS, AlpacaDoors, an_alpaca_door
from trading_pipeline_tests.venue.alpaca.openapi import MARKET_DATA, Watcher, document, needs_documents
from trading_pipeline_tests.venue.builders import SESSION, a_bar, a_venue, at, flat
from trading_pipeline_tests.venue.tapes import ListedTape, a_day_bar, a_session

NOW = 40
LAST = a_bar(37, "100", "101", "99", "100.40", volume=4000)
TOMORROW = a_session(1).session


def an_action(symbol: str, ex_date: date, kind: str, value: str) -> CorporateAction:
    return CorporateAction(symbol=symbol, ex_date=ex_date, kind=kind, value=Decimal(value))


def a_tape() -> ListedTape:
    return ListedTape(
        base=[flat(0, 98), flat(1, 99), LAST, flat(39, "0.5", symbol="PENNY"), flat(45, 200)],
        daily=[a_day_bar(-4, "80"), a_day_bar(-1, "90"), a_day_bar(-1, "7", symbol="QUIET")],
        taken=[
            an_action("AAA", date(2024, 3, 1), "split", "4"),
            an_action("BBB", date(2024, 3, 1), "split", "0.1"),
            an_action("CCC", date(2024, 5, 1), "split", "1.5"),
            an_action("AAA", SESSION.session, "dividend", "0.25"),
            an_action("AAA", TOMORROW, "dividend", "0.30"),
        ],
    )


@pytest.fixture(scope="module")
def doors() -> Iterator[AlpacaDoors]:
    with an_alpaca_door(a_venue(), start=at(NOW), tape=a_tape()) as found:
        yield found


@pytest.fixture(scope="module")
def client(doors: AlpacaDoors) -> StockHistoricalDataClient:
    return StockHistoricalDataClient(*doors.keys, url_override=doors.url)


def test_the_latest_of_each_kind_is_of_the_last_finished_bar(client: StockHistoricalDataClient) -> None:
    names = ["AAA", "ZZZ"]

    bars = client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=names))
    trades = client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=names))
    quotes = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=names))

    assert [list(found) for found in (bars, trades, quotes)] == [["AAA"]] * 3
    assert (bars["AAA"].timestamp, bars["AAA"].close) == (at(37), 100.4)
    assert at(38) - timedelta(seconds=1) < trades["AAA"].timestamp < at(38)
    assert trades["AAA"].price == 100.4
    assert (quotes["AAA"].bid_price, quotes["AAA"].ask_price) == (100.38, 100.42)


def test_a_quote_is_a_tick_wide_at_least_whatever_the_price(client: StockHistoricalDataClient) -> None:
    quote = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="PENNY"))["PENNY"]

    assert (quote.bid_price, quote.ask_price) == (0.4999, 0.5001)


def test_without_a_spread_a_quote_is_still_a_tick_wide() -> None:
    rules = GENEROUS.model_copy(update={"quote_spread_fraction": Decimal(0)})
    with an_alpaca_door(a_venue(), start=at(1), tape=ListedTape(base=[flat(0, 98)]), rules=rules) as doors:
        client = StockHistoricalDataClient(*doors.keys, url_override=doors.url)
        quote = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAA"))["AAA"]

    assert (quote.bid_price, quote.ask_price) == (98, 98.01)


def test_sip_delayed_is_sip_of_fifteen_minutes_ago_and_recent_sip_is_refused(client: StockHistoricalDataClient) -> None:
    delayed = StockLatestBarRequest(symbol_or_symbols="AAA", feed=DataFeed.DELAYED_SIP)

    assert client.get_stock_latest_bar(delayed)["AAA"].timestamp == at(1)
    with pytest.raises(APIError, match="recent SIP data"):
        client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="AAA", feed=DataFeed.SIP))


def test_a_snapshot_has_the_running_day_and_the_one_before(client: StockHistoricalDataClient) -> None:
    found = client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=["AAA", "QUIET", "ZZZ"]))

    assert list(found) == ["AAA"]
    snapshot = found["AAA"]
    assert snapshot.daily_bar
    assert snapshot.previous_daily_bar
    assert snapshot.minute_bar
    assert (snapshot.daily_bar.open, snapshot.daily_bar.close) == (98, 100.4)
    assert snapshot.previous_daily_bar.close == 90
    assert snapshot.minute_bar.timestamp == at(37)


def test_a_tape_of_days_has_their_bars_for_the_latest() -> None:
    with an_alpaca_door(a_venue(), start=at(NOW), tape=ListedTape(daily=[a_day_bar(-1, "7")], timeframe=None)) as doors:
        client = StockHistoricalDataClient(*doors.keys, url_override=doors.url)

        assert client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAA"))["AAA"].price == 7


@pytest.mark.parametrize("sort", Sort)
def test_trades_of_the_past_are_four_a_bar_in_order(client: StockHistoricalDataClient, sort: Sort) -> None:
    request = StockTradesRequest(symbol_or_symbols="AAA", start=at(1), end=at(50), feed=DataFeed.IEX, sort=sort)

    answer = client.get_stock_trades(request)
    assert isinstance(answer, TradeSet)
    found = answer.data["AAA"]

    times = [trade.timestamp for trade in found]
    assert times == sorted(times, reverse=sort is Sort.DESC)
    prices = [trade.price for trade in found if trade.timestamp >= at(37)]
    assert prices == ([100, 99, 101, 100.4] if sort is Sort.ASC else [100.4, 101, 99, 100])
    assert sum(trade.size for trade in found if trade.timestamp >= at(37)) == 4000


def test_quotes_of_the_past_are_one_a_bar(client: StockHistoricalDataClient) -> None:
    request = StockQuotesRequest(symbol_or_symbols="AAA", start=at(0), end=at(50), feed=DataFeed.IEX, limit=2)

    answer = client.get_stock_quotes(request)

    assert isinstance(answer, QuoteSet)
    assert [quote.timestamp.minute for quote in answer.data["AAA"]] == [30, 31]


def actions(doors: AlpacaDoors, **changes: object) -> Mapping[str, Sequence[object]]:
    client = CorporateActionsClient(*doors.keys, url_override=doors.url)
    defaults: dict[str, object] = {"start": date(2024, 1, 1), "end": date(2026, 1, 1)}
    found = client.get_corporate_actions(CorporateActionsRequest(**(defaults | changes)))
    assert isinstance(found, CorporateActionsSet)
    return found.data


def test_splits_and_dividends_are_told_from_their_ex_date_on(doors: AlpacaDoors) -> None:
    found = actions(doors)

    (forward, three_for_two), (reverse,) = found["forward_splits"], found["reverse_splits"]
    (dividend,) = found["cash_dividends"]
    assert isinstance(forward, ForwardSplit)
    assert isinstance(three_for_two, ForwardSplit)
    assert isinstance(reverse, ReverseSplit)
    assert isinstance(dividend, CashDividend)
    assert (forward.symbol, forward.new_rate, forward.old_rate) == ("AAA", 4, 1)
    assert (three_for_two.new_rate, three_for_two.old_rate) == (3, 2)
    assert (reverse.new_rate, reverse.old_rate) == (1, 10)
    assert (dividend.ex_date, dividend.rate) == (SESSION.session, 0.25)


def test_actions_can_be_asked_for_by_symbol_type_and_day(doors: AlpacaDoors) -> None:
    splits = actions(doors, types=[CorporateActionsType.FORWARD_SPLIT, CorporateActionsType.REVERSE_SPLIT])

    assert {kind: len(rows) for kind, rows in splits.items()} == {"forward_splits": 2, "reverse_splits": 1}
    assert {kind: len(rows) for kind, rows in actions(doors, symbols=["BBB"]).items()} == {"reverse_splits": 1}
    assert actions(doors, start=date(2024, 3, 2), end=date(2024, 3, 31)) == {}
    assert actions(doors, symbols=["AAA"], start=None, end=None).keys() == {"cash_dividends"}  # of today


@pytest.mark.parametrize("sort", Sort)
def test_pages_of_actions_join_to_all(doors: AlpacaDoors, sort: Sort) -> None:
    query = {"start": "2024-01-01", "end": "2026-01-01", "sort": sort.value}
    pages = [told(doors, "/v1/corporate-actions", **query, limit="1").json()]
    while token := pages[-1]["next_page_token"]:
        pages.append(told(doors, "/v1/corporate-actions", **query, limit="1", page_token=token).json())

    days = [row["ex_date"] for page in pages for rows in page["corporate_actions"].values() for row in rows]
    assert days == sorted(days, reverse=sort is Sort.DESC)
    assert len(days) == 4


def told(doors: AlpacaDoors, path: str, **query: str) -> requests.Response:
    headers = dict(zip(("APCA-API-KEY-ID", "APCA-API-SECRET-KEY"), doors.keys, strict=True))
    return requests.get(doors.url + path, params=query, headers=headers, timeout=5)


@pytest.mark.parametrize(
    ("path", "query", "status", "message"),
    [
        ("/v1/corporate-actions", {"types": "party"}, 400, "invalid type: party"),
        ("/v1/corporate-actions", {"start": "soon"}, 400, "invalid format for parameter start"),
        ("/v1/corporate-actions", {"start": "2025-01-02", "end": "2025-01-01"}, 400, "end should not be before start"),
        ("/v1/corporate-actions", {"ids": "x", "symbols": "AAA"}, 400, "ids cannot be used"),
        ("/v1/corporate-actions", {"limit": "1001"}, 400, "invalid limit"),
        ("/v1/corporate-actions", {"page_token": "x"}, 400, "invalid page_token"),
        ("/v2/stocks/ZZZ/bars/latest", {}, 404, "no bar found for ZZZ"),
        ("/v2/stocks/ZZZ/snapshot", {}, 404, "no snapshot found for ZZZ"),
        ("/v2/stocks/a b/trades/latest", {}, 400, "invalid symbol: a b"),
        ("/v2/stocks/quotes/latest", {}, 400, "invalid symbol"),
        ("/v2/stocks/meta/conditions/party", {"tape": "A"}, 400, "invalid ticktype"),
    ],
)
def test_what_cannot_be_answered_is_said(
    doors: AlpacaDoors, path: str, query: dict[str, str], status: int, message: str
) -> None:
    refused = told(doors, path, **query)

    assert refused.status_code == status
    assert message in refused.json()["message"]


SPAN = {"start": "2025-06-02", "end": at(60).isoformat(), "feed": "iex"}
QUESTIONS = [
    *(
        (path, query)
        for kind in ("bars", "trades", "quotes")
        for path, query in [
            (f"/v2/stocks/{kind}", SPAN | {"symbols": "AAA,BBB", "timeframe": "1Min", "limit": "2"}),
            (f"/v2/stocks/AAA/{kind}", SPAN | {"timeframe": "1Day", "adjustment": "all"}),
            (f"/v2/stocks/ZZZ/{kind}", SPAN | {"timeframe": "1Day"}),
            (f"/v2/stocks/{kind}/latest", {"symbols": "AAA,PENNY,ZZZ"}),
            (f"/v2/stocks/AAA/{kind}/latest", {}),
        ]
    ),
    ("/v2/stocks/snapshots", {"symbols": "AAA,PENNY"}),
    ("/v2/stocks/AAA/snapshot", {}),
    ("/v2/stocks/meta/exchanges", {}),
    ("/v2/stocks/meta/conditions/trade", {"tape": "C"}),
    ("/v1/corporate-actions", {"start": "2024-01-01", "limit": "2"}),
    ("/v1/corporate-actions", {"start": "2024-04-01", "end": "2024-04-01"}),
]


@needs_documents
def test_every_answer_is_one_the_documents_allow(doors: AlpacaDoors) -> None:
    watcher = Watcher(document(MARKET_DATA))
    session = requests.Session()
    session.headers.update(dict(zip(("APCA-API-KEY-ID", "APCA-API-SECRET-KEY"), doors.keys, strict=True)))
    watcher.watch(session)

    answers = [session.get(doors.url + path, params=query, timeout=5) for path, query in QUESTIONS]
    session.get(f"{doors.url}/v2/stocks/bars", params={"symbols": "?"}, timeout=5)

    assert watcher.faults == []
    assert {answer.status_code for answer in answers} == {200}
    assert all("X-RateLimit-Remaining" in answer.headers for answer in answers)


def test_each_request_counts_against_the_data_plan_alone() -> None:
    rules = GENEROUS.model_copy(update={"data_requests_per_minute": 2})
    with an_alpaca_door(a_venue(), start=at(NOW), tape=a_tape(), rules=rules) as doors:
        answers = [told(doors, "/v2/stocks/AAA/snapshot").status_code for _ in range(3)]

        assert answers == [200, 200, 429]
        assert told(doors, "/v2/clock").status_code == 200


def test_wrong_keys_are_refused(doors: AlpacaDoors) -> None:
    key_id, secret = doors.keys
    for keys, status in (((key_id, "other"), 403), (("other", secret), 401)):
        client = StockHistoricalDataClient(*keys, url_override=doors.url)
        with pytest.raises(APIError) as refusal:
            client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="AAA"))
        assert refusal.value.status_code == status


def test_the_tests_tape_makes_days_of_its_minutes() -> None:
    found = a_tape().bars("AAA", Timeframe.DAY1, at(0), at(0))

    assert [(bar.open, bar.close) for bar in found] == [(Decimal(98), Decimal(200))]
