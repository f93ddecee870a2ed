"""Which symbols may be traded in a session: the quality filter of the sessions before it, with a reason per symbol."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import date
from typing import Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_pipeline.analytics.schemas import require_columns
from trading_pipeline.domain.errors import FrameContractError

UNIVERSE_COLUMNS = (
    "symbol",
    "included",
    "reason",
    "price",
    "average_volume",
    "sessions",
    "market_cap",
    "spread",
    "unknown",
    "change",
)


class UniverseRules(BaseModel):
    """What a symbol must be like over the sessions before the date. Prices in USD per share."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    min_price_usd: float = Field(default=1.00, gt=0)
    max_price_usd: float = Field(default=500.00, gt=0)
    min_average_volume_shares: float = Field(default=500_000, ge=0)
    min_market_cap_usd: float = Field(default=100_000_000, ge=0)
    max_spread_fraction: float = Field(default=0.005, ge=0, lt=1, description="bid-ask spread over the middle price")
    lookback_sessions: int = Field(default=20, ge=1)
    min_sessions: int = Field(
        default=15, ge=1, description="usable bars needed in the lookback; short gaps are allowed"
    )
    include: tuple[str, ...] = Field(
        default=(), description="candidates beside the members; they too must pass the filter"
    )
    exclude: tuple[str, ...] = Field(default=(), description="never included, whatever their figures")

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        if self.min_price_usd > self.max_price_usd:
            raise ValueError("min_price_usd must not exceed max_price_usd")
        if self.min_sessions > self.lookback_sessions:
            raise ValueError("min_sessions must not exceed lookback_sessions")
        if both := sorted(set(self.include) & set(self.exclude)):
            raise ValueError(f"in include and in exclude: {', '.join(both)}; keep each symbol in one of them")
        return self


