"""Figures over many sessions, against answers worked out another way."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.analytics.performance import (
    daily_returns,
    equity_curve,
    max_drawdown,
    profit_factor,
    sharpe,
    total_return,
    win_rate,
)
from trading_pipeline.domain.errors import FrameContractError

OPENED_AT = datetime(2025, 6, 10, 13, 30, tzinfo=UTC)


def by_session(*values: float, first: str = "2025-06-09") -> pd.Series[float]:
    return pd.Series(list(values), index=pd.bdate_range(first, periods=len(values)), dtype="float64")


def points(*values: float) -> pd.Series[float]:
    index = pd.DatetimeIndex([OPENED_AT + timedelta(minutes=1 + n) for n in range(len(values))])
    return pd.Series(list(values), index=index, dtype="float64")


def test_e34_an_equity_curve_begins_with_the_opening_equity() -> None:
    curve = equity_curve(points(101_000.0, 99_000.0), opening_equity_usd=100_000.0, opened_at=OPENED_AT)

    assert list(curve) == [100_000.0, 101_000.0, 99_000.0]
    assert curve.index[0] == pd.Timestamp(OPENED_AT)
    empty = equity_curve(points(), opening_equity_usd=100_000.0, opened_at=OPENED_AT)
    assert list(empty) == [100_000.0]


def test_points_out_of_order_twice_or_before_the_opening_are_refused() -> None:
    good = points(1.0, 2.0)
    later = OPENED_AT + timedelta(hours=1)
    for bad, opened_at in ((good[::-1], OPENED_AT), (pd.concat([good, good]), OPENED_AT), (good, later)):
        with pytest.raises(FrameContractError):
            equity_curve(bad, opening_equity_usd=1.0, opened_at=opened_at)


def test_e32_a_session_without_trades_is_a_return_of_zero() -> None:
    returns = daily_returns(by_session(101_000.0, 101_000.0, 102_010.0), opening_equity_usd=100_000.0)

    assert list(returns.round(12)) == [0.01, 0.0, 0.01]


def test_an_equity_of_zero_has_no_return() -> None:
    with pytest.raises(FrameContractError, match="zero or less"):
        daily_returns(by_session(0.0, 1.0), opening_equity_usd=100.0)


@pytest.mark.parametrize("values", [[], [0.01], [0.01, 0.01, 0.01], [0.1] * 7])
def test_sharpe_is_zero_with_too_few_returns_or_none_that_deviate(values: list[float]) -> None:
    assert sharpe(by_session(*values)) == 0.0


@given(values=st.lists(st.integers(-500, 500).map(lambda n: n / 10_000), min_size=2, max_size=60))
def test_sharpe_agrees_with_the_standard_library(values: list[float]) -> None:
    deviation = statistics.stdev(values)
    expected = 0.0 if len(set(values)) == 1 else statistics.fmean(values) / deviation * math.sqrt(252)

    assert sharpe(by_session(*values)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(values=st.lists(st.floats(1.0, 1e6), min_size=1, max_size=30))
def test_drawdown_is_the_worst_fall_from_any_earlier_value(values: list[float]) -> None:
    worst = min(later / peak - 1 for i, peak in enumerate(values) for later in values[i:])

    assert max_drawdown(by_session(*values)) == pytest.approx(worst, abs=1e-12)
    assert max_drawdown(by_session(*values)) <= 0.0


def test_nan_meets_an_error_with_its_count() -> None:
    for figure in (sharpe, max_drawdown, win_rate, profit_factor, total_return):
        with pytest.raises(FrameContractError, match="1 of 2"):
            figure(by_session(1.0, np.nan))


def test_e31_break_even_is_neither_win_nor_loss() -> None:
    assert win_rate(by_session(10.0, 0.0, -5.0, 0.0)) == 0.5
    assert win_rate(by_session(0.0)) is None
    assert win_rate(by_session()) is None


def test_profit_factor_needs_a_loss() -> None:
    assert profit_factor(by_session(30.0, -10.0, -5.0, 0.0)) == 2.0
    assert profit_factor(by_session(30.0)) is None


def test_total_return_is_last_over_first() -> None:
    assert total_return(by_session(100.0, 90.0, 110.0)) == pytest.approx(0.1)
    assert total_return(by_session(100.0)) == 0.0
    assert max_drawdown(by_session()) == 0.0
