"""What Alpaca refuses, what is refused before it is asked, and what a restart remembers."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker, AlpacaKeys
from trading_pipeline.domain.errors import (
    KeysRefused,
    OrderRefused,
    OutcomeUnknown,
    SettingsError,
    TradingError,
)
from trading_pipeline.domain.orders import (
    BracketRequest,
    ExecType,
    OcoRequest,
    OrderRequest,
    OrderType,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline_tests.adapters.alpaca_worlds import AlpacaWorld, an_alpaca_world, requests_made
from trading_pipeline_tests.contract_tests.broker import held, said, status_of
from trading_pipeline_tests.venue.alpaca.doors import ALPACA
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, an_oco, an_order, at, flat

BUY, SELL = Side.BUY, Side.SELL
TRADE = ExecType.TRADE


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AlpacaWorld]:
    with an_alpaca_world(tmp_path / "ids.db") as world:
        yield world


# keys


def test_wrong_keys_are_no_refusal_of_the_order_and_say_what_to_set(world: AlpacaWorld) -> None:
    world.broker.rekey(SecretStr("PKOTHER"), SecretStr("whatever"))

    with pytest.raises(KeysRefused, match="BROKER__ALPACA__SECRET_KEY") as caught:
        world.broker.submit(a_bracket())

    assert isinstance(caught.value, OutcomeUnknown)
    assert not isinstance(caught.value, OrderRefused)


def test_revoked_keys_stop_everything_and_new_ones_go_on_without_a_restart(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket("a"))
    world.doors.door.context.keys = {"PKVENUE": "another-secret"}
    for ask in (world.broker.open_orders, world.broker.account, lambda: world.broker.order("a-e")):
        with pytest.raises(KeysRefused, match="A running process takes new keys from its profile file only"):
            ask()

    world.broker.rekey(SecretStr("PKVENUE"), SecretStr("another-secret"))

    assert world.broker.order("a-e") is not None
    assert world.broker.submit(a_bracket("b"))


def test_keys_changed_in_the_settings_are_taken_after_a_refusal(world: AlpacaWorld) -> None:
    now = [world.rules]
    broker = AlpacaBroker(world.rules, world.clock, world.ids, account="demo", keys=AlpacaKeys(lambda: now[0]))
    broker.account()
    world.doors.door.context.keys = {"PKNEW": "new-secret"}
    now[0] = world.rules.model_copy(update={"key_id": SecretStr("PKNEW"), "secret_key": SecretStr("new-secret")})

    with pytest.raises(KeysRefused):
        broker.account()

    assert broker.account().cash_usd > 0


def test_other_keys_ask_for_nothing_before_they_are_known_to_be_for_the_same_account(world: AlpacaWorld) -> None:
    number = world.broker.check_account()
    world.broker.submit(a_bracket("a"))
    with an_alpaca_world(venue_rules=ALPACA.model_copy(update={"account": "OTHER"})) as other:
        other.doors.door.context.keys = {"PKOTHER": "other-secret"}
        world.broker._rest._client._base_url = other.doors.url
        world.broker.rekey(SecretStr("PKOTHER"), SecretStr("other-secret"))
        asks: list[Callable[[], object]] = [
            lambda: world.broker.submit(a_bracket("b")), lambda: world.broker.cancel("a-e"),
            lambda: world.broker.replace("a-s", stop_price=Decimal(96)), world.broker.positions,
        ]  # fmt: skip
        for ask in asks:
            with pytest.raises(KeysRefused, match=f"are for its account OTHER, and this process trades {number}"):
                ask()
        assert other.venue.open_orders() == ()
        assert requests_made(other) == len(asks)

    world.doors.door.context.keys = {"PKNEW": "new-secret"}
    world.broker._rest._client._base_url = world.doors.url
    world.broker.rekey(SecretStr("PKNEW"), SecretStr("new-secret"))

    assert world.broker.submit(a_bracket("b"))


def test_no_keys_name_the_variables(world: AlpacaWorld) -> None:
    empty = world.rules.model_copy(update={"key_id": SecretStr(""), "secret_key": SecretStr("")})
    broker = AlpacaBroker(empty, world.clock, world.ids, account="demo")

    with pytest.raises(SettingsError, match="TRADING_PIPELINE__BROKER__ALPACA__KEY_ID"):
        broker.account()


def test_no_key_is_in_any_text(world: AlpacaWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key_id, secret = "PKSECRETID", "the-secret-itself"
    broker = AlpacaBroker(world.rules, world.clock, world.ids, account="demo")
    broker.rekey(SecretStr(key_id), SecretStr(secret))
    told = [repr(broker), repr(vars(broker)), repr(broker._keys), repr(world.rules)]
    for ask in (broker.account, broker.positions, lambda: broker.submit(a_bracket())):
        try:
            ask()
        except KeysRefused as error:
            told += [str(error), repr(error), "".join(traceback.format_exception(error))]

    assert len(told) > 6
    everything = "\n".join([*told, caplog.text])
    assert key_id not in everything
    assert secret not in everything


# the account


def test_the_account_is_pinned(world: AlpacaWorld) -> None:
    number = world.broker.check_account()

    assert world.broker.check_account(number) == number
    with pytest.raises(SettingsError, match=f"{number}.*PA-OTHER"):
        world.broker.check_account("PA-OTHER")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("account_blocked", "blocked the account"),
        ("trading_blocked", "blocked trading"),
        ("trade_suspended_by_user", "switched off by its owner"),
    ],
)
def test_an_account_that_may_not_trade_is_said_at_connect_and_refuses_orders(flag: str, words: str) -> None:
    rules = AlpacaDoorRules(requests_per_minute=10_000).model_copy(update={flag: True})
    with an_alpaca_world(door_rules=rules) as world:
        with pytest.raises(TradingError, match=words):
            world.broker.check_account()
        with pytest.raises(OrderRefused, match=r"web page|switched trading off"):
            world.broker.submit(a_bracket())


# refusals of Alpaca's


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (an_order("x", BUY, symbol="No Such"), "no such symbol"),
        (an_order("x", BUY, OrderType.LIMIT, limit=100, symbol="GONE"), "off the universe"),
        (a_bracket(quantity=1_000_000), "Reduce the size"),
        (an_order("x", SELL), "No shares are held"),
    ],
)
def test_a_refusal_says_alpacas_words_and_what_to_do(request_: OrderRequest | BracketRequest, words: str) -> None:
    rules = AlpacaDoorRules(requests_per_minute=10_000, untradable=frozenset({"GONE"}))
    with an_alpaca_world(door_rules=rules) as world:
        with pytest.raises(OrderRefused, match=words) as caught:
            world.broker.submit(request_)

        assert "HTTP 4" in str(caught.value)
        assert '"message"' in str(caught.value)
        assert world.reports() == []


def test_shares_held_for_other_orders_are_said(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())
    world.trade(99)

    with pytest.raises(OrderRefused, match="Other orders hold these shares"):
        world.broker.submit(an_order("x", SELL))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (an_order("x", BUY, OrderType.LIMIT, limit="100.001"), "finer than the tick"),
        (an_order("x", BUY, quantity="0.5"), "whole shares"),
        (an_order("x~1", BUY), "kept for replacements"),
        (an_order("x" * 124, BUY), "1 to 123 characters"),
        (a_bracket(entry="0.5", stop="0.4999", target="0.6"), "0.01 USD apart"),
        (replace(a_bracket(), entry=an_order("b-e", BUY, OrderType.STOP, stop=100)), "market or limit order"),
        (an_oco(stop=120), "rise"),
    ],
)
def test_what_alpaca_would_refuse_is_refused_before_a_request_is_spent(
    world: AlpacaWorld, request_: OrderRequest | BracketRequest | OcoRequest, words: str
) -> None:
    before = requests_made(world)

    with pytest.raises(OrderRefused, match=words):
        world.broker.submit(request_)

    assert requests_made(world) == before
    assert world.ids.unfinished() == []


def test_an_order_sent_while_the_market_is_closed_waits_for_the_open(world: AlpacaWorld) -> None:
    world.close_session()

    world.broker.submit(an_order("x", BUY, OrderType.LIMIT, limit=100))

    assert status_of(world, "x") is OrdStatus.NEW


def test_an_order_rejected_after_it_was_taken_is_reported(world: AlpacaWorld) -> None:
    world.play({"fault": "reject_later", "op": "orders.submit"})

    world.broker.submit(a_bracket())

    assert said(world, "b-e")[-1] is ExecType.REJECTED
    assert status_of(world, "b-e") is OrdStatus.REJECTED
    assert list(world.broker.open_orders()) == []


def test_an_order_in_a_halted_symbol_waits(world: AlpacaWorld) -> None:
    world.play({"fault": "halt", "op": "orders.submit", "seconds": 600})
    world.broker.submit(an_order("x", BUY, OrderType.LIMIT, limit=100))

    world.trade(99)

    assert status_of(world, "x") is OrdStatus.NEW
    assert held(world) == {}


# sending


@pytest.mark.parametrize("life", [TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG, TimeInForce.CLS])
def test_every_life_is_sent_and_told_back(life: TimeInForce) -> None:
    with an_alpaca_world(start=at(-10)) as world:
        world.venue.on_session_open(SESSION, {}, {})  # it knows the hours, and the open is yet to come
        world.broker.submit(an_order("x", BUY, OrderType.LIMIT, limit=90, time_in_force=life))

        order = world.broker.order("x")
        assert order is not None
        assert order.time_in_force is life


def test_an_auction_that_is_over_is_refused(world: AlpacaWorld) -> None:
    world.market.on_session_open(SESSION, {}, {})

    with pytest.raises(OrderRefused, match="auction"):
        world.broker.submit(an_order("x", BUY, OrderType.LIMIT, limit=90, time_in_force=TimeInForce.OPG))


def test_a_trailing_stop_trails(world: AlpacaWorld) -> None:
    world.broker.submit(an_order("buy", BUY, OrderType.LIMIT, limit=100))
    world.trade(99)

    world.broker.submit(an_order("t", SELL, OrderType.TRAILING_STOP, trail="2"))
    for price in (105, 102):
        world.trade(price)

    assert held(world) == {}
    assert said(world, "t") == [ExecType.NEW, TRADE]


def test_a_bracket_with_legs_for_the_night_is_sent_for_the_night_as_a_whole(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket(legs=TimeInForce.GTC))
    world.trade(99)

    world.close_session()

    assert {order.client_order_id for order in world.broker.open_orders()} == {"b-s", "b-t"}


# replacing


def test_a_stop_replaced_several_times_is_one_order_of_ours(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())
    world.trade(99)

    for price in (96, 97, 98):
        world.broker.replace("b-s", stop_price=Decimal(price))

    replaced = [report for report in world.reports() if report.exec_type is ExecType.REPLACED]
    assert [report.stop_price for report in replaced] == [96, 97, 98]
    assert {report.client_order_id for report in replaced} == {"b-s"}
    assert len(world.ids.venue_ids("b-s")) == 4
    assert [order.stop_price for order in world.broker.open_orders() if order.client_order_id == "b-s"] == [98]
    world.broker.cancel("b-s")
    assert list(world.broker.open_orders()) == []


def test_a_quantity_is_not_replaced_and_the_order_stands(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())

    with pytest.raises(OrderRefused, match="Cancel it"):
        world.broker.replace("b-e", quantity=Decimal(50))

    order = world.broker.order("b-e")
    assert order is not None
    assert order.quantity == 100


def test_a_partly_filled_order_is_not_replaced_by_as_many_shares_again(world: AlpacaWorld) -> None:
    world.broker.submit(an_order("x", BUY, OrderType.LIMIT, limit=100))
    trade_a_few(world)

    with pytest.raises(OrderRefused, match="whole quantity again"):
        world.broker.replace("x", limit_price=Decimal(101))

    assert held(world) == {"AAA": 10}


def test_an_order_not_at_the_exchange_yet_says_why_it_is_not_replaced(world: AlpacaWorld) -> None:
    world.close_session()
    world.broker.submit(an_order("x", BUY, OrderType.LIMIT, limit=100))

    with pytest.raises(OrderRefused, match="accepted status"):
        world.broker.replace("x", limit_price=Decimal(99))


def test_the_price_it_has_already_is_no_change_and_no_refusal(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())

    world.broker.replace("b-s", stop_price=Decimal("95.00"))

    assert said(world, "b-s") == [ExecType.NEW]


# partial fills


def test_shares_bought_before_a_cancel_are_told_and_legs_of_a_partly_filled_entry_are_not_left(
    world: AlpacaWorld,
) -> None:
    world.broker.submit(a_bracket())
    trade_a_few(world)

    world.broker.cancel("b-e")

    assert said(world, "b-e") == [ExecType.NEW, TRADE, ExecType.CANCELED]
    assert held(world) == {"AAA": 10}
    working = {order.client_order_id: order.quantity for order in world.broker.open_orders()}
    ended = {name for name in ("b-s", "b-t") if status_of(world, name) is OrdStatus.CANCELED}
    assert working.keys() | ended == {"b-s", "b-t"}


def test_a_partly_filled_target_takes_shares_off_the_stop_and_says_so(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())
    world.trade(99)
    trade_a_few(world, price=111)

    first = [r for r in world.reports() if r.client_order_id == "b-s"]
    stop = world.broker.order("b-s")
    assert stop is not None
    assert stop.quantity == 90
    assert first[-1].exec_type is ExecType.REPLACED
    assert first[-1].quantity == 90
    world.restart()
    assert [r for r in world.reports() if r.client_order_id == "b-s"] == first


def trade_a_few(world: AlpacaWorld, price: int = 99) -> None:
    """A minute so thin that ten shares of an order trade."""
    bar = flat(world.minute, price, volume=100)
    world.minute += 1
    world.clock.sleep_until(bar.end_at)
    world.market.on_bars([bar], bar.end_at)
