"""Sizes: spend the budget, never exceed it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import NotAPriceError
from trading_pipeline.domain.sizing import shares_for_notional, shares_for_risk

cents = st.integers(min_value=1, max_value=100_000).map(lambda n: Decimal(n) / 100)


@given(risk_per_share=cents, budget=cents)
def test_a_sized_entry_spends_its_risk_budget_and_never_exceeds_it(risk_per_share: Decimal, budget: Decimal) -> None:
    shares = shares_for_risk(budget, risk_per_share)

    assert shares == int(shares)
    assert shares * risk_per_share <= budget
    assert (shares + 1) * risk_per_share > budget


@given(budget=cents, price=cents)
def test_no_budget_buys_no_shares_never_a_negative_number(budget: Decimal, price: Decimal) -> None:
    assert shares_for_risk(-budget, price) == 0
    assert shares_for_notional(-budget, price) == 0


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "0", "-1"])
def test_a_risk_or_price_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(NotAPriceError):
        shares_for_risk(Decimal(100), Decimal(bad))
    with pytest.raises(NotAPriceError):
        shares_for_notional(Decimal(100), Decimal(bad))
