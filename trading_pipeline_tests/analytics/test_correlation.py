"""Correlations of daily returns, against a literal count of one pair at a time."""

from __future__ import annotations

import math
from datetime import date, timedelta
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.analytics.correlation import daily_returns, pairwise_correlation
from trading_pipeline.domain.errors import FrameContractError


def rho_by_hand(one: list[float], other: list[float], window: int) -> float:
    """Covariance over the product of the deviations, straight from the book."""
    one, other = one[-window:], other[-window:]
    if len(one) < window or not all(map(math.isfinite, one + other)):
        return math.nan
    a, b = fmean(one), fmean(other)
    spread = math.sqrt(sum((x - a) ** 2 for x in one)) * math.sqrt(sum((y - b) ** 2 for y in other))
    return sum((x - a) * (y - b) for x, y in zip(one, other, strict=True)) / spread if spread > 1e-18 else math.nan


def a_table(columns: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=np.float64)


numbers = st.integers(-400, 400).map(lambda n: n / 10_000) | st.sampled_from([math.nan])


@given(
    st.integers(3, 12).flatmap(lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=1, max_size=4))
)
def test_every_pair_is_what_a_literal_count_says(columns: list[list[float]]) -> None:
    table = a_table({f"S{n}": column for n, column in enumerate(columns)})

    found = pairwise_correlation(table, window=5)

    for i, one in enumerate(columns):
        for j, other in enumerate(columns):
            expected = rho_by_hand(one, other, 5)
            assert found.iloc[i, j] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_a_pair_is_unknown_without_a_full_window_and_when_one_does_not_move() -> None:
    steady, short = [0.01] * 60, [math.nan, *[0.01, -0.02] * 29, 0.01]
    found = pairwise_correlation(a_table({"A": [0.01, -0.02] * 30, "STEADY": steady, "SHORT": short}), window=60)

    assert found.loc["A", "A"] == pytest.approx(1.0)
    assert found[["STEADY", "SHORT"]].isna().all(axis=None)
    assert pairwise_correlation(a_table({"A": [0.01, -0.02]}), window=60).isna().all(axis=None)
    assert pairwise_correlation(a_table({"A": []}), window=60).isna().all(axis=None)


DAYS = [date(2025, 6, 2) + timedelta(days=n) for n in range(6)]


def closes(**prices: list[float | None]) -> pd.DataFrame:
    days = pd.DatetimeIndex(DAYS)
    rows = [(s, d, p) for s, column in prices.items() for d, p in zip(days, column, strict=False) if p is not None]
    return pd.DataFrame(rows, columns=["symbol", "session", "close"])


def test_returns_are_over_the_session_before_and_nan_where_a_close_is_missing_or_no_price() -> None:
    returns = daily_returns(closes(B=[10.0, 11.0, 11.0, 0.0, 5.0], A=[10.0, 9.0, None, 9.0, 18.0]), DAYS[:5])

    assert list(returns.columns) == ["A", "B"]
    assert returns["B"].tolist()[:2] == pytest.approx([0.1, 0.0])
    assert returns["B"].isna().tolist() == [False, False, True, True]
    assert returns["A"].tolist() == pytest.approx([-0.1, np.nan, np.nan, 1.0], nan_ok=True)


def test_a_session_that_is_not_stored_has_no_return_and_neither_has_the_next() -> None:
    returns = daily_returns(closes(A=[1.0, 2.0, 4.0]), [DAYS[0], DAYS[1], DAYS[5], DAYS[2]])

    assert returns["A"].isna().tolist() == [False, True, True]
    assert daily_returns(closes(A=[]), DAYS).empty


def test_a_session_twice_is_refused() -> None:
    twice = pd.concat([closes(A=[1.0, 2.0])] * 2)
    with pytest.raises(FrameContractError, match="two daily bars in one session"):
        daily_returns(twice, DAYS)
