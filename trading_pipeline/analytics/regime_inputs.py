"""What the indices and VIX say at one instant: trend labels, volatility level, correlation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations

import numpy as np
import pandas as pd

from trading_pipeline.analytics.regime_rules import RegimeRules

VIX_LABELS = ("low", "normal", "elevated", "high", "extreme")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexTrend:
    """Trend of one index on one timeframe. `unreadable` says why there is no label, "" when there is one.

    Distances are in percent of the moving average; None where the average is not there yet. `is_stale` tells bars
    that stopped arriving from bars that never were.
    """

    symbol: str
    label: str = UNKNOWN
    unreadable: str = ""
    is_stale: bool = False
    bar_end: pd.Timestamp | None = None
    rsi: float | None = None
    distances_percent: Mapping[str, float | None] = field(default_factory=dict)
    strong_available: bool = False


def index_trend(
    symbol: str, bars: pd.DataFrame, as_of: pd.Timestamp, rules: RegimeRules, *, oldest_session: date | None
) -> IndexTrend:
    """Label the trend of `symbol` at its last bar with end ≤ as_of.

    bars: indicator rows of this symbol, ascending by end (session, end, close, sma_20, sma_50, sma_200, rsi).
    oldest_session: a last bar of an earlier session is stale. A null sma_50 (fewer than 50 bars) gives no label, a
    null sma_200 (fewer than 200) no strong one. Leftovers of the rules (above sma_50 with a weak rsi, or below it
    with a strong one) are neutral. Source: strategy specification, market regime.
    """
    known = bars[bars["end"] <= as_of]
    if known.empty:
        return IndexTrend(symbol=symbol, unreadable="no bars")
    last = known.iloc[-1]
    if oldest_session is None or last["session"] < pd.Timestamp(oldest_session):
        why = f"last bar is of {last['session']:%Y-%m-%d}"
        return IndexTrend(symbol=symbol, unreadable=why, is_stale=True, bar_end=last["end"])
    close, rsi = float(last["close"]), float(last["rsi"])
    means = {name: float(last[name]) for name in ("sma_20", "sma_50", "sma_200")}
    needed = (close, rsi, means["sma_20"], means["sma_50"])
    if not all(math.isfinite(value) for value in needed) or min(close, means["sma_20"], means["sma_50"]) <= 0:
        return IndexTrend(symbol=symbol, unreadable="fewer than 50 bars", bar_end=last["end"])
    return IndexTrend(
        symbol=symbol,
        label=trend_label(close, rsi, means["sma_20"], means["sma_50"], means["sma_200"], rules),
        bar_end=last["end"],
        rsi=rsi,
        distances_percent={name: distance_percent(close, mean) for name, mean in means.items()},
        strong_available=math.isfinite(means["sma_200"]),
    )


def distance_percent(close: float, mean: float) -> float | None:
    """How far `close` is above (+) or below (−) `mean`, in percent of it; None for a mean not finite and above 0."""
    return (close / mean - 1) * 100 if math.isfinite(mean) and mean > 0 else None


def trend_label(close: float, rsi: float, sma_20: float, sma_50: float, sma_200: float, rules: RegimeRules) -> str:
    """strong_bull, bull, neutral, bear or strong_bear; strong_bear mirrors strong_bull. sma_200 may be NaN.

    Prices in USD, rsi 0–100. Source: strategy specification, market regime.
    """
    from_20, from_50 = (close / sma_20 - 1) * 100, (close / sma_50 - 1) * 100
    strong = rules.strong_distance_percent
    if sma_20 > sma_50 > sma_200 and from_20 > strong and rsi > rules.strong_bull_above_rsi:
        return "strong_bull"
    if sma_20 < sma_50 < sma_200 and from_20 < -strong and rsi < rules.strong_bear_below_rsi:
        return "strong_bear"
    if close > sma_50 and rsi > rules.middle_rsi:
        return "bull"
    if abs(from_50) <= rules.neutral_distance_percent:
        return "neutral"
    return "bear" if close < sma_50 and rsi < rules.middle_rsi else "neutral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volatility:
    """VIX at its last known close. `unusable` says why it cannot be scored, "" when it can."""

    label: str = UNKNOWN
    unusable: str = ""
    level: float | None = None
    session: date | None = None
    trend: str | None = None
    percentiles: Mapping[str, float | None] = field(default_factory=dict)


def volatility(
    vix_1d: pd.DataFrame, as_of: pd.Timestamp, rules: RegimeRules, *, oldest_session: date | None
) -> Volatility:
    """VIX level, trend and percentiles from the closes known at as_of.

    vix_1d: daily bars of VIX ascending by end (session, end = session close, close in index points). A close is
    known `vix_known_minutes_after_close` after its end; one not finite and above zero counts as absent. A newest
    known close of a session before `oldest_session` is unusable. trend: against the mean of the last 5 closes, this
    one included; percentile: share (in %) of the last 30 or 90 closes, this one included, not above it; each None
    with fewer closes. Source: strategy specification, market regime.
    """
    known_at = vix_1d["end"] + pd.Timedelta(minutes=rules.vix_known_minutes_after_close)
    usable = np.isfinite(vix_1d["close"]) & (vix_1d["close"] > 0)
    known = vix_1d[(known_at <= as_of) & usable]
    if known.empty:
        return Volatility(unusable="no close")
    last_session = known["session"].iloc[-1]
    if oldest_session is None or last_session < pd.Timestamp(oldest_session):
        return Volatility(unusable=f"last close is of {last_session:%Y-%m-%d}")
    closes = known["close"].to_numpy(np.float64)
    level = float(closes[-1])
    return Volatility(
        label=VIX_LABELS[sum(level >= begins for begins in rules.vix_levels)],
        level=level,
        session=last_session.date(),
        trend=_vix_trend(closes, rules),
        percentiles={str(n): _percentile(closes, n) for n in rules.vix_percentile_sessions},
    )


def _vix_trend(closes: np.ndarray, rules: RegimeRules) -> str | None:
    if len(closes) < rules.vix_trend_bars:
        return None
    mean, level = float(closes[-rules.vix_trend_bars :].mean()), float(closes[-1])
    if level > mean * (1 + rules.vix_trend_fraction):
        return "rising"
    return "falling" if level < mean * (1 - rules.vix_trend_fraction) else "stable"


def _percentile(closes: np.ndarray, sessions: int) -> float | None:
    if len(closes) < sessions:
        return None
    return float((closes[-sessions:] <= closes[-1]).mean() * 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Mean pairwise correlation of the indices' daily returns, and each pair's. `unusable`: why not, else ""."""

    mean: float | None = None
    unusable: str = ""
    pairs: Mapping[str, float] = field(default_factory=dict)


