"""The market regime, transcribed: plain values in, one verdict out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trading_pipeline_tests.oracle.bars import Bar


def trend_label(bar: Bar) -> str:
    """Trend of one index at one bar. "none" when fewer than 50 bars were there."""
    close, rsi = bar["close"], bar["rsi"]
    sma_20, sma_50, sma_200 = bar["sma_20"], bar["sma_50"], bar["sma_200"]
    if math.isnan(sma_50):
        return "none"
    above_20 = (close - sma_20) / sma_20 * 100
    above_50 = (close - sma_50) / sma_50 * 100
    if sma_20 > sma_50 > sma_200 and above_20 > 2 and rsi > 55:
        return "strong_bull"
    if sma_20 < sma_50 < sma_200 and above_20 < -2 and rsi < 45:
        return "strong_bear"
    if above_50 > 0 and rsi > 50:
        return "bull"
    if -2 <= above_50 <= 2:
        return "neutral"
    if above_50 < 0 and rsi < 50:
        return "bear"
    return "neutral"


def consensus(labels: Sequence[str]) -> str:
    """At least 75 % of the configured indices agree, or they do not."""
    bulls = len([label for label in labels if label in ("bull", "strong_bull")])
    bears = len([label for label in labels if label in ("bear", "strong_bear")])
    if bulls / len(labels) >= 0.75:
        return "bullish"
    if bears / len(labels) >= 0.75:
        return "bearish"
    return "mixed"


def vix_label(level: float) -> str:
    """How volatile the market is."""
    if level < 15:
        return "low"
    if level < 20:
        return "normal"
    if level < 30:
        return "elevated"
    if level < 40:
        return "high"
    return "extreme"


def vix_trend(closes: Sequence[float]) -> str:
    """The last close against the mean of the last five."""
    mean = (closes[-5] + closes[-4] + closes[-3] + closes[-2] + closes[-1]) / 5
    if closes[-1] > mean * 1.05:
        return "rising"
    if closes[-1] < mean * 0.95:
        return "falling"
    return "stable"


def percentile(closes: Sequence[float], sessions: int) -> float:
    """Share of the last closes that are not above the last one, in percent."""
    window = closes[-sessions:]
    return 100 * len([close for close in window if close <= closes[-1]]) / len(window)


def pearson(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Correlation coefficient."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    cov = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return cov / math.sqrt(sum((x - mean_x) ** 2 for x in xs) * sum((y - mean_y) ** 2 for y in ys))


def mean_correlation(closes: Mapping[str, Sequence[float]]) -> float:
    """Mean pairwise correlation of the last 20 daily returns."""
    returns = {name: [c[i] / c[i - 1] - 1 for i in range(len(c) - 20, len(c))] for name, c in closes.items()}
    names = sorted(returns)
    found = [pearson(returns[a], returns[b]) for i, a in enumerate(names) for b in names[i + 1 :]]
    return sum(found) / len(found)


@dataclass(frozen=True)
class Breadth:
    """Counts and ratios over the universe."""

    advances: int
    declines: int
    ad_ratio: float
    new_highs: int
    new_lows: int
    nh_nl_ratio: float
    label: str


def breadth(history: Mapping[str, Sequence[Bar]], prices: Mapping[str, float]) -> Breadth:
    """Symbols against their own daily bars before the price, oldest first, the last of the previous session."""
    advances = declines = new_highs = new_lows = 0
    for symbol, price in prices.items():
        bars = history.get(symbol, [])
        if not bars:
            continue
        if price > bars[-1]["close"]:
            advances += 1
        elif price < bars[-1]["close"]:
            declines += 1
        if len(bars) >= 60:
            new_highs += price > max(bar["high"] for bar in bars[-252:])
            new_lows += price < min(bar["low"] for bar in bars[-252:])
    ad_ratio = advances / max(declines, 1)
    nh_nl_ratio = 1.0 if new_highs == 0 and new_lows == 0 else new_highs / max(new_lows, 1)
    label = breadth_label(ad_ratio, nh_nl_ratio)
    return Breadth(advances, declines, ad_ratio, new_highs, new_lows, nh_nl_ratio, label)


def breadth_label(ad_ratio: float, nh_nl_ratio: float) -> str:
    """How broad the market's move is."""
    if ad_ratio > 2 and nh_nl_ratio > 2:
        return "strong"
    if ad_ratio > 1.2 and nh_nl_ratio > 1:
        return "moderate"
    if ad_ratio > 0.8:
        return "weak"
    return "negative"


@dataclass(frozen=True)
class Verdict:
    """Favorability and what follows from it."""

    trend_points: float
    volatility_points: float
    breadth_points: float
    correlation_points: float
    score: float
    regime_class: str
    size_multiplier: float
    positions_allowed: int
    only_a_plus: bool


def favorability(trend: str, volatility: str, breadth_name: str, correlation: float) -> Verdict:
    """The four parts, their sum, the class, the multiplier, the positions."""
    trend_points = {"bullish": 30, "mixed": 15, "bearish": 0}[trend]
    volatility_points = {"low": 25, "normal": 20, "elevated": 10, "high": 5, "extreme": 0}[volatility]
    breadth_points = {"strong": 25, "moderate": 15, "weak": 8, "negative": 0}[breadth_name]
    correlation_points = 5
    if 0.3 <= correlation <= 0.8:
        correlation_points = 12
    if 0.5 <= correlation <= 0.7:
        correlation_points = 20
    score = trend_points + volatility_points + breadth_points + correlation_points
    direction = {"bullish": "BULL", "bearish": "BEAR", "mixed": "NEUTRAL"}[trend]
    regime_class = f"{direction}_{'LOW_VOL' if volatility in ('low', 'normal') else 'HIGH_VOL'}"
    multiplier, positions = consequences(score)
    return Verdict(
        trend_points,
        volatility_points,
        breadth_points,
        correlation_points,
        score,
        regime_class,
        multiplier,
        positions,
        score < 40,
    )


def consequences(score: float) -> tuple[float, int]:
    """Size multiplier and positions allowed."""
    if score >= 70:
        return 1.5, 8
    if score >= 50:
        return 1.0, 5
    if score >= 30:
        return 0.75, 3
    return 0.5, 1
