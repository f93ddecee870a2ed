"""Technical indicators of many symbols in one pass, on TA-Lib (strategy specification, section 3)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib
from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.analytics.schemas import BAR_COLUMNS, require_columns
from trading_pipeline.analytics.windows import BoolArray, FloatArray, Segments, segments
from trading_pipeline.domain.errors import FrameContractError

INDICATOR_COLUMNS = (
    *("bb_mid", "bb_upper", "bb_lower", "rsi", "stoch_k", "stoch_d", "macd", "macd_signal", "macd_hist"),
    *("atr", "adx", "plus_di", "minus_di", "sma_20", "sma_50", "sma_200", "ema_20", "ema_50", "volume_ratio"),
)
"""Columns compute_indicators adds to a bar frame, all float64, NaN in warm-up. Averages are named for their bars."""

_PRICES = ("open", "high", "low", "close")


class IndicatorRules(BaseModel):
    """Periods in bars. The moving averages of close are fixed at 20, 50 and 200 bars: their columns say so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bollinger_bars: int = Field(default=20, ge=2, le=500)
    bollinger_sigmas: float = Field(default=2.0, gt=0, le=10, description="population standard deviations (ddof 0)")
    rsi_bars: int = Field(default=14, ge=2, le=500)
    stoch_bars: int = Field(default=14, ge=2, le=500, description="range of the rsi that StochRSI is relative to")
    stoch_k_bars: int = Field(default=3, ge=1, le=50, description="smoothing of the raw StochRSI")
    stoch_d_bars: int = Field(default=3, ge=1, le=50, description="smoothing of K")
    macd_fast_bars: int = Field(default=12, ge=2, le=500)
    macd_slow_bars: int = Field(default=26, ge=2, le=500)
    macd_signal_bars: int = Field(default=9, ge=2, le=500)
    atr_bars: int = Field(default=14, ge=2, le=500)
    adx_bars: int = Field(default=14, ge=2, le=500)
    volume_bars: int = Field(default=20, ge=2, le=500, description="average volume that volume_ratio is relative to")


def compute_indicators(bars: pd.DataFrame, rules: IndicatorRules) -> pd.DataFrame:
    """Every indicator of every symbol, as known at each bar's close.

    bars: a bar frame (schemas.BAR_COLUMNS) of one timeframe, adjusted USD per share, sorted by symbol and start.
    Returns the same rows and columns followed by INDICATOR_COLUMNS, float64, NaN in warm-up. rsi, stoch_k, stoch_d,
    adx and the directional lines lie in [0, 100]; atr, bands, averages and macd are in USD per share.
    Flat prices: the raw StochRSI of a zero range is 0; volume_ratio is NaN where the average volume is zero.
    Raises FrameContractError for unsorted or duplicate rows, and for prices that are NaN, infinite, zero or
    negative and volumes that are NaN, infinite or negative, naming symbols and counts.
    Convention: TA-Lib's C implementation, each symbol from its own first bar.
    """
    require_columns(bars, BAR_COLUMNS[:9], "bar")
    located = segments(bars)
    columns = {name: bars[name].to_numpy(dtype=np.float64) for name in (*_PRICES, "volume")}
    _require_numbers(columns, located)
    out = np.empty((len(INDICATOR_COLUMNS), len(bars)))
    for first, last in zip(located.first, located.last, strict=True):
        _fill({name: values[first:last] for name, values in columns.items()}, out[:, first:last], rules)
    added = pd.DataFrame(out.T, columns=list(INDICATOR_COLUMNS), index=bars.index, copy=False)
    kept = bars[[name for name in bars.columns if name not in INDICATOR_COLUMNS]]
    return pd.concat([kept, added], axis=1)


def _require_numbers(columns: dict[str, FloatArray], located: Segments) -> None:
    wrong = ~(np.isfinite(columns["volume"]) & (columns["volume"] >= 0))
    for name in _PRICES:
        wrong |= ~((columns[name] > 0) & np.isfinite(columns[name]))
    if wrong.any():
        raise FrameContractError(_describe(wrong, located))


def _describe(wrong: BoolArray, located: Segments) -> str:
    counts = {
        symbol: int(wrong[first:last].sum())
        for symbol, first, last in zip(located.symbols, located.first, located.last, strict=True)
    }
    named = [f"{symbol} ({count} bars)" for symbol, count in counts.items() if count]
    return (
        f"{int(wrong.sum())} bars of {len(named)} symbols have a price or volume that is not a number to compute with: "
        f"{', '.join(named[:5])}. Prices must be finite and above zero, volumes finite and not negative; "
        "look at them with: trading-pipeline data check"
    )


def _fill(bars: dict[str, FloatArray], out: FloatArray, rules: IndicatorRules) -> None:
    """Write every row of one symbol, in the order of INDICATOR_COLUMNS."""
    high, low, close = bars["high"], bars["low"], bars["close"]
    sigmas = rules.bollinger_sigmas
    out[1], out[0], out[2] = talib.BBANDS(close, rules.bollinger_bars, sigmas, sigmas)
    rsi = out[3] = talib.RSI(close, rules.rsi_bars)
    raw, _ = talib.STOCHF(rsi, rsi, rsi, rules.stoch_bars, 1)
    _mean_of_last(raw, rules.stoch_k_bars, out[4])
    _mean_of_last(out[4], rules.stoch_d_bars, out[5])
    out[6], out[7], out[8] = talib.MACD(close, rules.macd_fast_bars, rules.macd_slow_bars, rules.macd_signal_bars)
    out[9] = talib.ATR(high, low, close, rules.atr_bars)
    out[10] = talib.ADX(high, low, close, rules.adx_bars)
    out[11] = talib.PLUS_DI(high, low, close, rules.adx_bars)
    out[12] = talib.MINUS_DI(high, low, close, rules.adx_bars)
    out[13] = out[0] if rules.bollinger_bars == 20 else talib.SMA(close, 20)
    out[14], out[15] = talib.SMA(close, 50), talib.SMA(close, 200)
    out[16], out[17] = talib.EMA(close, 20), talib.EMA(close, 50)
    average = talib.SMA(bars["volume"], rules.volume_bars)
    average[average <= 0] = np.nan
    np.divide(bars["volume"], average, out=out[18])


def _mean_of_last(values: FloatArray, bars: int, out: FloatArray) -> None:
    """Mean of the last `bars` values, summed afresh on each row: a sliding sum would carry rounding along.

    values start with NaN (warm-up), so the rows before `bars` values are NaN without being told.
    """
    out[:] = values
    for lag in range(1, bars):
        out[lag:] += values[:-lag]
    out /= bars
