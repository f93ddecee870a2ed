"""The border from float to Decimal, and the tick."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import NotAPriceError
from trading_pipeline.domain.money import (
    average_price,
    cost_of,
    plain,
    round_down_to_tick,
    round_up_to_tick,
    tick_size,
    to_price,
    to_ratio,
)

levels = st.floats(0.001, 1e6)


@pytest.mark.parametrize("level", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-9, 1e22])
def test_what_is_no_price_never_enters_the_ledger(level: float) -> None:
    with pytest.raises(NotAPriceError, match="is not a price"):
        to_price(level)


@given(level=levels)
def test_e19_rounding_down_gives_the_largest_tradable_price_not_above(level: float) -> None:
    price = round_down_to_tick(level)

    assert price % tick_size(price) == 0
    assert price <= Decimal(repr(level)) < price + tick_size(Decimal(repr(level)))


@given(price=st.integers(1, 10**9).map(lambda n: Decimal(n) / 10**5))
def test_rounding_up_gives_the_smallest_tradable_price_not_below(price: Decimal) -> None:
    up = round_up_to_tick(price)

    assert up % tick_size(price) == 0
    assert up - tick_size(price) < price <= up


@pytest.mark.parametrize("price", ["NaN", "0", "-1", "Infinity"])
def test_rounding_up_what_is_no_price_is_refused(price: str) -> None:
    with pytest.raises(NotAPriceError):
        round_up_to_tick(Decimal(price))


@given(
    shares=st.integers(1, 10**6).map(Decimal),
    cost=st.integers(1, 10**14).map(lambda n: Decimal(n) / 10**6),
)
def test_e35_the_cost_behind_an_average_is_exact(shares: Decimal, cost: Decimal) -> None:
    assert cost_of(shares, average_price(cost, shares)) == cost


def test_numbers_have_one_spelling() -> None:
    assert [plain(Decimal(text)) for text in ("100.00", "1E+2", "-0.0", "12.50")] == ["100", "100", "0", "12.5"]
    assert average_price(Decimal(0), Decimal(0)) == 0
    assert to_ratio(Decimal(1) / 3) == Decimal("0.33333333")
