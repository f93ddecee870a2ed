"""Alpaca's words: what is sent is exact, what is read is never an error, and hosts are the listed ones."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from alpaca.trading.enums import ActivityType, OrderStatus
from alpaca.trading.enums import OrderType as SdkOrderType
from alpaca.trading.enums import TimeInForce as SdkTimeInForce
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from trading_pipeline.adapters.brokers.alpaca import AlpacaKeys, require_allowed
from trading_pipeline.adapters.brokers.alpaca.account import read_account, read_position, require_tradable
from trading_pipeline.adapters.brokers.alpaca.budget import Budget
from trading_pipeline.adapters.brokers.alpaca.fills import read_cash, read_fill
from trading_pipeline.adapters.brokers.alpaca.refusals import read_refusal
from trading_pipeline.adapters.brokers.alpaca.wire import STATUSES, payload_of, read_order, read_orders, sent_under
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.corporate import CashKind
from trading_pipeline.domain.errors import InputError, OutcomeUnknown, SettingsError, TradingError
from trading_pipeline.domain.orders import OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline_tests.venue.builders import a_bracket, an_oco, an_order, at

prices = st.decimals(min_value=Decimal("0.01"), max_value=Decimal(10**6), places=4, allow_nan=False)


def a_row(**changes: Any) -> dict[str, Any]:
    """An order as Alpaca's documentation shows one."""
    row = {
        "id": "61e69015-8549-4bfd-b9c3-01e75843f47d", "client_order_id": "eb9e2aaa-f71a-4f51-b5b4-52a6c565dad4",
        "created_at": "2021-03-16T18:38:01.942282Z", "updated_at": "2021-03-16T18:38:01.942282Z",
        "submitted_at": "2021-03-16T18:38:01.937734123Z", "filled_at": None, "expired_at": None, "canceled_at": None,
        "failed_at": None, "replaced_at": None, "replaced_by": None, "replaces": None, "symbol": "AAPL",
        "asset_class": "us_equity", "notional": None, "qty": "15", "filled_qty": "0", "filled_avg_price": None,
        "order_class": "", "type": "limit", "side": "buy", "time_in_force": "day", "limit_price": "100.5",
        "stop_price": None, "status": "accepted", "extended_hours": False, "legs": None, "trail_price": None,
    }  # fmt: skip
    return row | changes


# sent


@given(stop=prices, entry=prices, target=prices)
def test_prices_leave_exactly_as_they_are(stop: Decimal, entry: Decimal, target: Decimal) -> None:
    body = payload_of(a_bracket(stop=stop, entry=entry, target=target))

    sent = (body["stop_loss"]["stop_price"], body["limit_price"], body["take_profit"]["limit_price"])
    assert tuple(map(Decimal, sent)) == (stop, entry, target)
    assert not any("E" in price or isinstance(price, float) for price in sent)


def test_a_bracket_an_oto_and_an_oco_are_one_request_each() -> None:
    bracket = payload_of(a_bracket())
    assert (bracket["order_class"], bracket["client_order_id"], bracket["side"]) == ("bracket", "b-e", "buy")

    oto = payload_of(replace(a_bracket(), target=None))
    assert oto["order_class"] == "oto"
    assert "take_profit" not in oto

    oco = payload_of(an_oco(life=TimeInForce.GTC))
    assert (oco["order_class"], oco["type"], oco["client_order_id"]) == ("oco", "limit", "o-t")
    assert (oco["limit_price"], oco["stop_loss"], oco["time_in_force"]) == ("110", {"stop_price": "95"}, "gtc")
    assert sent_under(an_oco()) == "o-t"


def test_a_trailing_stop_sends_its_distance() -> None:
    body = payload_of(an_order("t", Side.SELL, OrderType.TRAILING_STOP, trail="1.25"))

    assert (body["type"], body["trail_price"]) == ("trailing_stop", "1.25")
    assert "stop_price" not in body


def test_every_type_and_life_of_ours_is_a_word_of_alpacas() -> None:
    assert {one.value.lower() for one in OrderType} <= {one.value for one in SdkOrderType}
    assert {one.value.lower() for one in TimeInForce} == {one.value for one in SdkTimeInForce}


# read


