"""Every threshold of the market regime, with its unit."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RegimeRules(BaseModel):
    """How trend, volatility, breadth and correlation become a score from 0 to 100 and what follows from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trend_indices: tuple[str, ...] = Field(default=("SPY", "QQQ", "IWM", "DIA"), min_length=1)
    strong_distance_percent: float = Field(
        default=2.0, ge=0, description="distance from sma_20 that makes a trend strong"
    )
    strong_bull_above_rsi: float = Field(default=55.0, ge=50, le=100)
    strong_bear_below_rsi: float = Field(default=45.0, ge=0, le=50)
    middle_rsi: float = Field(default=50.0, ge=0, le=100)
    neutral_distance_percent: float = Field(default=2.0, ge=0, description="band around sma_50 that is neutral")
    consensus_fraction: float = Field(default=0.75, gt=0.5, le=1, description="share of the indices that must agree")

    vix_symbol: str = "VIX"
    vix_known_minutes_after_close: int = Field(default=15, ge=0, description="when a daily VIX close is known")
    vix_levels: tuple[float, float, float, float] = Field(
        default=(15.0, 20.0, 30.0, 40.0), description="where normal, elevated, high and extreme begin"
    )
    vix_trend_bars: int = Field(default=5, ge=1)
    vix_trend_fraction: float = Field(default=0.05, ge=0, description="distance from the mean that is a trend")
    vix_percentile_sessions: tuple[int, ...] = (30, 90)

    correlation_symbols: tuple[str, ...] = Field(default=("SPY", "QQQ", "IWM"), min_length=2)
    correlation_returns: int = Field(default=20, ge=3, description="daily returns per symbol")
    correlation_best: tuple[float, float] = Field(default=(0.5, 0.7), description="both ends included")
    correlation_fair: tuple[float, float] = Field(default=(0.3, 0.8), description="both ends included")

    breadth_sessions: int = Field(default=252, ge=1, description="window of new highs and lows")
    breadth_min_sessions: int = Field(default=60, ge=1, description="bars a symbol needs to have a new high or low")
    breadth_min_coverage_fraction: float = Field(
        default=0.5, ge=0, le=1, description="symbols with a price, of those with a bar in the previous session"
    )
    breadth_strong: tuple[float, float] = Field(default=(2.0, 2.0), description="A/D and NH/NL above these")
    breadth_moderate: tuple[float, float] = Field(default=(1.2, 1.0), description="A/D and NH/NL above these")
    breadth_weak: float = Field(default=0.8, ge=0, description="A/D above this")

    trend_points: tuple[float, float, float] = Field(default=(30, 15, 0), description="bullish, mixed, bearish")
    volatility_points: tuple[float, float, float, float, float] = Field(
        default=(25, 20, 10, 5, 0), description="low, normal, elevated, high, extreme"
    )
    breadth_points: tuple[float, float, float, float] = Field(
        default=(25, 15, 8, 0), description="strong, moderate, weak, negative"
    )
    correlation_points: tuple[float, float, float] = Field(default=(20, 12, 5), description="best, fair, else")

    score_levels: tuple[float, float, float] = Field(
        default=(70, 50, 30), description="descending; each level included"
    )
    size_multipliers: tuple[float, float, float, float] = (1.5, 1.0, 0.75, 0.5)
    positions_allowed: tuple[int, int, int, int] = (8, 5, 3, 1)
    only_a_plus_below_score: float = Field(default=40, ge=0, le=100)

    @property
    def consensus_count(self) -> int:
        """Indices that must agree: the fraction of the configured ones, rounded up."""
        return math.ceil(self.consensus_fraction * len(self.trend_indices) - 1e-9)

    @model_validator(mode="after")
    def _orders_hold(self) -> Self:
        if any(low >= high for low, high in pairwise(self.vix_levels)):
            raise ValueError("vix_levels must ascend")
        if any(high <= low for high, low in pairwise(self.score_levels)):
            raise ValueError("score_levels must descend")
        if self.breadth_min_sessions > self.breadth_sessions:
            raise ValueError("breadth_min_sessions must not exceed breadth_sessions")
        for name in ("trend_indices", "correlation_symbols"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} names a symbol twice")
        for low, high in (self.correlation_best, self.correlation_fair):
            if low > high:
                raise ValueError("a correlation band must ascend")
        return self