def build_universe(
    daily: pd.DataFrame,
    session: date,
    rules: UniverseRules,
    *,
    members: Collection[str] | None = None,
    market_caps: Mapping[str, float] | None = None,
    spreads: Mapping[str, float] | None = None,
    previous: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per known symbol, by symbol: UNIVERSE_COLUMNS, with the first reason that keeps a symbol out.

    daily: daily bars (symbol, session, close USD, volume shares), at most one per symbol and session, in any order;
    bars of `session` or later are not read. The lookback is the newest `lookback_sessions` sessions that any symbol
    has a bar of. A bar whose close is not finite and above zero, or whose volume is not finite and at least zero,
    counts as absent. price: close of the last session; average_volume: mean over the bars present.
    members: who may be in the universe on that date (None: every symbol with bars). market_caps (USD) and spreads
    (fraction): a figure that is absent or not a number is recorded in `unknown` and rejects nothing.
    previous: the universe of the session before, for `change` ("added", "removed", ""); None: no change is stated.
    Known are the symbols with bars before `session`, the members, `rules.include` and what `previous` included.
    Raises FrameContractError when a column is lacking or a symbol has two bars of one session.
    Source: strategy specification, universe.
    """
    require_columns(daily, ("symbol", "session", "close", "volume"), "daily bar")
    history = daily.loc[daily["session"] < pd.Timestamp(session), ["symbol", "session", "close", "volume"]]
    _refuse_duplicates(history)
    before = _included_before(previous)
    known = set(history["symbol"]) | set(members or ()) | set(rules.include) | before
    figures = _figures(history, rules).reindex(pd.Index(sorted(known), dtype=object))
    figures["market_cap"] = _known_figures(figures.index, market_caps, above_zero=True)
    figures["spread"] = _known_figures(figures.index, spreads, above_zero=False)
    figures["reason"] = _reasons(figures, rules, members)
    figures["included"] = figures["reason"] == ""
    figures["sessions"] = figures["sessions"].fillna(0).astype(np.int64)
    figures["unknown"] = _unknown(figures)
    figures["change"] = _change(figures["included"], before) if previous is not None else ""
    return figures.rename_axis("symbol").reset_index()[list(UNIVERSE_COLUMNS)]


def _refuse_duplicates(history: pd.DataFrame) -> None:
    doubled = history.loc[history.duplicated(["symbol", "session"]), "symbol"]
    if len(doubled):
        raise FrameContractError(
            f"{len(doubled)} daily bars are duplicates of a symbol and session (first: {doubled.iloc[0]}). "
            "Read daily bars through the bar store, which keeps one per symbol and session"
        )


def _included_before(previous: pd.DataFrame | None) -> set[str]:
    if previous is None:
        return set()
    require_columns(previous, ("symbol", "included"), "previous universe")
    return set(previous.loc[previous["included"].astype(bool), "symbol"])


def _figures(history: pd.DataFrame, rules: UniverseRules) -> pd.DataFrame:
    """Per symbol with any bar: has_bars, price (NaN: no usable bar in the last session), average_volume, sessions."""
    lookback = np.sort(history["session"].unique())[-rules.lookback_sessions :]
    close, volume = history["close"].to_numpy(np.float64), history["volume"].to_numpy(np.float64)
    usable = np.isfinite(close) & (close > 0) & np.isfinite(volume) & (volume >= 0)
    recent = history[usable & history["session"].isin(lookback).to_numpy()]
    by_symbol = recent.groupby("symbol", sort=True)
    last = recent[recent["session"] == lookback[-1]] if len(lookback) else recent
    figures = pd.DataFrame(index=pd.Index(sorted(set(history["symbol"])), dtype=object))
    figures["has_bars"] = 1.0
    figures["price"] = last.set_index("symbol")["close"]
    figures["average_volume"] = by_symbol["volume"].mean()
    figures["sessions"] = by_symbol.size()
    return figures.astype(np.float64)


def _known_figures(symbols: pd.Index, known: Mapping[str, float] | None, *, above_zero: bool) -> list[float]:
    values = (float((known or {}).get(symbol, math.nan)) for symbol in symbols)
    return [v if math.isfinite(v) and (v > 0 if above_zero else v >= 0) else math.nan for v in values]


def _reasons(figures: pd.DataFrame, rules: UniverseRules, members: Collection[str] | None) -> list[str]:
    """The first reason that applies, in this order; "" when none does. A NaN figure satisfies no comparison."""
    allowed = set(figures.index) if members is None else set(members) | set(rules.include)
    conditions = {
        "excluded": figures.index.isin(rules.exclude),
        "not_a_member": ~figures.index.isin(sorted(allowed)),
        "no_bars": figures["has_bars"].isna(),
        "stale": figures["price"].isna(),
        "insufficient_sessions": ~(figures["sessions"] >= rules.min_sessions),
        "price_below_minimum": figures["price"] < rules.min_price_usd,
        "price_above_maximum": figures["price"] > rules.max_price_usd,
        "volume_below_minimum": figures["average_volume"] < rules.min_average_volume_shares,
        "market_cap_below_minimum": figures["market_cap"] < rules.min_market_cap_usd,
        "spread_above_maximum": figures["spread"] > rules.max_spread_fraction,
    }
    applies = np.column_stack([np.asarray(condition, dtype=bool) for condition in conditions.values()])
    names = (*conditions, "")
    return [names[first] for first in np.where(applies.any(axis=1), applies.argmax(axis=1), len(conditions))]


def _unknown(figures: pd.DataFrame) -> list[str]:
    names = ("market_cap", "spread")
    rows = figures[list(names)].isna().to_numpy()
    return [",".join(name for name, is_unknown in zip(names, row, strict=True) if is_unknown) for row in rows]


def _change(included: pd.Series, before: set[str]) -> list[str]:
    was = included.index.isin(sorted(before))
    return list(np.select([included.to_numpy() & ~was, ~included.to_numpy() & was], ["added", "removed"], default=""))
