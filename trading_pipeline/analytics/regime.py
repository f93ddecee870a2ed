"""Market regime: is this a market to trade in, and how large? An unknown market is a hostile market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd

from trading_pipeline.analytics import breadth as market
from trading_pipeline.analytics import regime_inputs as inputs
from trading_pipeline.analytics.breadth import Breadth
from trading_pipeline.analytics.regime_inputs import Correlation, IndexTrend, Volatility
from trading_pipeline.analytics.regime_report import describe, recommendations
from trading_pipeline.analytics.regime_rules import RegimeRules
from trading_pipeline.analytics.schemas import SESSION_NS, UTC_NS, require_columns
from trading_pipeline.domain.errors import FrameContractError, NaiveDatetimeError

__all__ = ["REGIME_COLUMNS", "RegimeRules", "describe", "score_regime"]

REGIME_COLUMNS = (
    "as_of",
    "session",
    "regime_class",
    "score",
    "trend_points",
    "volatility_points",
    "breadth_points",
    "correlation_points",
    "trend",
    "size_multiplier",
    "positions_allowed",
    "only_a_plus",
    "missing",
    "details",
)
TRENDS = ("bullish", "mixed", "bearish")
DTYPES = {"symbol": "str", "session": SESSION_NS, "end": UTC_NS, "as_of": UTC_NS}
TREND_COLUMNS = ("symbol", "session", "end", "close", "sma_20", "sma_50", "sma_200", "rsi")


def score_regime(
    *,
    as_of: Sequence[pd.Timestamp],
    indices_4h: pd.DataFrame,
    indices_1d: pd.DataFrame,
    vix_1d: pd.DataFrame,
    universe_1d: pd.DataFrame,
    last_prices: pd.DataFrame,
    session: date,
    rules: RegimeRules,
    previous_session: date | None = None,
    opens_at: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """One row per instant of `session`, in the given order: REGIME_COLUMNS.

    as_of: aware instants. indices_4h, indices_1d: indicator rows (TREND_COLUMNS) of the index symbols; vix_1d: daily
    bars of VIX (symbol optional); universe_1d, last_prices, opens_at: see breadth.market_breadth.
    previous_session: from the calendar; None takes the newest session before `session` found in any of the frames,
    which cannot notice that all of them stopped. Nothing that ends, or is known, after an instant influences its row.
    A missing input lowers its component to the worst case and is named in `missing` with what it cost. details: a
    plain dict that json.dumps takes. score 0–100.
    Raises FrameContractError for a lacking column or doubled rows, NaiveDatetimeError for an instant without a zone.
    Source: strategy specification, market regime.
    """
    if any(instant.tzinfo is None for instant in as_of):
        raise NaiveDatetimeError("as_of")
    indices_4h = _rows(indices_4h, TREND_COLUMNS, "4h index", ("symbol", "end"))
    indices_1d = _rows(indices_1d, TREND_COLUMNS, "1d index", ("symbol", "session"))
    universe_1d = _rows(
        universe_1d, ("symbol", "session", "high", "low", "close"), "universe 1d", ("symbol", "session")
    )
    last_prices = _rows(last_prices, ("as_of", "symbol", "price"), "last price", ("as_of", "symbol"))
    vix = _vix_bars(vix_1d, rules)
    by_4h, by_1d = _by_symbol(indices_4h), _by_symbol(indices_1d)
    frames = (indices_4h, indices_1d, vix, universe_1d)
    previous = previous_session or _newest_before(session, frames)
    breadths = market.market_breadth(
        as_of, universe_1d, last_prices, session, rules, previous_session=previous, opens_at=opens_at
    )
    rows = []
    for instant, breadth in zip(as_of, breadths, strict=True):
        reading = _Reading(
            trends_4h=_trends(by_4h, instant, rules, previous),
            trends_1d=_trends(by_1d, instant, rules, previous),
            volatility=inputs.volatility(vix, instant, rules, oldest_session=previous),
            breadth=breadth,
            correlation=inputs.correlation(indices_1d, instant, rules, oldest_session=previous),
        )
        rows.append({"as_of": instant, "session": pd.Timestamp(session), **_row(reading, rules)})
    return pd.DataFrame(rows, columns=list(REGIME_COLUMNS))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """All that was read at one instant."""

    trends_4h: Sequence[IndexTrend]
    trends_1d: Sequence[IndexTrend]
    volatility: Volatility
    breadth: Breadth
    correlation: Correlation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One component of the score and what was missing for it."""

    label: str
    points: float
    missing: tuple[str, ...] = ()


