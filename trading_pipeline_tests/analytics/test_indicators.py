"""Indicators agree with TA-Lib and published figures, symbol by symbol, and never look ahead."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.indicators import INDICATOR_COLUMNS, IndicatorRules, compute_indicators
from trading_pipeline.domain.errors import FrameContractError
from trading_pipeline_tests.random_market import MINUTES, random_bars

RULES = IndicatorRules()
PROJECT = Path(__file__).parents[2]
REFERENCE = Path(os.environ.get("TRADING_PIPELINE_SHARED", PROJECT / ".." / "shared")) / "reference" / "indicators"
seeds = st.integers(min_value=0, max_value=10_000)


def talib_answer(bars: pd.DataFrame) -> dict[str, np.ndarray]:
    """The same columns by TA-Lib's own functions on one symbol."""
    high, low, close, volume = (bars[name].to_numpy() for name in ("high", "low", "close", "volume"))
    upper, mid, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    raw, _ = talib.STOCHRSI(close, 14, 14, 3)
    macd, signal, hist = talib.MACD(close)
    k = talib.SMA(raw, 3)
    found = {"bb_mid": mid, "bb_upper": upper, "bb_lower": lower, "rsi": talib.RSI(close, 14)}
    found |= {"stoch_k": k, "stoch_d": talib.SMA(k, 3), "macd": macd, "macd_signal": signal, "macd_hist": hist}
    found |= {"atr": talib.ATR(high, low, close, 14), "adx": talib.ADX(high, low, close, 14)}
    found |= {"plus_di": talib.PLUS_DI(high, low, close, 14), "minus_di": talib.MINUS_DI(high, low, close, 14)}
    found |= {f"sma_{bars}": talib.SMA(close, bars) for bars in (20, 50, 200)}
    found |= {f"ema_{bars}": talib.EMA(close, bars) for bars in (20, 50)}
    return found | {"volume_ratio": volume / talib.SMA(volume, 20)}


@pytest.mark.parametrize("timeframe", MINUTES)
def test_every_indicator_of_every_symbol_agrees_with_talib_on_every_row(timeframe: str) -> None:
    found = compute_indicators(random_bars(11, 5, 40, timeframe, missing=0.02), RULES)

    for _, rows in found.groupby("symbol"):
        answer = talib_answer(rows)
        assert tuple(answer) == INDICATOR_COLUMNS
        for name, expected in answer.items():
            actual = rows[name].to_numpy()
            # TA-Lib's STOCHRSI holds back two raw values for its own D: ours start two rows earlier
            rows_known = np.isfinite(expected) if name.startswith("stoch") else slice(None)
            np.testing.assert_allclose(actual[rows_known], expected[rows_known], rtol=1e-9, atol=1e-11, err_msg=name)


def test_the_first_value_of_each_indicator_stands_where_its_warm_up_ends() -> None:
    found = compute_indicators(random_bars(3, 1, 10), RULES)

    first = {name: int(found[name].first_valid_index()) for name in INDICATOR_COLUMNS}  # type: ignore[arg-type]

    assert first == {
        **dict.fromkeys(("bb_mid", "bb_upper", "bb_lower", "sma_20", "ema_20", "volume_ratio"), 19),
        **dict.fromkeys(("rsi", "atr", "plus_di", "minus_di"), 14),
        **dict.fromkeys(("macd", "macd_signal", "macd_hist"), 33),
        "stoch_k": 29,
        "stoch_d": 31,
        "adx": 27,
        "sma_50": 49,
        "ema_50": 49,
        "sma_200": 199,
    }
    assert all(found[name].iloc[start:].notna().all() for name, start in first.items())


@settings(deadline=None, max_examples=15)
@given(seed=seeds, kept=st.integers(min_value=1, max_value=300))
def test_appending_future_bars_changes_no_earlier_indicator(seed: int, kept: int) -> None:
    bars = random_bars(seed, ["AAA"], 14)

    whole = compute_indicators(bars, RULES).iloc[:kept]
    cut = compute_indicators(bars.iloc[:kept], RULES)

    pd.testing.assert_frame_equal(whole, cut, check_exact=True)


@settings(deadline=None, max_examples=10)
@given(seed=seeds, sizes=st.lists(st.integers(min_value=1, max_value=120), min_size=2, max_size=5))
def test_a_symbols_indicators_do_not_depend_on_its_neighbours(seed: int, sizes: list[int]) -> None:
    alone = [random_bars(seed, [f"S{i}"], 5).iloc[:size] for i, size in enumerate(sizes)]

    together = compute_indicators(pd.concat(alone, ignore_index=True), RULES)

    apart = pd.concat([compute_indicators(bars, RULES) for bars in alone], ignore_index=True)
    pd.testing.assert_frame_equal(together, apart, check_exact=True)


