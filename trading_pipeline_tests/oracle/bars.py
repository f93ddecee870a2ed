"""Bars as plain mappings, and the few phrases the rules are written in."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import pandas as pd

Bar = Mapping[str, float]
Bars = Sequence[Bar]


class History:
    """Each symbol's bars with their starts and ends, oldest first."""

    def __init__(self, frame: pd.DataFrame) -> None:
        numbers = [name for name in frame.columns if pd.api.types.is_float_dtype(frame[name])]
        self.bars: dict[str, list[Bar]] = {}
        self.starts: dict[str, list[pd.Timestamp]] = {}
        self.ends: dict[str, list[pd.Timestamp]] = {}
        for symbol, rows in frame.sort_values(["symbol", "start"]).groupby("symbol"):
            columns = [rows[name].tolist() for name in numbers]
            self.bars[str(symbol)] = [dict(zip(numbers, values, strict=True)) for values in zip(*columns, strict=True)]
            self.starts[str(symbol)], self.ends[str(symbol)] = list(rows["start"]), list(rows["end"])

    def count(self, symbol: str, as_of: pd.Timestamp) -> int:
        """How many bars of the symbol ended by as_of."""
        return bisect_right(self.ends.get(symbol, []), as_of)

    def until(self, symbol: str, as_of: pd.Timestamp) -> list[Bar]:
        """The symbol's bars that ended by as_of, oldest first; none when the symbol is unknown."""
        return self.bars.get(symbol, [])[: self.count(symbol, as_of)]


def is_null(value: float) -> bool:
    """NaN stands for null."""
    return math.isnan(value)


def last(bars: Bars, name: str, count: int) -> list[float]:
    """The column's last `count` values, oldest first."""
    return [bar[name] for bar in bars[-count:]]


def lowest(values: Sequence[float]) -> float:
    """The smallest of those that are not null; null when there is none."""
    return min((value for value in values if not is_null(value)), default=math.nan)


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