def test_every_status_of_the_client_library_is_known_and_maps_to_one_of_ours() -> None:
    assert {one.value for one in OrderStatus} <= set(STATUSES)


@pytest.mark.parametrize("word", sorted(STATUSES))
def test_a_status_is_read(word: str) -> None:
    (order,) = read_order(a_row(status=word))

    assert order.status is STATUSES[word]
    assert order.has_ended == (word in {"filled", "canceled", "expired", "replaced", "rejected"})


def test_a_working_order_with_fills_is_partly_filled() -> None:
    (order,) = read_order(a_row(status="held", filled_qty="3"))

    assert order.status is OrdStatus.PARTIALLY_FILLED


@given(
    st.dictionaries(
        st.sampled_from(sorted(a_row())),
        st.one_of(st.none(), st.text(max_size=8), st.integers(), st.floats(), st.just([]), st.just({}), st.booleans()),
    )
)
def test_no_answer_is_an_error_for_the_others_in_the_list(changes: dict[str, Any]) -> None:
    logging.disable(logging.CRITICAL)
    try:
        orders = read_orders([a_row(), a_row(**changes), a_row(legs=[a_row(id="leg")])])
    finally:
        logging.disable(logging.NOTSET)

    assert orders[0].symbol == "AAPL"
    assert orders[-1].parent == a_row()["id"]


def test_an_order_nobody_can_read_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert read_orders([a_row(qty="many"), {"id": 7}]) == []

    assert [record.levelno for record in caplog.records] == [logging.CRITICAL] * 2
    assert "AAPL" in caplog.text


@pytest.mark.parametrize(
    ("prices_", "order_type"),
    [
        ({"limit_price": None}, OrderType.MARKET),
        ({"stop_price": "9"}, OrderType.STOP_LIMIT),
        ({"limit_price": None, "stop_price": "9"}, OrderType.STOP),
        ({"trail_price": "1"}, OrderType.TRAILING_STOP),
    ],
)
def test_a_type_nobody_has_heard_of_is_read_by_its_prices(prices_: dict[str, str], order_type: OrderType) -> None:
    (order,) = read_order(a_row(type="teleport", **prices_))

    assert order.order_type is order_type


def test_an_instant_is_utc_to_the_microsecond_and_the_rest_tells_ties_apart() -> None:
    (order,) = read_order(a_row(submitted_at="2021-03-16T14:38:01.937734123-04:00"))

    assert order.submitted_at == datetime(2021, 3, 16, 18, 38, 1, 937734, tzinfo=UTC)
    assert order.nanos == "937734123"


# fills and cash


def test_a_fill_is_named_by_its_uuid() -> None:
    fill = read_fill(
        {
            "activity_type": "FILL", "id": "20220202135509981::2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e",
            "order_id": "b5abe576-6a8a-49f3-a353-46b72c1ccae9", "price": "174.78", "qty": "2", "side": "buy",
            "symbol": "AAPL", "transaction_time": "2022-02-02T18:55:09.981482Z", "type": "fill",
        }
    )  # fmt: skip

    assert fill is not None
    assert fill.exec_id == "2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e"
    assert (fill.quantity, fill.price) == (Decimal(2), Decimal("174.78"))


@pytest.mark.parametrize(
    ("activity_type", "amount", "kind"),
    [
        ("DIV", "1.02", CashKind.DIVIDEND),
        ("DIVNRA", "-0.15", CashKind.DIVIDEND),
        ("DIVFEE", "-0.01", CashKind.FEE),
        ("FEE", "-0.03", CashKind.FEE),
        ("INT", "0.5", CashKind.INTEREST),
        ("CSD", "1000", CashKind.DEPOSIT),
        ("CSW", "-10", CashKind.WITHDRAWAL),
        ("JNLC", "-10", CashKind.WITHDRAWAL),
        ("JNLC", "10", CashKind.DEPOSIT),
        ("SPLIT", "3.3", CashKind.CASH_IN_LIEU),
        ("zz_unheard_of", "7", CashKind.FEE),
    ],
)
def test_cash_is_read_by_its_kind_and_sign(activity_type: str, amount: str, kind: CashKind) -> None:
    moved = read_cash(a_movement(activity_type=activity_type, net_amount=amount), "alpaca", "demo")

    assert moved is not None
    assert (moved.kind, moved.amount_usd) == (kind, Decimal(amount))