def _rows(frame: pd.DataFrame, columns: Sequence[str], what: str, key: Sequence[str]) -> pd.DataFrame:
    """The frame with its columns checked; a frame without rows is an absent input and gets typed columns."""
    if frame.empty:
        return pd.DataFrame({column: pd.Series(dtype=DTYPES.get(column, "float64")) for column in columns})
    require_columns(frame, columns, what)
    if doubled := int(frame.duplicated(list(key)).sum()):
        raise FrameContractError(f"{doubled} {what} rows are duplicates by {' and '.join(key)}; pass one row each")
    return frame


def _by_symbol(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(symbol): rows for symbol, rows in frame.sort_values("end", kind="stable").groupby("symbol")}


def _vix_bars(vix_1d: pd.DataFrame, rules: RegimeRules) -> pd.DataFrame:
    rows = vix_1d[vix_1d["symbol"] == rules.vix_symbol] if "symbol" in vix_1d.columns else vix_1d
    return _rows(rows, ("session", "end", "close"), "VIX 1d", ("session",)).sort_values("end")


def _newest_before(session: date, frames: Sequence[pd.DataFrame]) -> date | None:
    limit = pd.Timestamp(session)
    newest = [frame.loc[frame["session"] < limit, "session"].max() for frame in frames]
    return max((found.date() for found in newest if isinstance(found, pd.Timestamp)), default=None)


def _trends(
    bars: Mapping[str, pd.DataFrame], instant: pd.Timestamp, rules: RegimeRules, previous: date | None
) -> list[IndexTrend]:
    return [
        inputs.index_trend(symbol, bars[symbol], instant, rules, oldest_session=previous)
        if symbol in bars
        else IndexTrend(symbol=symbol, unreadable="no bars")
        for symbol in rules.trend_indices
    ]


def _row(reading: _Reading, rules: RegimeRules) -> dict[str, object]:
    trend = _trend_part(reading.trends_4h, rules)
    volatility = _volatility_part(reading.volatility, rules)
    breadth = _breadth_part(reading.breadth, rules)
    correlation = _correlation_part(reading.correlation, rules)
    parts = (trend, volatility, breadth, correlation)
    score = sum(part.points for part in parts)
    level = sum(score < floor for floor in rules.score_levels)
    result: dict[str, object] = {
        "regime_class": _regime_class(trend, volatility),
        "score": float(score),
        "trend_points": float(trend.points),
        "volatility_points": float(volatility.points),
        "breadth_points": float(breadth.points),
        "correlation_points": float(correlation.points),
        "trend": trend.label,
        "size_multiplier": rules.size_multipliers[level],
        "positions_allowed": rules.positions_allowed[level],
        "only_a_plus": score < rules.only_a_plus_below_score,
        "missing": [name for part in parts for name in part.missing],
    }
    details = _details(reading, rules)
    return {**result, "details": {**details, "recommendations": recommendations(result, details)}}


def _regime_class(trend: _Part, volatility: _Part) -> str:
    direction = {"bullish": "BULL", "bearish": "BEAR"}.get(trend.label, "NEUTRAL")
    return f"{direction}_{'LOW_VOL' if volatility.label in ('low', 'normal') else 'HIGH_VOL'}"


