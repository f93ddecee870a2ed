"""The vectorised coarse filter equals its literal reading, symbol by symbol and bar by bar."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.screening import CoarseRules, coarse_screen
from trading_pipeline.domain.market import Timeframe
from trading_pipeline_tests.oracle import coarse as oracle
from trading_pipeline_tests.oracle.bars import History
from trading_pipeline_tests.oracle.markets import NAMES, NO_SHRINKING, base_bars, indicators
from trading_pipeline_tests.random_market import opens_at


def slot_volumes(history: History, symbol: str, as_of: pd.Timestamp) -> list[float]:
    """Volumes of bars that start at the last closed bar's time of day, of the 20 weekdays before its own."""
    known = history.count(symbol, as_of)
    if known == 0:
        return []
    starts, bars = history.starts[symbol][:known], history.bars[symbol]
    wanted = {starts[-1] - pd.offsets.BDay(back) for back in range(1, 21)}
    return [bar["volume"] for start, bar in zip(starts, bars, strict=False) if start in wanted]


def screened(seed: int) -> tuple[pd.DataFrame, dict[tuple[Any, str], oracle.Coarse]]:
    """The product's rows, and the oracle's outcome by as_of and symbol."""
    frame = indicators(base_bars(seed, 24), "1h")
    days = pd.DatetimeIndex(sorted(frame["session"].unique()))
    as_of = [moment for moment in sorted(frame["end"].unique()) if moment > days[3].tz_localize("UTC")][::3]
    found = coarse_screen(
        frame, as_of, [*NAMES, "NONE"], CoarseRules(), timeframe=Timeframe.HOUR1, opens_at=opens_at(days)
    )
    history = History(frame)
    expected = {}
    for moment in as_of:
        for symbol in (*NAMES, "NONE"):
            baseline = oracle.time_of_day_baseline(slot_volumes(history, symbol, moment))
            expected[moment, symbol] = oracle.screen(history.until(symbol, moment), baseline)
    return found, expected


@settings(max_examples=4, deadline=None, phases=NO_SHRINKING)
@given(seed=st.integers(0, 100_000))
def test_the_coarse_filter_equals_the_oracle(seed: int) -> None:
    found, expected = screened(seed)

    for row in found.to_dict("records"):
        literal = expected[row["as_of"], row["symbol"]]
        assert (row["reason"] == "insufficient_history") == (literal.rejected != ""), row
        if literal.rejected:
            continue
        rules = tuple(bool(row[f"rule_{name}"]) for name in ("band", "stoch", "macd", "rsi", "volume"))
        assert rules == (literal.band, literal.stoch, literal.macd, literal.rsi, literal.volume), row
        assert bool(row["passed"]) == literal.passed
        assert row["score"] == pytest.approx(literal.score, abs=1e-9)


def test_the_hand_off_is_the_oracles_and_the_market_reaches_both_verdicts() -> None:
    found, expected = screened(seed=7)

    for moment, rows in found.groupby("as_of"):
        outcomes = {symbol: outcome for (at, symbol), outcome in expected.items() if at == moment}
        handed = rows[rows["handed_off"]].sort_values("rank")["symbol"].tolist()
        assert handed == oracle.hand_off(outcomes)
    assert found["handed_off"].any()
    assert found["passed"].any()
    assert not found["passed"].all()
