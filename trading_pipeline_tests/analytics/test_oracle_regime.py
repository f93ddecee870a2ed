"""The regime equals its literal reading on random markets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.indicators import IndicatorRules, compute_indicators
from trading_pipeline_tests.analytics.regime_frames import (
    INDICES,
    MORNING,
    PAST,
    PRE_MARKET,
    World,
    at,
    daily,
    walk,
)
from trading_pipeline_tests.oracle import regime as oracle
from trading_pipeline_tests.oracle.bars import Bars, History
from trading_pipeline_tests.oracle.markets import NO_SHRINKING

MOMENTS = (PRE_MARKET, MORNING, at("16:00"))


def as_bars(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(start=frame["end"] - pd.Timedelta(hours=6), open=frame["close"], volume=1e6)


def random_world(seed: int) -> World:
    """Indices, VIX and 30 symbols of different ages; some of them have no price at some instants."""
    random = np.random.default_rng(seed)
    together, drift = random.uniform(0, 1), random.normal(0, 0.0015)
    index_closes = walk(seed, len(PAST), 4, together=together) * np.exp(np.arange(len(PAST)) * drift)[:, None]
    index = compute_indicators(as_bars(daily(sorted(INDICES), PAST, index_closes)), IndicatorRules())
    vix = np.exp(np.cumsum(random.normal(0, 0.05, (len(PAST), 1)), axis=0)) * random.uniform(10, 40)
    names = [f"R{i:02d}" for i in range(30)]
    closes = walk(seed + 1, len(PAST), 30, together=0.3)
    universe = as_bars(daily(names, PAST, closes))
    ages = dict(zip(names, random.integers(30, len(PAST), 30), strict=True))
    universe = universe[universe["session"] >= universe["symbol"].map({n: PAST[-a] for n, a in ages.items()})]
    moves = np.exp(random.normal(random.normal(0, 0.02), 0.03, (2, 30)))
    rows = [(m, n, float(c * f)) for m, fs in zip(MOMENTS[1:], moves, strict=True)
            for n, c, f in zip(names, closes[-1], fs, strict=True) if random.random() > 0.2]  # fmt: skip
    return World(
        indices_4h=index,
        indices_1d=index,
        vix_1d=daily(("VIX",), PAST, vix),
        universe_1d=universe,
        last_prices=pd.DataFrame(rows, columns=["as_of", "symbol", "price"]),
        as_of=MOMENTS,
    )


def breadth_at(world: World, moment: pd.Timestamp) -> oracle.Breadth:
    history = History(world.universe_1d).bars
    asked = world.last_prices[world.last_prices["as_of"] == moment]
    if asked.empty:
        earlier: dict[str, Bars] = {symbol: bars[:-1] for symbol, bars in history.items()}
        return oracle.breadth(earlier, {symbol: bars[-1]["close"] for symbol, bars in history.items()})
    return oracle.breadth(dict(history), dict(zip(asked["symbol"], asked["price"], strict=True)))


def assert_equal(world: World, row: Mapping[Any, Any]) -> None:
    indices = History(world.indices_1d).bars
    labels = {symbol: oracle.trend_label(indices[symbol][-1]) for symbol in INDICES}
    vix = world.vix_1d["close"].tolist()
    breadth = breadth_at(world, row["as_of"])
    correlation = oracle.mean_correlation({s: [b["close"] for b in indices[s]] for s in ("SPY", "QQQ", "IWM")})
    verdict = oracle.favorability(
        oracle.consensus(list(labels.values())), oracle.vix_label(vix[-1]), breadth.label, correlation
    )
    details = row["details"]

    assert {symbol: trend["label"] for symbol, trend in details["trends_4h"].items()} == labels
    assert (details["vix"]["label"], details["vix"]["trend"]) == (oracle.vix_label(vix[-1]), oracle.vix_trend(vix))
    for sessions in (30, 90):
        assert details["vix"]["percentiles"][str(sessions)] == pytest.approx(oracle.percentile(vix, sessions), rel=1e-9)
    assert details["correlation"]["mean"] == pytest.approx(correlation, abs=1e-9)
    for name, value in vars(breadth).items():
        assert details["breadth"][name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-9)), name
    for name, value in vars(verdict).items():
        assert row[name] == value, name


@settings(max_examples=10, deadline=None, phases=NO_SHRINKING)
@given(seed=st.integers(0, 100_000))
def test_the_regime_equals_the_oracle(seed: int) -> None:
    world = random_world(seed)

    for row in world.scored().to_dict("records"):
        assert row["missing"] == []
        assert_equal(world, row)


def test_the_random_markets_reach_the_rules_they_are_meant_to_test() -> None:
    rows = pd.concat([random_world(seed).scored() for seed in range(15)])

    assert set(rows["trend"]) == {"bullish", "mixed", "bearish"}
    assert len(set(rows["breadth_points"])) == 4
    assert set(rows["correlation_points"]) == {5, 12, 20}
    assert len(set(rows["volatility_points"])) >= 4
