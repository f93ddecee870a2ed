"""Value at Risk, against a literal count: sort the losses, take the one that 95 of 100 days do not exceed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.analytics.value_at_risk import value_at_risk
from trading_pipeline.domain.errors import FrameContractError


def by_hand(values: dict[str, float], rows: list[dict[str, float]], percent: int) -> float:
    """The smallest loss L ≥ 0 such that at least `percent` % of the usable days lost no more than L."""
    days = [row for row in rows[-250:] if all(math.isfinite(row[name]) for name in values)]
    losses = [-sum(values[name] * row[name] for name in values) for row in days]
    if len(losses) < 100:
        return math.nan
    enough = [loss for loss in losses if 100 * sum(other <= loss for other in losses) >= percent * len(losses)]
    return max(0.0, min(enough))


moves = st.integers(-999, 999).map(lambda n: n / 10_000)


@given(
    days=st.lists(st.tuples(moves, moves), min_size=95, max_size=120),
    gaps=st.sets(st.integers(0, 94), max_size=8),
    worth=st.tuples(st.integers(0, 50_000), st.integers(1, 50_000)),
)
def test_it_is_what_a_literal_count_says(
    days: list[tuple[float, float]], gaps: set[int], worth: tuple[int, int]
) -> None:
    rows = [{"A": math.nan if n in gaps else a, "B": b} for n, (a, b) in enumerate(days)]
    values = {"A": float(worth[0]), "B": float(worth[1])}

    at95, at99 = value_at_risk(values, pd.DataFrame(rows))

    assert at95.usd == pytest.approx(by_hand(values, rows, 95), nan_ok=True)
    assert at99.usd == pytest.approx(by_hand(values, rows, 99), nan_ok=True)
    assert at95.sessions == len(days) - len(gaps)
    assert not at95.usd > at99.usd


def test_only_the_last_250_sessions_count() -> None:
    returns = pd.DataFrame({"A": [-0.5] * 50 + [0.001] * 250})

    assert [one.usd for one in value_at_risk({"A": 1000.0}, returns)] == [0.0, 0.0]


def test_an_empty_book_risks_nothing_and_an_unknown_holding_makes_it_unknown() -> None:
    returns = pd.DataFrame({"A": np.linspace(-0.1, 0.1, 250)})

    assert [one.usd for one in value_at_risk({}, returns)] == [0.0, 0.0]
    (unknown, _) = value_at_risk({"A": 1000.0, "NEW": 1.0}, returns)
    assert (math.isnan(unknown.usd), unknown.sessions, unknown.missing) == (True, 0, ("NEW",))


@pytest.mark.parametrize(("value", "confidence"), [(math.nan, 0.95), (math.inf, 0.95), (1.0, 1.0), (1.0, 0.0)])
def test_what_is_no_number_is_refused(value: float, confidence: float) -> None:
    with pytest.raises(FrameContractError, match="finite values"):
        value_at_risk({"A": value}, pd.DataFrame({"A": [0.0] * 250}), [confidence])
