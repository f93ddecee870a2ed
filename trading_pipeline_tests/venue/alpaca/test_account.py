"""What the account has, what moved in it, and when the market is open, at Alpaca's door."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from alpaca.trading.models import Order
from alpaca.trading.requests import ClosePositionRequest, GetCalendarRequest

from trading_pipeline_tests.adapters.venue_worlds import next_session
from trading_pipeline_tests.venue.alpaca.doors import ALPACA, Desk, a_desk, refused
from trading_pipeline_tests.venue.builders import SESSION, at


@pytest.fixture
def desk() -> Iterator[Desk]:
    with a_desk() as desk:
        yield desk


def test_the_account_adds_up(desk: Desk) -> None:
    desk.post()
    desk.trade(99)
    desk.trade(101)

    told = desk.raw.get_account()

    figures = {name: told[name] for name in ("cash", "long_market_value", "equity", "buying_power", "multiplier")}
    assert figures == {
        "cash": "90100", "long_market_value": "10100", "equity": "100200", "buying_power": "90100", "multiplier": "1",
    }  # fmt: skip
    assert (told["status"], told["account_number"], told["shorting_enabled"]) == ("ACTIVE", "SIM", False)
    assert "pattern_day_trader" not in told
    assert str(desk.client.get_account().id) == told["id"]  # type: ignore[union-attr]


def test_a_position_is_told_by_symbol_and_by_asset(desk: Desk) -> None:
    desk.post()
    desk.trade(99)
    desk.post(side="sell", qty="30", limit_price="120")
    desk.trade(101)

    (position,) = desk.raw.get_all_positions()

    told = {name: position[name] for name in ("qty", "qty_available", "avg_entry_price", "current_price", "side")}
    assert told == {
        "qty": "100",
        "qty_available": "70",
        "avg_entry_price": "99",
        "current_price": "101",
        "side": "long",
    }
    assert (position["cost_basis"], position["market_value"], position["unrealized_pl"]) == ("9900", "10100", "200")
    assert desk.raw.get_open_position(position["asset_id"]) == desk.raw.get_open_position("AAA") == position
    with refused(404, 40410000, "position does not exist"):
        desk.raw.get_open_position("BBB")


@pytest.mark.parametrize(("part", "left"), [({}, None), ({"qty": "30"}, "70"), ({"percentage": "25"}, "75")])
def test_a_position_is_closed_by_a_market_order(desk: Desk, part: dict[str, str], left: str | None) -> None:
    desk.post()
    desk.trade(99)

    order = desk.client.close_position("AAA", ClosePositionRequest(**part) if part else None)
    desk.trade(101)

    assert isinstance(order, Order)
    assert [position["qty"] for position in desk.raw.get_all_positions()] == ([left] if left else [])
    assert desk.statuses(order.id) == ["filled"]


@pytest.mark.parametrize("query", ["qty=101", "percentage=0", "qty=half", "qty=0.5", "qty=1&percentage=1"])
def test_what_is_no_part_of_a_position_is_refused(desk: Desk, query: str) -> None:
    desk.post()
    desk.trade(99)

    with refused(422, 40010001):
        desk.raw.delete(f"/positions/AAA?{query}")


def test_shares_held_for_a_bracket_cannot_be_closed_beside_it(desk: Desk) -> None:
    desk.bracket()
    desk.trade(99)

    with refused(403, 40310000, "insufficient qty available") as body:
        desk.raw.close_position("AAA")
    assert body[0]["held_for_orders"] == "100"
    (answer,) = desk.raw.close_all_positions()
    assert (answer["status"], answer["body"]["code"]) == (403, 40310000)

    (answer,) = desk.raw.close_all_positions(cancel_orders=True)
    assert (answer["symbol"], answer["status"], answer["body"]["qty"]) == ("AAA", 200, "100")
    desk.trade(98)
    assert desk.raw.get_all_positions() == []


# activities


def test_a_fill_is_an_activity_in_new_yorks_time_with_its_execution_id(desk: Desk) -> None:
    order = desk.post(qty="60")
    desk.trade(99, volume=500)
    desk.trade(99)

    second, first = desk.raw.get("/account/activities/FILL")

    assert first["id"].startswith("20250610093100000::")
    assert first["transaction_time"].startswith("2025-06-10T13:31:00")
    told = [[one[name] for name in ("type", "qty", "cum_qty", "leaves_qty", "order_status")] for one in (first, second)]
    assert told == [["partial_fill", "50", "50", "10", "partially_filled"], ["fill", "10", "60", "0", "filled"]]
    assert first["order_id"] == second["order_id"] == order["id"]


def test_pages_of_activities_lose_none_and_repeat_none(desk: Desk) -> None:
    for number in range(7):
        desk.post(client_order_id=f"o{number}", qty=str(number + 1))
    desk.trade(99)

    pages: list[list[dict[str, Any]]] = []
    for _ in range(4):
        token = pages[-1][-1]["id"] if pages else ""
        query = {"direction": "asc", "page_size": 3, "page_token": token}
        pages.append(desk.raw.get("/account/activities/FILL", query))

    assert [[one["qty"] for one in page] for page in pages] == [["1", "2", "3"], ["4", "5", "6"], ["7"], []]


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ({}, ["DIV", "FEE", "FILL"]),
        ({"direction": "asc"}, ["FILL", "FEE", "DIV"]),
        ({"activity_types": "FILL,DIV"}, ["DIV", "FILL"]),
        ({"category": "trade_activity"}, ["FILL"]),
        ({"category": "non_trade_activity"}, ["DIV", "FEE"]),
        ({"after": "2025-06-11"}, ["DIV"]),
        ({"until": "2025-06-11T00:00:00Z"}, ["FEE", "FILL"]),
        ({"date": "2025-06-10"}, ["FEE", "FILL"]),
    ],
)
def test_activities_are_chosen_by_kind_and_time(query: dict[str, str], kinds: list[str]) -> None:
    with a_desk(ALPACA.model_copy(update={"commission_usd_per_order": Decimal(1)})) as desk:
        desk.post()
        desk.trade(99)
        desk.market.on_session_close(SESSION)
        desk.market.on_session_open(next_session(), {}, {"AAA": Decimal("0.25")})

        found = desk.raw.get("/account/activities", query)

    assert sorted(one["activity_type"] for one in found) == sorted(kinds)
    assert moved(found) == {kind: {"DIV": "25", "FEE": "-1"}[kind] for kind in kinds if kind != "FILL"}


def moved(found: list[dict[str, Any]]) -> dict[str, str]:
    return {one["activity_type"]: one["net_amount"] for one in found if "net_amount" in one}


def test_all_activities_explain_the_cash() -> None:
    with a_desk(ALPACA.model_copy(update={"commission_usd_per_order": Decimal("1.25")})) as desk:
        desk.bracket()
        desk.trade(99)
        desk.trade(94)

        found = desk.raw.get("/account/activities")
        cash = Decimal(desk.raw.get_account()["cash"])

    sign = {"buy": -1, "sell": 1}
    fills = [sign[one["side"]] * Decimal(one["qty"]) * Decimal(one["price"]) for one in found if "side" in one]
    assert cash - 100_000 == sum(fills) + sum(Decimal(one["net_amount"]) for one in found if "net_amount" in one)


def test_an_unknown_page_is_refused(desk: Desk) -> None:
    with refused(422, 42210000, "invalid page_token"):
        desk.raw.get("/account/activities", {"page_token": "20250610093100000::x"})


# assets, clock, calendar


def test_any_symbol_is_an_asset_of_whole_shares_where_there_is_no_tape(desk: Desk) -> None:
    desk.trade(99)

    asset = desk.raw.get_asset("AAA")

    assert (asset["tradable"], asset["fractionable"], asset["shortable"]) == (True, False, False)
    assert desk.raw.get_asset(asset["id"]) == asset
    assert desk.raw.get_all_assets() == [asset]
    with refused(404, 40410000, "asset not found for no such"):
        desk.raw.get_asset("no such")


@pytest.mark.parametrize(
    ("minute", "is_open", "next_open", "next_close"),
    [
        (-1, False, "2025-06-10T09:30:00-04:00", "2025-06-10T16:00:00-04:00"),
        (0, True, "2025-06-11T09:30:00-04:00", "2025-06-10T16:00:00-04:00"),
        (390, False, "2025-06-11T09:30:00-04:00", "2025-06-11T16:00:00-04:00"),
        (390 + 3 * 1440, False, "2025-06-16T09:30:00-04:00", "2025-06-16T16:00:00-04:00"),
    ],
)
def test_the_clock_is_new_yorks_by_the_venues_own_time(
    minute: int, is_open: bool, next_open: str, next_close: str
) -> None:
    with a_desk(start=at(minute)) as desk:
        clock = desk.raw.get_clock()

        assert (clock["is_open"], clock["next_open"], clock["next_close"]) == (is_open, next_open, next_close)
        assert desk.client.get_clock().timestamp == at(minute)  # type: ignore[union-attr]


def test_the_calendar_knows_half_days(desk: Desk) -> None:
    found = desk.raw.get_calendar(GetCalendarRequest(start=date(2025, 11, 26), end=date(2025, 11, 28)))

    assert [(one["date"], one["open"], one["close"], one["settlement_date"]) for one in found] == [
        ("2025-11-26", "09:30", "16:00", "2025-11-28"),
        ("2025-11-28", "09:30", "13:00", "2025-12-01"),
    ]