@settings(deadline=None, max_examples=25)
@given(seed=seeds, flat_from=st.integers(min_value=0, max_value=150), silent=st.booleans())
def test_flat_prices_give_defined_values_and_never_infinity(seed: int, flat_from: int, silent: bool) -> None:
    bars = random_bars(seed, ["AAA"], 10)
    level = bars["close"].iloc[flat_from]
    bars.loc[flat_from:, ["open", "high", "low", "close"]] = level
    bars.loc[flat_from:, "volume"] = 0.0 if silent else 100.0

    with np.errstate(all="raise"):
        found = compute_indicators(bars, RULES)

    values = found[[name for name in INDICATOR_COLUMNS if name != "volume_ratio"]]
    assert not np.isinf(values.to_numpy()).any()
    assert values.iloc[199:].notna().all(axis=None)
    settled = found.iloc[max(flat_from, 14) + 40 :]
    assert (settled[["stoch_k", "stoch_d"]] == 0).all(axis=None)
    np.testing.assert_allclose(settled["bb_upper"], settled["bb_lower"], rtol=1e-7)
    assert settled["volume_ratio"].isna().all() if silent else (settled["volume_ratio"] == 1).all()


@settings(deadline=None, max_examples=10)
@given(seed=seeds)
def test_oscillators_stay_within_their_bounds(seed: int) -> None:
    found = compute_indicators(random_bars(seed, 2, 20, missing=0.1), RULES)

    for name in ("rsi", "stoch_k", "stoch_d", "adx", "plus_di", "minus_di"):
        assert found[name].dropna().between(0, 100).all()
    assert (found["atr"].dropna() > 0).all()
    assert (found["bb_lower"].dropna() <= found["bb_upper"].dropna()).all()


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_a_price_that_is_no_number_is_refused_by_symbol_and_count(column: str, wrong: float) -> None:
    bars = random_bars(1, ["AAA", "BBB"], 3)
    bars.loc[bars["symbol"] == "BBB", column] = wrong

    with pytest.raises(FrameContractError, match=r"78 bars of 1 symbols .* BBB \(78 bars\)"):
        compute_indicators(bars, RULES)


def test_unsorted_and_duplicate_bars_are_refused() -> None:
    bars = random_bars(1, ["AAA", "BBB"], 2)

    for broken in (bars.iloc[::-1], pd.concat([bars.iloc[:3], bars.iloc[2:]]), pd.concat([bars, bars.iloc[:2]])):
        with pytest.raises(FrameContractError, match="not sorted"):
            compute_indicators(broken, RULES)


def test_no_bars_give_no_indicators() -> None:
    found = compute_indicators(random_bars(1, ["AAA"], 1).iloc[:0], RULES)

    assert found.empty
    assert set(INDICATOR_COLUMNS) <= set(found.columns)


@pytest.mark.parametrize(
    ("file", "field", "column", "converged_from", "tolerance"),
    [
        ("sma.json", "sma", "sma_20", 0, 1e-9),
        ("ema.json", "ema", "ema_20", 0, 1e-9),
        ("bb.json", "upperBand", "bb_upper", 0, 1e-8),
        ("bb.json", "lowerBand", "bb_lower", 0, 1e-8),
        ("rsi.json", "rsi", "rsi", 0, 1e-9),
        ("stoch-rsi.json", "signal", "stoch_k", 0, 1e-8),
        ("atr.json", "atr", "atr", 0, 1e-9),
        ("macd.json", "macd", "macd", 300, 1e-9),
        ("macd.json", "histogram", "macd_hist", 400, 1e-6),
        ("adx.json", "pdi", "plus_di", 350, 1e-9),
        ("adx.json", "mdi", "minus_di", 350, 1e-9),
        ("adx.json", "adx", "adx", 400, 1e-6),
    ],
)
def test_indicators_agree_with_the_published_reference_figures(
    file: str, field: str, column: str, converged_from: int, tolerance: float
) -> None:
    if not (REFERENCE / file).exists():
        pytest.skip(f"no reference figures at {REFERENCE}")
    quotes = pd.read_csv(REFERENCE / "q_default.csv", parse_dates=["date"])
    days = pd.DatetimeIndex(quotes["date"])
    bars = quotes.assign(
        symbol="SPY", session=days, start=days.tz_localize("UTC"), end=days.tz_localize("UTC") + pd.Timedelta(days=1)
    ).drop(columns="date")
    expected = np.array([row[field] for row in json.loads((REFERENCE / file).read_text())], dtype=float)

    found = compute_indicators(bars.astype({"volume": float}), RULES)[column].to_numpy()

    both = np.isfinite(expected) & np.isfinite(found) & (np.arange(len(found)) >= converged_from)
    assert both.sum() >= 100
    np.testing.assert_allclose(found[both], expected[both], rtol=tolerance, atol=tolerance)
