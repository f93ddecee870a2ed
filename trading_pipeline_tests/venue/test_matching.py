"""Prices a bar gives an order, checked against a literal reading of execution.md §5."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import InputError, NotAPriceError
from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.orders import OrderType, Side
from trading_pipeline.venue.matching import Match, capacity, checked, match
from trading_pipeline.venue.tickets import Terms
from trading_pipeline_tests.venue.builders import OPEN, a_bar, flat

SLIP = Decimal("0.0005")
cents = st.integers(min_value=500, max_value=1500).map(lambda n: Decimal(n) / 100)


@st.composite
def bars(draw: st.DrawFn) -> MarketBar:
    low, opened, close, high = sorted(draw(st.lists(cents, min_size=4, max_size=4)))
    if draw(st.booleans()):
        opened, close = close, opened
    return a_bar(0, opened, high, low, close)


def matched(
    side: Side,
    order_type: OrderType,
    bar: MarketBar,
    *,
    limit: Decimal | str | None = None,
    stop: Decimal | str | None = None,
    triggered: bool = False,
    slippage: Decimal = Decimal(0),
    arriving: bool = False,
) -> Match:
    terms = Terms(OPEN, None if limit is None else Decimal(limit), None if stop is None else Decimal(stop))
    return match(side, order_type, terms, triggered=triggered, bar=bar, slippage=slippage, arriving=arriving)


BAR = a_bar(0, "10.00", "10.50", "9.50", "10.20")


@pytest.mark.parametrize(
    ("side", "limit", "price"),
    [
        (Side.BUY, "9.50", None),  # touched, not traded through
        (Side.BUY, "9.51", "9.51"),
        (Side.BUY, "10.00", "10.00"),  # at the open
        (Side.BUY, "11.00", "10.00"),  # marketable: the open, not the limit
        (Side.SELL, "10.50", None),
        (Side.SELL, "10.49", "10.49"),
        (Side.SELL, "9.00", "10.00"),
    ],
)
def test_a_limit_needs_trade_through_or_an_open_at_or_better(side: Side, limit: str, price: str | None) -> None:
    assert matched(side, OrderType.LIMIT, BAR, limit=limit, slippage=SLIP).price == (price and Decimal(price))


@pytest.mark.parametrize(
    ("side", "stop", "price"),
    [
        (Side.SELL, "9.49", None),
        (Side.SELL, "9.50", "9.50"),  # at or through: a touch is enough
        (Side.SELL, "10.10", "10.00"),  # gapped through: the open
        (Side.BUY, "10.51", None),
        (Side.BUY, "10.50", "10.50"),
        (Side.BUY, "9.90", "10.00"),
    ],
)
def test_a_stop_triggers_at_its_price_or_fills_at_the_open_it_gapped_through(
    side: Side, stop: str, price: str | None
) -> None:
    found = matched(side, OrderType.STOP, BAR, stop=stop)

    assert found == Match(Decimal(price) if price else None, triggered=price is not None)


@pytest.mark.parametrize(
    ("stop", "limit", "expected"),
    [
        ("9.60", "9.60", Match(Decimal("9.60"), triggered=True)),  # slipped to 9.5952, the limit forbids it
        ("9.60", "9.00", Match(Decimal("9.5952"), triggered=True)),
        ("9.60", "9.80", Match(None, triggered=True)),  # the way back up is not known to follow the touch
        ("9.40", "9.00", Match(None)),
        ("10.10", "9.90", Match(Decimal("10.00"), triggered=True)),  # gapped through the stop, not the limit
        ("10.10", "10.40", Match(Decimal("10.40"), triggered=True)),  # rests from the open, later traded through
    ],
)
def test_a_stop_limit_triggers_like_a_stop_and_fills_like_a_limit(stop: str, limit: str, expected: Match) -> None:
    assert matched(Side.SELL, OrderType.STOP_LIMIT, BAR, stop=stop, limit=limit, slippage=SLIP) == expected


def test_slippage_and_rounding_always_work_against_the_trader() -> None:
    bar = flat(0, "10.0101")

    assert matched(Side.BUY, OrderType.MARKET, bar, slippage=SLIP).price == Decimal("10.0152")  # 10.01510505 up
    assert matched(Side.SELL, OrderType.MARKET, bar, slippage=SLIP).price == Decimal("10.0050")  # 10.00509495 down


@pytest.mark.parametrize(
    ("side", "limit", "price"),
    [
        (Side.SELL, "9.00", "9.995"),
        (Side.SELL, "9.998", "9.998"),  # the limit holds
        (Side.SELL, "10.49", "10.49"),  # not marketable: it rests
        (Side.BUY, "11.00", "10.005"),
        (Side.BUY, "10.00", "10.00"),
    ],
)
def test_a_limit_that_arrives_marketable_pays_slippage_up_to_its_price(side: Side, limit: str, price: str) -> None:
    assert matched(side, OrderType.LIMIT, BAR, limit=limit, slippage=SLIP, arriving=True).price == Decimal(price)


@given(bar=bars(), side=st.sampled_from(Side), limit=cents, stop=cents, triggered=st.booleans(), arriving=st.booleans())
def test_neither_a_limit_nor_a_stop_limit_ever_fills_worse_than_its_price(
    bar: MarketBar, side: Side, limit: Decimal, stop: Decimal, triggered: bool, arriving: bool
) -> None:
    for order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        price = matched(
            side, order_type, bar, limit=limit, stop=stop, triggered=triggered, slippage=SLIP, arriving=arriving
        ).price
        if price is not None:
            assert price <= limit if side is Side.BUY else price >= limit


@given(bar=bars(), side=st.sampled_from(Side), price=cents)
def test_without_slippage_every_fill_is_a_price_the_bar_traded_at(bar: MarketBar, side: Side, price: Decimal) -> None:
    for order_type in OrderType:
        found = matched(side, order_type, bar, limit=price, stop=price).price
        assert found is None or bar.low <= found <= bar.high


@given(bar=bars(), side=st.sampled_from(Side), stop=cents)
def test_a_stop_never_fills_better_than_its_price(bar: MarketBar, side: Side, stop: Decimal) -> None:
    price = matched(side, OrderType.STOP, bar, stop=stop, slippage=SLIP).price
    if price is not None:
        assert price <= stop if side is Side.SELL else price >= stop


def test_capacity_is_whole_shares() -> None:
    assert capacity(flat(0, 10, volume=1_239), Decimal("0.10")) == 123


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
@pytest.mark.parametrize("position", range(4))
def test_a_bar_with_a_price_that_is_none_is_refused(price: str, position: int) -> None:
    prices = ["10", "10", "10", "10"]
    prices[position] = price

    with pytest.raises(NotAPriceError, match="AAA"):
        checked(a_bar(0, *prices))


@pytest.mark.parametrize(
    "bar",
    [
        a_bar(0, 10, 9, 8, 9),
        a_bar(0, 10, 11, 9, 8),
        flat(0, 10, volume=-1),
        flat(0, 10, volume="NaN"),
        flat(0, 10, volume="1E+40"),
    ],
)
def test_a_bar_that_contradicts_itself_is_refused(bar: MarketBar) -> None:
    with pytest.raises(InputError, match="cannot be traded on"):
        checked(bar)