@pytest.mark.parametrize("activity_type", [one.value for one in ActivityType if one.value != "FILL"])
def test_no_movement_of_cash_is_lost_whatever_it_is_called(activity_type: str) -> None:
    assert read_cash(a_movement(activity_type=activity_type), "alpaca", "demo") is not None


@pytest.mark.parametrize(
    "changes", [{"net_amount": "0"}, {"net_amount": None}, {"status": "canceled"}, {"activity_type": "FILL"}]
)
def test_what_moved_no_cash_is_none(changes: dict[str, str]) -> None:
    assert read_cash(a_movement(**changes), "alpaca", "demo") is None


def test_a_date_alone_is_the_end_of_its_day() -> None:
    moved = read_cash(a_movement(created_at=None), "alpaca", "demo")

    assert moved is not None
    assert moved.occurred_at == datetime(2019, 8, 1, 23, 59, 59, tzinfo=UTC)


def test_a_movement_nobody_can_read_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert read_cash(a_movement(net_amount="much"), "alpaca", "demo") is None
    assert read_fill({"id": "x", "order_id": "y", "transaction_time": "yesterday"}) is None

    assert [record.levelno for record in caplog.records] == [logging.CRITICAL] * 2


def a_movement(**changes: Any) -> dict[str, Any]:
    row = {
        "activity_type": "DIV", "created_at": "2021-05-10T14:01:04.650275Z", "date": "2019-08-01",
        "id": "20190801011955195::5f596936-6f23-4cef-bdf1-3806aae57dbf", "net_amount": "1.02", "qty": "2",
        "status": "executed", "symbol": "T",
    }  # fmt: skip
    return row | changes


# the account


def an_account(**changes: Any) -> dict[str, Any]:
    """Without the figures of the pattern-day-trader rule, which exist no more."""
    row = {
        "account_number": "PA1", "status": "ACTIVE", "cash": "1000.5", "equity": "2000", "buying_power": "4000",
        "multiplier": "2", "non_marginable_buying_power": "900", "trading_blocked": False, "account_blocked": False,
        "trade_suspended_by_user": False,
    }  # fmt: skip
    return row | changes


def test_figures_of_an_account() -> None:
    told = read_account(an_account(), "demo")

    assert (told.account, told.cash_usd, told.equity_usd) == ("demo", Decimal("1000.5"), Decimal(2000))
    assert told.settled_cash_usd is None
    assert read_account(an_account(multiplier="1"), "demo").settled_cash_usd == 900


@pytest.mark.parametrize("cash", [None, "", "NaN", "much", []])
def test_a_figure_that_is_none_is_no_answer(cash: Any) -> None:
    with pytest.raises(OutcomeUnknown, match="cash"):
        read_account(an_account(cash=cash), "demo")


def test_an_account_that_is_not_active_may_not_trade() -> None:
    require_tradable(an_account(), "PA1")
    with pytest.raises(TradingError, match="ACCOUNT_UPDATED"):
        require_tradable(an_account(status="ACCOUNT_UPDATED"), "")


def test_short_positions_are_below_zero() -> None:
    row = {"symbol": "AAPL", "qty": "5", "side": "short", "avg_entry_price": "10"}

    assert read_position(row).quantity == read_position(row | {"qty": "-5"}).quantity == -5
    assert read_position(row | {"side": "long"}).quantity == 5
    with pytest.raises(OutcomeUnknown):
        read_position(row | {"symbol": None})


# refusals, keys, hosts, budget


@pytest.mark.parametrize("body", ["", "fire", "<html>", "[]", "{}", '{"message": 7}', "null", '{"code": 1}'])
def test_a_body_that_is_none_of_alpacas_is_no_refusal(body: str) -> None:
    assert read_refusal(422, body) is None


def test_a_refusal_keeps_the_body_and_says_what_to_do() -> None:
    body = '{"code": 40310000, "message": "insufficient buying power", "buying_power": "12"}'
    refusal = read_refusal(403, body)

    assert refusal is not None
    assert body in refusal.words("send x")
    assert "Reduce the size" in refusal.words("send x")
    strange = read_refusal(422, '{"message": "the moon is full"}')
    assert strange is not None
    assert "documentation" in strange.words("send x")


