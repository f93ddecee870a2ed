"""What the venue does with single orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from trading_pipeline.domain.errors import InputError, NaiveDatetimeError, NotAPriceError, OrderRefused
from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.orders import ExecType, OrderRequest, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.venue.builders import (
    FREE,
    SESSION,
    a_bar,
    a_bracket,
    a_venue,
    an_order,
    at,
    feed,
    flat,
    reports,
    said,
    trades,
)

BUY, SELL = Side.BUY, Side.SELL
LIMIT, STOP, MARKET = OrderType.LIMIT, OrderType.STOP, OrderType.MARKET


def holding(shares: int, rules: VenueRules = FREE, price: int = 100) -> SimulatedVenue:
    """A venue that holds shares bought at minute 0; the next free minute is 1."""
    venue = a_venue(rules)
    venue.submit(an_order("held", BUY, LIMIT, limit=price, quantity=shares), at(0))
    feed(venue, flat(0, price))
    return venue


def test_an_order_can_fill_only_in_bars_that_start_at_or_after_its_acceptance() -> None:
    venue = a_venue()
    venue.submit(an_order("o", BUY, LIMIT, limit=100), at(0) + timedelta(seconds=1))

    feed(venue, flat(0, 99))
    assert trades(venue) == []
    feed(venue, flat(1, 98))
    assert trades(venue) == [("o", 100, "98")]


def test_commission_comes_once_per_order_and_slippage_is_paid_on_market_orders() -> None:
    venue = holding(200, VenueRules())
    venue.submit(an_order("out", SELL, MARKET, quantity=200), at(1))

    feed(venue, flat(1, 100, volume=1_500), flat(2, 100, volume=1_500))

    assert trades(venue)[1:] == [("out", 150, "99.95"), ("out", 50, "99.95")]
    assert [int(r.commission) for r in reports(venue) if r.client_order_id == "out"] == [0, 1, 0]
    assert venue.account().cash_usd == 100_000 - 20_000 - 1 + 200 * Decimal("99.95") - 1


def test_a_fill_takes_at_most_its_share_of_the_volume_and_leaves_the_rest_working() -> None:
    venue = a_venue()
    venue.submit(an_order("o", BUY, LIMIT, limit=100, quantity=100), at(0))

    feed(venue, flat(0, 99, volume=309), flat(1, 99, volume=9), flat(2, 99))

    assert trades(venue) == [("o", 30, "99"), ("o", 70, "99")]
    assert said(venue, "o") == [ExecType.NEW, ExecType.TRADE, ExecType.TRADE]


def test_orders_of_one_side_share_the_volume_by_acceptance() -> None:
    venue = a_venue()
    for name in ("first", "second"):
        venue.submit(an_order(name, BUY, LIMIT, limit=100, quantity=100), at(0))

    feed(venue, flat(0, 99, volume=1_500))

    assert trades(venue) == [("first", 100, "99"), ("second", 50, "99")]


def test_without_partial_fills_an_order_waits_for_a_bar_that_carries_it_whole() -> None:
    venue = a_venue(FREE.model_copy(update={"partial_fills": False}))
    venue.submit(an_order("o", BUY, LIMIT, limit=100, quantity=100), at(0))

    feed(venue, flat(0, 99, volume=999), flat(1, 98, volume=1_000))

    assert trades(venue) == [("o", 100, "98")]


def test_a_symbol_without_a_bar_does_not_fill() -> None:
    venue = a_venue()
    venue.submit(an_order("o", BUY, LIMIT, limit=100), at(0))

    feed(venue, flat(0, 50, symbol="BBB"))

    assert trades(venue) == []
    assert venue.symbols_of_interest() == {"AAA"}


def test_bars_already_seen_change_nothing() -> None:
    venue = a_venue()
    venue.submit(an_order("o", BUY, LIMIT, limit=100, quantity=1_000), at(0))
    bars = [flat(0, 99, volume=1_000), flat(1, 99, volume=1_000)]
    feed(venue, *bars)
    before = (trades(venue), venue.account())

    feed(venue, *bars)
    venue.on_bars([bars[1], bars[1]], at(9))

    assert (trades(venue), venue.account()) == before


def test_the_same_bar_twice_in_one_call_counts_once() -> None:
    venue = a_venue()
    venue.submit(an_order("o", BUY, LIMIT, limit=100, quantity=1_000), at(0))

    venue.on_bars([flat(0, 99, volume=1_000), flat(0, 99, volume=1_000)], at(1))

    assert trades(venue) == [("o", 100, "99")]


@pytest.mark.parametrize(
    ("bars", "error"),
    [
        ([flat(1, 99), flat(1, "NaN", symbol="BBB")], NotAPriceError),
        ([flat(1, 99), flat(1, 98)], InputError),  # two truths for one minute
        ([flat(5, 99)], InputError),  # from the future
        ([replace(flat(0, 99), end_at=at(2))], InputError),  # another timeframe over a bar already seen
    ],
)
def test_bars_that_cannot_be_true_are_refused_and_change_nothing(
    bars: list[MarketBar], error: type[InputError]
) -> None:
    venue = a_venue()
    feed(venue, flat(0, 101))
    venue.submit(an_order("o", BUY, LIMIT, limit=100), at(1))
    before = venue.account()

    with pytest.raises(error):
        venue.on_bars(bars, at(2))

    assert (trades(venue), venue.account()) == ([], before)
    feed(venue, flat(1, 99))
    assert trades(venue) == [("o", 100, "99")]


def test_a_day_order_expires_at_the_close_and_a_gtc_order_stays() -> None:
    venue = a_venue()
    venue.submit(an_order("day", BUY, LIMIT, limit=90), at(0))
    venue.submit(an_order("gtc", BUY, LIMIT, limit=90, time_in_force=TimeInForce.GTC), at(0))
    venue.submit(an_order("late", BUY, LIMIT, limit=90), SESSION.closes_at)

    venue.on_session_close(SESSION)
    venue.on_session_close(SESSION)

    assert said(venue, "day") == [ExecType.NEW, ExecType.EXPIRED]
    assert [order.client_order_id for order in venue.open_orders()] == ["gtc", "late"]


def test_a_replaced_price_holds_for_bars_that_start_after_it_and_the_old_one_until_then() -> None:
    venue = a_venue()
    venue.submit(an_order("o", BUY, LIMIT, limit=90), at(0))
    venue.replace("o", at(1) + timedelta(seconds=30), None, Decimal(100))

    feed(venue, flat(1, 95))  # began before the replace: still meets 90
    assert trades(venue) == []
    feed(venue, flat(2, 95))
    assert trades(venue) == [("o", 100, "95")]
    assert said(venue, "o") == [ExecType.NEW, ExecType.REPLACED, ExecType.TRADE]


def test_a_canceled_order_keeps_its_fills_and_a_second_cancel_does_nothing() -> None:
    venue = a_venue()
    venue.submit(an_order("o", BUY, LIMIT, limit=100), at(0))
    feed(venue, flat(0, 99, volume=400))

    venue.cancel("o", at(1))
    venue.cancel("o", at(1))
    feed(venue, flat(1, 99))

    order = venue.order("o")
    assert order is not None
    assert (order.status, int(order.cum_qty)) == (OrdStatus.CANCELED, 40)
    assert said(venue, "o") == [ExecType.NEW, ExecType.TRADE, ExecType.CANCELED]


def test_a_triggered_stop_sells_its_rest_at_the_next_opens() -> None:
    venue = holding(100)
    venue.submit(an_order("s", SELL, STOP, stop=95), at(1))

    feed(venue, a_bar(1, 97, 97, 94, 96, volume=600), flat(2, 99))

    assert trades(venue)[1:] == [("s", 60, "95"), ("s", 40, "99")]


def test_e20_shares_in_a_working_sell_cannot_be_sold_again() -> None:
    venue = holding(100)
    venue.submit(an_order("s", SELL, STOP, stop=95, quantity=70), at(1))

    with pytest.raises(OrderRefused, match="30 shares are free to sell, 31 were asked"):
        venue.submit(an_order("x", SELL, quantity=31), at(1))
    venue.submit(an_order("y", SELL, quantity=30), at(1))
    feed(venue, flat(1, 90))

    assert venue.positions() == ()


def test_a_market_buy_that_gaps_beyond_the_cash_buys_what_it_can_and_cancels_the_rest() -> None:
    venue = a_venue()
    feed(venue, flat(0, 100))
    venue.submit(an_order("o", BUY, MARKET, quantity=950), at(1))

    feed(venue, flat(1, 200))

    assert trades(venue) == [("o", 500, "200")]
    assert said(venue, "o")[-1] is ExecType.CANCELED
    assert venue.account().cash_usd == 0


def test_working_buys_reserve_buying_power_until_they_end() -> None:
    venue = a_venue(VenueRules())
    venue.submit(an_order("a", BUY, LIMIT, limit=100, quantity=900), at(0))

    with pytest.raises(OrderRefused, match=r"needs 10000\.00 .* 9999\.00 are free"):
        venue.submit(an_order("b", BUY, LIMIT, limit="99.99", quantity=100), at(0))
    venue.cancel("a", at(0))
    venue.submit(an_order("c", BUY, LIMIT, limit="99.99", quantity=100), at(0))


REFUSED: list[tuple[str, OrderRequest]] = [
    ("whole shares", an_order("x", BUY, LIMIT, limit=10, quantity="1.5")),
    ("whole shares", an_order("x", BUY, LIMIT, limit=10, quantity=0)),
    ("whole shares", an_order("x", BUY, LIMIT, limit=10, quantity="NaN")),
    ("needs a limit price", an_order("x", BUY, LIMIT)),
    ("takes no stop price", an_order("x", BUY, LIMIT, limit=10, stop=9)),
    ("finite and above zero", an_order("x", BUY, LIMIT, limit="NaN")),
    ("finite and above zero", an_order("x", BUY, LIMIT, limit=-1)),
    ("at most 10000000 USD", an_order("x", BUY, LIMIT, limit="1E+40")),
    ("buying power", an_order("x", BUY, LIMIT, limit=1, quantity="1E+40")),
    ("finer than the tick", an_order("x", BUY, LIMIT, limit="10.001")),
    ("does not know the session", an_order("x", BUY, LIMIT, limit=10, time_in_force=TimeInForce.OPG)),
    ("does not know the session", an_order("x", BUY, LIMIT, limit=10, time_in_force=TimeInForce.CLS)),
    ("no price of AAA is known", an_order("x", BUY)),
    ("0 shares are free to sell", an_order("x", SELL)),
]


@pytest.mark.parametrize(("reason", "order"), REFUSED)
def test_a_refusal_names_its_reason_leaves_no_order_and_holds_for_the_id(reason: str, order: OrderRequest) -> None:
    venue = a_venue()

    for _ in range(2):
        with pytest.raises(OrderRefused, match=reason):
            venue.submit(order, at(0))

    assert (venue.order("x"), venue.open_orders(), list(reports(venue))) == (None, (), [])
    with pytest.raises(OrderRefused, match=reason):  # a corrected order needs a new id
        venue.submit(an_order("x", BUY, LIMIT, limit=10), at(0))


def test_one_id_names_one_order() -> None:
    venue = a_venue()
    first = venue.submit(a_bracket(), at(0))

    assert venue.submit(a_bracket(quantity="100.0"), at(1)) == first  # 100 and 100.0 are the same content
    with pytest.raises(OrderRefused, match="already the id of another order"):
        venue.submit(a_bracket(quantity=99), at(1))
    assert len(venue.open_orders()) == 3


@pytest.mark.parametrize(
    ("stop", "limit", "reason"),
    [
        (None, None, "neither a stop nor a limit"),
        (Decimal(95), None, "takes no stop price"),
        (None, Decimal("NaN"), "finite and above zero"),
        (None, Decimal(0), "finite and above zero"),
        (None, Decimal("99.999"), "finer than the tick"),
        (None, Decimal(2_000), "buying power"),
    ],
)
def test_a_replace_the_order_cannot_carry_is_refused_and_changes_nothing(
    stop: Decimal | None, limit: Decimal | None, reason: str
) -> None:
    venue = a_venue()
    venue.submit(an_order("o", BUY, LIMIT, limit=90), at(0))
    before = venue.open_orders()

    with pytest.raises(OrderRefused, match=reason):
        venue.replace("o", at(1), stop, limit)

    assert venue.open_orders() == before


def test_what_the_venue_does_not_know_cannot_be_replaced_or_canceled() -> None:
    with pytest.raises(OrderRefused, match="no order nobody"):
        a_venue().cancel("nobody", at(0))
    with pytest.raises(OrderRefused, match="no order nobody"):
        a_venue().replace("nobody", at(0), None, Decimal(1))


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(NaiveDatetimeError):
        a_venue().submit(a_bracket(), at(0).replace(tzinfo=None))


def test_reports_never_go_back_in_time() -> None:
    venue = a_venue()
    venue.submit(an_order("a", BUY, LIMIT, limit=10), at(5))
    venue.submit(an_order("b", BUY, LIMIT, limit=10), at(3))

    assert [report.occurred_at for report in reports(venue)] == [at(5), at(5)]
    assert len(venue.execution_reports(at(5))) == 2
    assert venue.execution_reports(at(6)) == ()


def test_a_limit_pays_slippage_where_it_arrives_marketable_and_none_where_it_rests() -> None:
    # given a sell that rests above the market, and one that becomes marketable by a replace
    venue = a_venue(FREE.model_copy(update={"slippage_fraction": Decimal("0.001")}))
    venue.submit(an_order("b", BUY, OrderType.LIMIT, limit=100, quantity=200), at(0))
    feed(venue, flat(0, 100))
    venue.submit(an_order("rests", SELL, OrderType.LIMIT, limit=105), at(1))
    venue.submit(an_order("moved", SELL, OrderType.LIMIT, limit=150), at(1))
    feed(venue, flat(1, 100))

    feed(venue, flat(2, 110))
    venue.replace("moved", at(3), None, Decimal(105))
    feed(venue, flat(3, 110))

    assert trades(venue) == [("b", 200, "100"), ("rests", 100, "110"), ("moved", 100, "109.89")]
