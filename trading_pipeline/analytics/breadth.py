"""How many symbols rise, fall, make new highs and new lows: market breadth, from bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_pipeline.analytics.regime_rules import RegimeRules
from trading_pipeline.analytics.schemas import require_columns
from trading_pipeline.domain.errors import FrameContractError

FloatArray = npt.NDArray[np.float64]
LABELS = ("strong", "moderate", "weak", "negative")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breadth:
    """Breadth at one instant. `unusable` says why it cannot be scored, "" when it can.

    basis: "last_price" (against the previous session's close) or "previous_session" (D−1 against D−2).
    sessions: sessions in the window of highs and lows, fewer than 252 when history is short.
    high_low_symbols: symbols with enough bars for a new high or low.
    """

    label: str
    unusable: str
    basis: str
    symbols: int
    advances: int
    declines: int
    ad_ratio: float
    new_highs: int
    new_lows: int
    nh_nl_ratio: float
    high_low_symbols: int
    sessions: int


@dataclass(frozen=True, slots=True)
class _Levels:
    """What a price is compared with, per symbol: the close before, the highest high and lowest low of the window."""

    close: FloatArray
    highest: FloatArray
    lowest: FloatArray
    sessions: int


def market_breadth(
    as_of: Sequence[pd.Timestamp],
    universe_1d: pd.DataFrame,
    last_prices: pd.DataFrame,
    session: date,
    rules: RegimeRules,
    *,
    previous_session: date | None,
    opens_at: pd.Timestamp | None = None,
) -> list[Breadth]:
    """Breadth at each instant of `session`, in one pass over all symbols.

    universe_1d: daily bars (symbol, session, high, low, close in USD); sessions from `session` on are not read.
    last_prices: (as_of, symbol, price in USD); only rows with a listed as_of are read. An as_of without any row is
    pre-market: the previous session's closes are compared with those of the session before it. After `opens_at`, or
    after an earlier as_of with rows, an as_of without rows is unusable. Prices that are not finite and above zero
    count as absent. A symbol counts when both prices it needs are there; an unchanged one is neither.
    A new high is a price above the highest high of the window before it, a new low one below the lowest low.
    Raises FrameContractError for a lacking column or a doubled row. Source: strategy specification, market regime.
    """
    highs, lows, closes = _matrices(universe_1d, session)
    prices = _price_matrix(last_prices, as_of, closes.columns)
    stale = previous_session is None or closes.empty or closes.index[-1] < pd.Timestamp(previous_session)
    live = _levels(highs, lows, closes, len(closes), rules)
    earlier = _levels(highs, lows, closes, len(closes) - 1, rules)
    result, traded = [], False
    for instant, price in zip(as_of, prices, strict=True):
        priced = bool(np.isfinite(price).any())
        traded = traded or priced or (opens_at is not None and instant > opens_at)
        if stale:
            result.append(_unusable("no daily bars of the previous session", live, traded))
        elif traded:
            result.append(_breadth(price, live, rules, "last_price"))
        else:
            result.append(_breadth(closes.to_numpy()[-1], earlier, rules, "previous_session"))
    return result


def _matrices(universe_1d: pd.DataFrame, session: date) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Highs, lows and closes as session × symbol, NaN where a bar is absent or any of its prices is unusable."""
    require_columns(universe_1d, ("symbol", "session", "high", "low", "close"), "universe daily bar")
    bars = universe_1d.loc[universe_1d["session"] < pd.Timestamp(session)]
    _refuse_duplicates(bars, ["symbol", "session"], "daily bars")
    values = bars[["high", "low", "close"]].to_numpy(np.float64)
    good = bars[(np.isfinite(values) & (values > 0)).all(axis=1)]
    highs, lows, closes = (_by_session(good, column) for column in ("high", "low", "close"))
    return highs, lows, closes


def _by_session(bars: pd.DataFrame, column: str) -> pd.DataFrame:
    return bars.pivot_table(index="session", columns="symbol", values=column, aggfunc="first")


def _price_matrix(last_prices: pd.DataFrame, as_of: Sequence[pd.Timestamp], symbols: pd.Index) -> FloatArray:
    require_columns(last_prices, ("as_of", "symbol", "price"), "last price")
    asked = last_prices.loc[last_prices["as_of"].isin(list(as_of)), ["as_of", "symbol", "price"]]
    _refuse_duplicates(asked, ["as_of", "symbol"], "last prices")
    if asked.empty:
        return np.full((len(as_of), len(symbols)), np.nan)
    table = asked.pivot_table(index="as_of", columns="symbol", values="price", aggfunc="first")
    prices = table.reindex(index=pd.DatetimeIndex(list(as_of)), columns=symbols).to_numpy(np.float64)
    return np.where(np.isfinite(prices) & (prices > 0), prices, np.nan)


def _refuse_duplicates(frame: pd.DataFrame, key: list[str], what: str) -> None:
    doubled = frame[frame.duplicated(key)]
    if len(doubled):
        raise FrameContractError(
            f"{len(doubled)} {what} are duplicates by {' and '.join(key)} (first: {doubled.iloc[0]['symbol']}). "
            "Pass one row each"
        )


def _levels(
    highs: pd.DataFrame, lows: pd.DataFrame, closes: pd.DataFrame, end: int, rules: RegimeRules
) -> _Levels | None:
    """Levels from the sessions before row `end`; None when there is no such session."""
    if end < 1:
        return None
    window = slice(max(0, end - rules.breadth_sessions), end)
    high, low = highs.to_numpy()[window], lows.to_numpy()[window]
    known = np.isfinite(high)
    enough = known.sum(axis=0) >= rules.breadth_min_sessions
    highest = np.where(enough, np.where(known, high, -np.inf).max(axis=0), np.nan)
    lowest = np.where(enough, np.where(known, low, np.inf).min(axis=0), np.nan)
    return _Levels(closes.to_numpy()[end - 1], highest, lowest, len(high))


def _breadth(price: FloatArray, levels: _Levels | None, rules: RegimeRules, basis: str) -> Breadth:
    """Count one instant. Comparisons with NaN are false, so what is unknown is not counted."""
    if levels is None:
        return _unusable("fewer than two sessions of daily bars", levels, basis == "last_price")
    counted = np.isfinite(price) & np.isfinite(levels.close)
    measured = counted & np.isfinite(levels.highest)
    advances, declines = int((price > levels.close).sum()), int((price < levels.close).sum())
    new_highs = int((measured & (price > levels.highest)).sum())
    new_lows = int((measured & (price < levels.lowest)).sum())
    ad_ratio = advances / max(declines, 1)
    nh_nl_ratio = 1.0 if new_highs == new_lows == 0 else new_highs / max(new_lows, 1)
    unusable = _why_unusable(counted, measured, levels, rules)
    return Breadth(
        label=UNKNOWN if unusable else _label(ad_ratio, nh_nl_ratio, rules),
        unusable=unusable,
        basis=basis,
        symbols=int(counted.sum()),
        advances=advances,
        declines=declines,
        ad_ratio=ad_ratio,
        new_highs=new_highs,
        new_lows=new_lows,
        nh_nl_ratio=nh_nl_ratio,
        high_low_symbols=int(measured.sum()),
        sessions=levels.sessions,
    )


def _why_unusable(
    counted: npt.NDArray[np.bool_], measured: npt.NDArray[np.bool_], levels: _Levels, rules: RegimeRules
) -> str:
    expected = int(np.isfinite(levels.close).sum())
    if not counted.any() or counted.sum() < rules.breadth_min_coverage_fraction * expected:
        return f"only {int(counted.sum())} of {expected} symbols have a price"
    if not measured.any():
        return f"no symbol has {rules.breadth_min_sessions} sessions for new highs and lows"
    return ""


def _label(ad_ratio: float, nh_nl_ratio: float, rules: RegimeRules) -> str:
    if ad_ratio > rules.breadth_strong[0] and nh_nl_ratio > rules.breadth_strong[1]:
        return "strong"
    if ad_ratio > rules.breadth_moderate[0] and nh_nl_ratio > rules.breadth_moderate[1]:
        return "moderate"
    return "weak" if ad_ratio > rules.breadth_weak else "negative"


def _unusable(why: str, levels: _Levels | None, traded: bool) -> Breadth:
    return Breadth(
        label=UNKNOWN,
        unusable=why,
        basis="last_price" if traded else "previous_session",
        symbols=0,
        advances=0,
        declines=0,
        ad_ratio=0.0,
        new_highs=0,
        new_lows=0,
        nh_nl_ratio=1.0,
        high_low_symbols=0,
        sessions=levels.sessions if levels is not None else 0,
    )