def test_keys_show_themselves_to_nobody() -> None:
    rules = AlpacaRules(key_id=SecretStr("PKID"), secret_key=SecretStr("HIDDEN"))
    keys = AlpacaKeys.of(rules)
    keys.pair()

    assert not {"PKID", "HIDDEN"} & set(f"{keys!r} {vars(keys)!r} {rules!r} {rules}".replace("'", " ").split())


@pytest.mark.parametrize(("key_id", "secret"), [("", "x"), ("x", ""), (" ", "x")])
def test_half_a_key_is_none(key_id: str, secret: str) -> None:
    rules = AlpacaRules(key_id=SecretStr(key_id), secret_key=SecretStr(secret))

    with pytest.raises(SettingsError, match="SECRET_KEY"):
        AlpacaKeys.of(rules).pair()
    with pytest.raises(SettingsError):
        AlpacaKeys.of(rules).change(SecretStr(key_id), SecretStr(secret))


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("https://paper-api.alpaca.markets", "paper"),
        ("wss://paper-api.alpaca.markets/stream", "paper"),
        ("https://data.alpaca.markets", "paper"),
        ("wss://stream.data.alpaca.markets/v2", "paper"),
        ("http://127.0.0.1:8080", "paper"),
        ("ws://127.0.0.1:8080/stream", "simulation"),
        ("http://localhost:1", "simulation"),
        ("http://[::1]:1", "simulation"),
    ],
)
def test_a_listed_host_may_be_spoken_to(url: str, mode: str) -> None:
    assert require_allowed(url, mode) == url


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("https://api.alpaca.markets", "paper"),
        ("https://api.alpaca.markets", "simulation"),
        ("https://paper-api.alpaca.markets", "simulation"),
        ("https://paper-api.alpaca.markets", "live"),
        ("http://127.0.0.1:80", "real"),
        ("https://data.alpaca.markets.evil.example", "live"),
        ("http://paper-api.alpaca.markets", "paper"),
        ("https://paper-api.alpaca.markets:8443", "paper"),
        ("https://paper-api.alpaca.markets.evil.example", "paper"),
        ("https://evil.example/paper-api.alpaca.markets", "paper"),
        ("https://paper-api.alpaca.markets@evil.example", "paper"),
        ("https://user:secret@paper-api.alpaca.markets", "paper"),
        ("https://127.0.0.1.evil.example", "paper"),
        ("ftp://127.0.0.1", "paper"),
        ("paper-api.alpaca.markets", "paper"),
        ("http://127.0.0.1:notaport", "paper"),
        ("", "paper"),
    ],
)
def test_any_other_host_is_refused_without_showing_what_is_before_an_at_sign(url: str, mode: str) -> None:
    with pytest.raises(InputError) as caught:
        require_allowed(url, mode)

    assert "secret" not in str(caught.value)


def test_the_usual_settings_are_allowed_on_paper() -> None:
    rules = AlpacaRules()
    for url in (rules.trading_url, rules.trading_stream_url, rules.data_url, rules.data_stream_url):
        require_allowed(url, "paper")


@given(waits=st.lists(st.integers(min_value=0, max_value=30), min_size=1, max_size=60), most=st.integers(2, 20))
def test_no_minute_sees_more_reads_than_their_share(waits: list[int], most: int) -> None:
    clock = ReplayClock(at(0))
    budget = Budget(clock, most)
    made = []
    for seconds in waits:
        clock.sleep_until(clock.now() + timedelta(seconds=seconds))
        if not budget.take_read():
            made.append(clock.now())

    for first in made:
        assert sum(first <= one < first + timedelta(minutes=1) for one in made) <= max(1, most * 7 // 10)


@pytest.mark.parametrize(("seconds", "left"), [(7, 7), (900, 60), (-5, 0), (3, 0)])
def test_a_pause_is_at_most_a_minute_and_a_short_one_is_waited_for(seconds: float, left: float) -> None:
    clock = ReplayClock(at(0))
    budget = Budget(clock, 100)

    budget.pause(seconds)

    assert budget.take_read().total_seconds() == left
    assert clock.now() == at(0) + (timedelta(seconds=3) if seconds == 3 else timedelta(0))