def correlation(
    indices_1d: pd.DataFrame, as_of: pd.Timestamp, rules: RegimeRules, *, oldest_session: date | None
) -> Correlation:
    """Mean pairwise Pearson correlation of the last 20 daily returns of the configured symbols.

    indices_1d: daily rows (symbol, session, end, close in USD) with one row per symbol and session; only rows with
    end ≤ as_of are read. Returns run between consecutive sessions on which all the symbols have a usable close.
    Unusable when a symbol has none, returns are fewer, the last session is stale, or prices do not move.
    Source: strategy specification, market regime.
    """
    symbols = rules.correlation_symbols
    rows = indices_1d[(indices_1d["end"] <= as_of) & indices_1d["symbol"].isin(symbols)]
    rows = rows[np.isfinite(rows["close"]) & (rows["close"] > 0)]
    if absent := [symbol for symbol in symbols if symbol not in set(rows["symbol"])]:
        return Correlation(unusable=f"no daily bars of {', '.join(absent)}")
    table = rows.pivot_table(index="session", columns="symbol", values="close", aggfunc="first")
    closes = table[list(symbols)].dropna()
    if oldest_session is None or closes.empty or closes.index[-1] < pd.Timestamp(oldest_session):
        return Correlation(unusable="no daily bars of the previous session for all symbols")
    returns = closes.to_numpy()[1:] / closes.to_numpy()[:-1] - 1
    if len(returns) < rules.correlation_returns:
        return Correlation(unusable=f"{len(returns)} of {rules.correlation_returns} daily returns")
    return _mean_pairwise(returns[-rules.correlation_returns :], symbols)


def _mean_pairwise(returns: np.ndarray, symbols: Sequence[str]) -> Correlation:
    centred = returns - returns.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    if not (spread > 0).all():
        return Correlation(unusable="prices of an index do not move")
    matrix = (centred.T @ centred) / np.outer(spread, spread)
    pairs = {f"{symbols[i]}-{symbols[j]}": float(matrix[i, j]) for i, j in combinations(range(len(symbols)), 2)}
    return Correlation(mean=sum(pairs.values()) / len(pairs), pairs=pairs)
