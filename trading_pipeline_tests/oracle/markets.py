"""Random markets with what real ones have: thin, flat, late and delisted symbols."""

from __future__ import annotations

import pandas as pd
from hypothesis import Phase

from trading_pipeline.analytics.indicators import IndicatorRules, compute_indicators
from trading_pipeline_tests.random_market import aggregate, random_bars

NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A smaller seed is not a simpler market."""
NAMES = ("FLAT", "GONE", "LATE", "S001", "S002", "S003", "S004", "STILL")


def base_bars(seed: int, sessions: int) -> pd.DataFrame:
    """15-minute bars of NAMES: GONE ends and LATE begins mid-way, FLAT never moves, STILL stops moving."""
    bars = random_bars(seed, NAMES, sessions, missing=0.03)
    days = sorted(bars["session"].unique())
    gone = (bars["symbol"] == "GONE") & (bars["session"] >= days[-3])
    late = (bars["symbol"] == "LATE") & (bars["session"] < days[-8])
    bars = pd.DataFrame(bars[~(gone | late)]).reset_index(drop=True)
    prices = ["open", "high", "low", "close", "vwap"]
    bars.loc[bars["symbol"] == "FLAT", prices] = 25.0
    still = (bars["symbol"] == "STILL") & (bars["session"] >= days[-2])
    bars.loc[still, prices] = float(bars.loc[still, "close"].iloc[0])
    return bars


def indicators(base: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Indicator rows of the base bars rolled up to `timeframe`."""
    bars = base if timeframe == "15min" else aggregate(base, timeframe)
    return compute_indicators(bars, IndicatorRules())
