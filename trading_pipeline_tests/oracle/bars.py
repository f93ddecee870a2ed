"""Bars as plain mappings, and the few phrases the rules are written in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

Bar = Mapping[str, float]
Bars = Sequence[Bar]


def bars_until(frame: pd.DataFrame, symbol: str, as_of: pd.Timestamp) -> list[Bar]:
    """The symbol's rows that ended by as_of, oldest first, numbers only."""
    rows = frame[(frame["symbol"] == symbol) & (frame["end"] <= as_of)].sort_values("start")
    numbers = [name for name in rows.columns if pd.api.types.is_float_dtype(rows[name])]
    return [{str(name): float(row[name]) for name in numbers} for row in rows[numbers].to_dict("records")]


def is_null(value: float) -> bool:
    """NaN stands for null."""
    return math.isnan(value)


def last(bars: Bars, name: str, count: int) -> list[float]:
    """The column's last `count` values, oldest first."""
    return [bar[name] for bar in bars[-count:]]


def lowest(values: Sequence[float]) -> float:
    """The smallest; null when any is null or there is none."""
    return math.nan if not values or any(is_null(value) for value in values) else min(values)


def band_position(bar: Bar) -> float:
    """(close − lower) / (upper − lower); null for a flat band."""
    width = bar["bb_upper"] - bar["bb_lower"]
    return (bar["close"] - bar["bb_lower"]) / width if width > 0 else math.nan


def touched_lower_band(bars: Bars) -> bool:
    """One of the last 5 closes is at most 2 % above its lower band."""
    return any(bar["close"] <= bar["bb_lower"] * 1.02 for bar in bars[-5:])


def crosses_up(previous: Bar, bar: Bar) -> bool:
    """K crosses above D on this bar."""
    return previous["stoch_k"] <= previous["stoch_d"] and bar["stoch_k"] > bar["stoch_d"]


def first_reached(value: float, steps: Sequence[tuple[float, float]]) -> float:
    """Points of the first step with value ≥ bound, else 0."""
    for bound, points in steps:
        if value >= bound:
            return points
    return 0.0


def first_not_above(value: float, steps: Sequence[tuple[float, float]]) -> float:
    """Points of the first step with value ≤ bound, else 0."""
    for bound, points in steps:
        if value <= bound:
            return points
    return 0.0
