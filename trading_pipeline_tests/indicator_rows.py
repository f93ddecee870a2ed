"""Indicator frames written by hand: a calm symbol, and what a test changes about it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from trading_pipeline.analytics.indicators import INDICATOR_COLUMNS
from trading_pipeline.analytics.schemas import BAR_COLUMNS
from trading_pipeline_tests.random_market import BARS_PER_SESSION, MINUTES, OPENS_AT, sessions_from

CALM = {
    "open": 100.0,
    "high": 101.0,
    "low": 99.0,
    "close": 100.0,
    "volume": 1000.0,
    "vwap": 100.0,
    "trade_count": 10.0,
    "bb_mid": 101.0,
    "bb_upper": 103.0,
    "bb_lower": 92.0,
    "rsi": 70.0,
    "stoch_k": 70.0,
    "stoch_d": 70.0,
    "macd": 0.0,
    "macd_signal": 0.0,
    "macd_hist": -5.0,
    "atr": 1.0,
    "adx": 20.0,
    "plus_di": 20.0,
    "minus_di": 20.0,
    "sma_20": 101.0,
    "sma_50": 101.0,
    "sma_200": 101.0,
    "ema_20": 101.0,
    "ema_50": 101.0,
    "volume_ratio": 0.5,
}
"""A symbol in which little holds: high in its band, not oversold, macd_hist flat below zero."""

BARS_OF_DAY = {"15min": BARS_PER_SESSION, "1h": 7, "4h": 2}
Changes = Mapping[str, "list[float] | float"]


def calm(timeframe: str, bars: int, changes: Changes | None = None, *, symbol: str = "AAA") -> pd.DataFrame:
    """`bars` calm bars from the first session on; a changed column gets a constant, or its last values."""
    of_day, minutes = BARS_OF_DAY[timeframe], MINUTES[timeframe]
    days = sessions_from("2025-01-06", bars // of_day + 1)
    session = days.repeat(of_day)[:bars]
    slot = pd.Series(range(bars)) % of_day
    opens = (session + OPENS_AT).tz_localize("UTC")
    start = opens + pd.TimedeltaIndex(pd.to_timedelta(slot * minutes, unit="m").to_numpy())
    end = pd.DatetimeIndex(
        [min(s + pd.Timedelta(minutes=minutes), o + pd.Timedelta("6h30min")) for s, o in zip(start, opens, strict=True)]
    )
    frame = pd.DataFrame({"symbol": symbol, "session": session, "start": start, "end": end, **CALM})
    for column, values in (changes or {}).items():
        if isinstance(values, list):
            frame.loc[bars - len(values) :, column] = values
        else:
            frame[column] = values
    return frame[[*BAR_COLUMNS, *INDICATOR_COLUMNS]]