def _trend_part(trends: Sequence[IndexTrend], rules: RegimeRules) -> _Part:
    """Consensus of the 4h labels. Stale bars, or no readable index at all, make it the worst case.

    An index without bars, or with too few, counts for neither side.
    """
    worst = min(rules.trend_points)
    stale = [trend for trend in trends if trend.is_stale]
    unreadable = [trend for trend in trends if trend.unreadable]
    if stale or len(unreadable) == len(trends):
        cost = f"trend scored as bearish, {worst:g} of {max(rules.trend_points):g} points"
        names = tuple(f"4h bars of {t.symbol}: {t.unreadable}; {cost}" for t in unreadable)
        return _Part(label="bearish", points=worst, missing=names)
    label = _consensus(trends, rules)
    points = dict(zip(TRENDS, rules.trend_points, strict=True))[label]
    cost = "the index counts for neither side"
    return _Part(
        label=label,
        points=points,
        missing=tuple(f"4h bars of {t.symbol}: {t.unreadable}; {cost}" for t in unreadable),
    )


def _consensus(trends: Sequence[IndexTrend], rules: RegimeRules) -> str:
    labels = [trend.label for trend in trends]
    if sum(label in ("bull", "strong_bull") for label in labels) >= rules.consensus_count:
        return "bullish"
    return "bearish" if sum(label in ("bear", "strong_bear") for label in labels) >= rules.consensus_count else "mixed"


def _volatility_part(reading: Volatility, rules: RegimeRules) -> _Part:
    if reading.unusable:
        return _worst("volatility", rules.vix_symbol, reading.unusable, rules.volatility_points)
    points = dict(zip(inputs.VIX_LABELS, rules.volatility_points, strict=True))[reading.label]
    return _Part(label=reading.label, points=points)


def _breadth_part(reading: Breadth, rules: RegimeRules) -> _Part:
    if reading.unusable:
        return _worst("breadth", "universe bars", reading.unusable, rules.breadth_points)
    points = dict(zip(market.LABELS, rules.breadth_points, strict=True))[reading.label]
    return _Part(label=reading.label, points=points)


def _correlation_part(reading: Correlation, rules: RegimeRules) -> _Part:
    if reading.mean is None:
        symbols = ", ".join(rules.correlation_symbols)
        return _worst("correlation", f"correlation of {symbols}", reading.unusable, rules.correlation_points)
    best, fair, other = rules.correlation_points
    if rules.correlation_best[0] <= reading.mean <= rules.correlation_best[1]:
        return _Part(label="best", points=best)
    is_fair = rules.correlation_fair[0] <= reading.mean <= rules.correlation_fair[1]
    return _Part(label="fair", points=fair) if is_fair else _Part(label="other", points=other)


def _worst(component: str, what: str, why: str, points: Sequence[float]) -> _Part:
    cost = f"{component} scored as the worst case, {min(points):g} of {max(points):g} points"
    return _Part(label=inputs.UNKNOWN, points=min(points), missing=(f"{what}: {why}; {cost}",))


def _details(reading: _Reading, rules: RegimeRules) -> dict[str, Any]:
    """All that was read, as plain values, with a note where less history than asked for was there."""
    volatility, breadth = asdict(reading.volatility), asdict(reading.breadth)
    volatility["session"] = reading.volatility.session.isoformat() if reading.volatility.session else None
    return {
        "trends_4h": {trend.symbol: _trend_details(trend) for trend in reading.trends_4h},
        "trends_1d": {trend.symbol: _trend_details(trend) for trend in reading.trends_1d},
        "vix": volatility,
        "breadth": breadth,
        "correlation": asdict(reading.correlation),
        "notes": _notes(reading, rules),
    }


def _trend_details(trend: IndexTrend) -> dict[str, object]:
    plain = asdict(trend)
    return {**plain, "bar_end": trend.bar_end.isoformat() if trend.bar_end is not None else None}


def _notes(reading: _Reading, rules: RegimeRules) -> list[str]:
    notes = []
    for timeframe, trends in (("4h", reading.trends_4h), ("1d", reading.trends_1d)):
        short = [t.symbol for t in trends if not t.unreadable and not t.strong_available]
        if short:
            notes.append(f"fewer than 200 {timeframe} bars of {', '.join(short)}: strong trends unavailable")
    notes += [f"1d bars of {t.symbol}: {t.unreadable}; recorded only" for t in reading.trends_1d if t.unreadable]
    if reading.breadth.sessions < rules.breadth_sessions:
        have = f"{reading.breadth.sessions} of {rules.breadth_sessions}"
        notes.append(f"new highs and lows over {have} sessions")
    return notes
