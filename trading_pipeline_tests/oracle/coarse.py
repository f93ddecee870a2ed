"""The coarse filter, transcribed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trading_pipeline_tests.oracle.bars import (
    Bars,
    band_position,
    first_not_above,
    first_reached,
    last,
    lowest,
    touched_lower_band,
)


@dataclass(frozen=True)
class Coarse:
    """Outcome for one symbol at one instant."""

    rejected: str
    band: bool = False
    stoch: bool = False
    macd: bool = False
    rsi: bool = False
    volume: bool = False
    passed: bool = False
    score: float = 0.0


def screen(bars: Bars, volume_baseline: float) -> Coarse:
    """The filter at the last bar; volume_baseline in shares, NaN when unknown."""
    if len(bars) < 30 or math.isnan(volume_baseline):
        return Coarse("insufficient_history")
    band, stoch, macd, rsi = _band(bars), _stoch(bars), _macd(bars), _rsi(bars)
    volume = bars[-1]["volume"] >= 0.8 * volume_baseline
    passed = band + stoch + macd + rsi >= 3 and volume
    return Coarse("", band, stoch, macd, rsi, volume, passed, score(bars))


def _band(bars: Bars) -> bool:
    return band_position(bars[-1]) <= 0.6 or touched_lower_band(bars)


def _stoch(bars: Bars) -> bool:
    was_low = any(bar["stoch_k"] <= 25 or bar["stoch_d"] <= 25 for bar in bars[-5:])
    k, previous_k = bars[-1]["stoch_k"], bars[-2]["stoch_k"]
    return was_low and k > previous_k and k < 65


def _macd(bars: Bars) -> bool:
    before_previous, previous, now = last(bars, "macd_hist", 3)
    atr = bars[-1]["atr"]
    extended = not (atr > 0 and now / atr < 1.0)
    return before_previous <= previous <= now and not extended


def _rsi(bars: Bars) -> bool:
    return 25 <= bars[-1]["rsi"] <= 65 and bars[-1]["rsi"] >= bars[-2]["rsi"]


def score(bars: Bars) -> float:
    """Preliminary score, 0–100."""
    return _stoch_points(bars) + _macd_points(bars) + _rsi_points(bars) + _band_points(bars)


def _stoch_points(bars: Bars) -> float:
    points = first_not_above(lowest(last(bars, "stoch_k", 5)), [(10, 15), (20, 10), (30, 5)])
    rise = bars[-1]["stoch_k"] - bars[-2]["stoch_k"]
    return points + first_reached(rise, [(10, 15), (5, 10), (2, 5)])


def _macd_points(bars: Bars) -> float:
    before_previous, previous, now = last(bars, "macd_hist", 3)
    points = 0.0
    if now - previous > 0:
        points = 20.0 if previous - before_previous > 0 else 10.0
    if previous <= 0 < now:
        points += 10.0
    return points


def _rsi_points(bars: Bars) -> float:
    rsi = bars[-1]["rsi"]
    points = 0.0
    if 30 <= rsi <= 50:
        points = 10.0
    elif 25 <= rsi <= 55:
        points = 5.0
    return points + first_reached(rsi - bars[-2]["rsi"], [(3, 10), (1, 5)])


def _band_points(bars: Bars) -> float:
    position = band_position(bars[-1])
    if 0.2 <= position <= 0.4:
        return 20.0
    if 0.4 <= position <= 0.5:
        return 15.0
    return 10.0 if position <= 0.2 else 0.0


def time_of_day_baseline(volumes_of_slot: Sequence[float]) -> float:
    """Mean volume of the same bar slot over the 20 sessions before, of those that have the bar; null without any."""
    return sum(volumes_of_slot) / len(volumes_of_slot) if volumes_of_slot else math.nan


def hand_off(screened: Mapping[str, Coarse]) -> list[str]:
    """Top 100 symbols with score ≥ 60 among those that pass."""
    good = [symbol for symbol, outcome in screened.items() if outcome.passed and outcome.score >= 60]
    return sorted(good, key=lambda symbol: (-screened[symbol].score, symbol))[:100]
