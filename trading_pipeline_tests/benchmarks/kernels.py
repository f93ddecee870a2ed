"""Benchmarks in memory: the indicator pass against bare TA-Lib, and SABR20 against its literal reading."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import talib

from trading_pipeline.analytics.indicators import INDICATOR_COLUMNS, IndicatorRules, compute_indicators
from trading_pipeline.analytics.sabr20 import COMPONENTS, Sabr20Rules, score_setups
from trading_pipeline_tests.benchmarks.harness import Timings
from trading_pipeline_tests.benchmarks.sizes import Sizes
from trading_pipeline_tests.oracle import sabr20 as oracle
from trading_pipeline_tests.oracle.bars import History
from trading_pipeline_tests.random_market import BARS_PER_SESSION, aggregate, random_bars

FloatArray = npt.NDArray[np.float64]
SEED = 7
WARM_UP_SESSIONS = 30
"""Enough 4h bars for every SABR20 candidate to be scored."""
RTOL = 1e-9


def indicators(sizes: Sizes, _folder: Path, timings: Timings) -> None:
    """All outputs of every symbol: our pass over a bar frame, and bare TA-Lib calls over the same arrays."""
    bars = random_bars(SEED, sizes.indicator_symbols, sizes.indicator_sessions)
    columns = [bars[name].to_numpy(np.float64) for name in ("high", "low", "close", "volume")]
    length = sizes.indicator_sessions * BARS_PER_SESSION
    for _ in range(sizes.rounds):
        with timings.measure("ours"):
            ours = compute_indicators(bars, IndicatorRules())
        with timings.measure("talib"):
            bare = _bare(columns, length)
    np.testing.assert_allclose(ours[list(INDICATOR_COLUMNS)].to_numpy().T, bare, rtol=1e-6, atol=1e-6)
    timings.counts |= {"symbols": sizes.indicator_symbols, "bars": length}


def _bare(columns: list[FloatArray], length: int) -> FloatArray:
    """What a person would write: one symbol after the other, TA-Lib's own functions only."""
    out = np.empty((len(INDICATOR_COLUMNS), len(columns[0])))
    for first in range(0, len(columns[0]), length):
        _one_symbol([column[first : first + length] for column in columns], out[:, first : first + length])
    return out


def _one_symbol(columns: list[FloatArray], out: FloatArray) -> None:
    high, low, close, volume = columns
    out[1], out[0], out[2] = talib.BBANDS(close, 20, 2, 2)
    rsi = out[3] = talib.RSI(close, 14)
    out[4] = talib.SMA(talib.STOCHF(rsi, rsi, rsi, 14, 1)[0], 3)
    out[5] = talib.SMA(out[4], 3)
    out[6], out[7], out[8] = talib.MACD(close, 12, 26, 9)
    out[9], out[10] = talib.ATR(high, low, close, 14), talib.ADX(high, low, close, 14)
    out[11], out[12] = talib.PLUS_DI(high, low, close, 14), talib.MINUS_DI(high, low, close, 14)
    out[13], out[14], out[15] = talib.SMA(close, 20), talib.SMA(close, 50), talib.SMA(close, 200)
    out[16], out[17] = talib.EMA(close, 20), talib.EMA(close, 50)
    out[18] = volume / talib.SMA(volume, 20)


def sabr20(sizes: Sizes, _folder: Path, timings: Timings) -> None:
    """Every snapshot of a session at once, and the literal version on a few of the same symbols: same numbers."""
    base = random_bars(SEED, sizes.scored_symbols, WARM_UP_SESSIONS)
    frames = [compute_indicators(aggregate(base, one), IndicatorRules()) for one in ("1h", "4h")]
    frames.insert(0, compute_indicators(base, IndicatorRules()))
    symbols = sorted(base["symbol"].unique())
    instants = sorted(base["end"].unique())[-BARS_PER_SESSION:]
    candidates = pd.DataFrame(list(product(instants, symbols)), columns=["as_of", "symbol"])
    for _ in range(sizes.rounds):
        with timings.measure("ours"):
            scored = score_setups(frames[0], frames[1], frames[2], candidates, Sabr20Rules())
    compared = scored[scored["symbol"].isin(symbols[: sizes.oracle_symbols])].to_dict("records")
    histories = [History(frame[frame["symbol"].isin(symbols[: sizes.oracle_symbols])]) for frame in frames]
    for _ in range(sizes.rounds):
        with timings.measure("oracle"):
            literal = [_literal(histories, row) for row in compared]
    for row, expected in zip(compared, literal, strict=True):
        _require_same(row, expected)
    timings.counts |= {"candidates": len(candidates), "oracle_candidates": len(compared)}


def _literal(histories: list[History], row: Mapping[Any, Any]) -> oracle.Scored:
    t1, t2, t3 = (history.until(row["symbol"], row["as_of"]) for history in histories)
    return oracle.score(t1, t2, t3)


def _require_same(row: Mapping[Any, Any], literal: oracle.Scored) -> None:
    levels = (literal.score, literal.rr, literal.entry, literal.stop, literal.target, literal.ratio)
    expected = [*levels, *(literal.raw[name] for name in COMPONENTS)]
    ours = [row[name] for name in ("score", "rr", "entry", "stop", "target", "ratio", *COMPONENTS)]
    np.testing.assert_allclose(ours, expected, rtol=RTOL, atol=RTOL)
    texts = (row["state"], row["phase"], row["grade"], row["quartile"])
    if texts != (literal.state, literal.phase, literal.grade, literal.quartile):
        raise AssertionError(f"{row['symbol']} at {row['as_of']}: {texts}, literally {literal}")
