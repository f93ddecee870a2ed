"""How good stored bars are: coverage, gaps, bad values, jumps and stale runs, per symbol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.analytics.bars import NANOSECONDS_PER_MINUTE, adjust, as_ns
from trading_pipeline.analytics.schemas import BAR_COLUMNS, require_columns
from trading_pipeline.domain.market import Timeframe

PRICES = ["open", "high", "low", "close"]
ROUNDING = 1e-9
"""Relative slack for OHLC violations: dividing by a split ratio moves the last bits."""
StrArray = npt.NDArray[np.str_]


class QualityRules(BaseModel):
    """When a report on bars calls something out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jump_fraction: float = Field(0.2, gt=0, le=10, description="Change between closes that is shown.")
    stale_run_bars: int = Field(10, ge=2, description="Bars in a row with the same four prices that count as stale.")


@dataclass(frozen=True, slots=True)
class QualityReport:
    """symbols: one row per symbol; totals: one row; gaps: symbol, session, missing; jumps: symbol, session, start,
    previous_close, close, change (in units of the last session)."""

    symbols: pd.DataFrame
    totals: pd.DataFrame
    gaps: pd.DataFrame
    jumps: pd.DataFrame

    @property
    def is_clean(self) -> bool:
        """True when no row is wrong in itself; gaps, jumps, zero volume and stale runs may be real."""
        wrong = ["duplicates", "out_of_session", "nan_price", "zero_or_negative_price", "ohlc_violation", "bad_volume"]
        return not self.totals[wrong].to_numpy().any()


def bad_value_reasons(frame: pd.DataFrame) -> StrArray:
    """Per row the first thing wrong with its values, else ''.

    frame: float64 open, high, low, close (USD per share), volume (shares). Reasons, in this order: nan_price (NaN or
    infinite), zero_or_negative_price, ohlc_violation (high below or low above another price, beyond rounding),
    nan_volume (NaN or infinite), negative_volume. Raises FrameContractError for a missing column.
    """
    require_columns(frame, [*PRICES, "volume"], "bar")
    prices, volume = frame[PRICES].to_numpy(dtype=np.float64), frame["volume"].to_numpy(dtype=np.float64)
    high, low = prices[:, 1] * (1 + ROUNDING), prices[:, 2] * (1 - ROUNDING)
    faults = {
        "nan_price": ~np.isfinite(prices).all(axis=1),
        "zero_or_negative_price": (prices <= 0).any(axis=1),
        "ohlc_violation": (high < prices.max(axis=1)) | (low > prices.min(axis=1)),
        "nan_volume": ~np.isfinite(volume),
        "negative_volume": volume < 0,
    }
    return np.asarray(np.select(list(faults.values()), list(faults), default=""), dtype=str)


def check_bars(
    bars: pd.DataFrame,
    timeframe: Timeframe,
    table: pd.DataFrame,
    rules: QualityRules,
    actions: pd.DataFrame | None = None,
) -> QualityReport:
    """Measure bars of one timeframe against the sessions they should cover.

    bars: the bar columns, in any order and however bad (stored rows bring their adjustment); table: session_table of
    every session expected; actions: corporate actions, so that a split is not a jump. Coverage is against all sessions
    of the table; `missing_bars` are those absent from sessions that have at least one bar. A symbol without trades in
    a minute has no bar then: a gap may be true. Raises FrameContractError for a missing column.
    """
    require_columns(bars, BAR_COLUMNS[:9], "bar")
    marked = _marked(bars, table)
    usable = marked[~marked["unusable"]].sort_values(["symbol", "start"], ignore_index=True)
    expected = _expected_bars(timeframe, table)
    gaps = _gaps(usable, expected)
    moves = _moves(usable, rules, actions)
    jumps = moves.loc[moves["is_jump"], ["symbol", "session", "start", "previous_close", "close", "change"]]
    symbols = _per_symbol(marked, usable, gaps, moves, expected)
    return QualityReport(symbols, _totals(symbols), gaps, jumps.reset_index(drop=True))


def _marked(bars: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The rows with one 0/1 column per fault, and `unusable`."""
    reason = bad_value_reasons(bars)
    marked = bars.reset_index(drop=True).assign(
        duplicates=bars.duplicated(["symbol", "start"]).to_numpy(),
        out_of_session=_outside(bars, table),
        nan_price=reason == "nan_price",
        zero_or_negative_price=reason == "zero_or_negative_price",
        ohlc_violation=reason == "ohlc_violation",
        bad_volume=np.isin(reason, ["nan_volume", "negative_volume"]),
        zero_volume=bars["volume"].to_numpy() == 0,
    )
    return marked.assign(unusable=marked["duplicates"] | marked["out_of_session"] | (reason != ""))


def _outside(bars: pd.DataFrame, table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    session, wanted = as_ns(table["session"]), as_ns(bars["session"])
    if not len(session):
        return np.ones(len(bars), dtype=bool)
    at = np.minimum(np.searchsorted(session, wanted), len(session) - 1)
    early = as_ns(bars["start"]) < as_ns(table["opens_at"])[at]
    late = as_ns(bars["end"]) > as_ns(table["closes_at"])[at]
    return np.asarray((session[at] != wanted) | early | late)


def _expected_bars(timeframe: Timeframe, table: pd.DataFrame) -> pd.Series:
    """Bars each session should have, by session."""
    minutes = (as_ns(table["closes_at"]) - as_ns(table["opens_at"])) // NANOSECONDS_PER_MINUTE
    count = np.ones(len(table)) if timeframe is Timeframe.DAY1 else np.ceil(minutes / timeframe.minutes)
    return pd.Series(count.astype(np.int64), index=pd.DatetimeIndex(table["session"]), name="expected")


def _gaps(usable: pd.DataFrame, expected: pd.Series) -> pd.DataFrame:
    present = usable.groupby(["symbol", "session"], as_index=False).size()
    missing = present["session"].map(expected).to_numpy(dtype=np.int64) - present["size"].to_numpy(dtype=np.int64)
    gaps = present[["symbol", "session"]].assign(missing=missing)
    return gaps[gaps["missing"] > 0].reset_index(drop=True)


def _moves(usable: pd.DataFrame, rules: QualityRules, actions: pd.DataFrame | None) -> pd.DataFrame:
    """Per usable row its change from the close before, and whether it is a jump or part of a stale run."""
    moves = usable
    if actions is not None and len(actions) and len(usable):
        moves = adjust(usable, actions, usable["session"].max().date())
    previous = moves.groupby("symbol")["close"].shift()
    change = moves["close"] / previous - 1
    same = (moves[[*PRICES, "symbol"]] == moves[[*PRICES, "symbol"]].shift()).all(axis=1)
    run = (~same).cumsum()
    return moves.assign(
        previous_close=previous,
        change=change,
        is_jump=change.abs() > rules.jump_fraction,
        stale_bars=run.groupby(run).transform("size") >= rules.stale_run_bars,
    )


def _per_symbol(
    marked: pd.DataFrame, usable: pd.DataFrame, gaps: pd.DataFrame, moves: pd.DataFrame, expected: pd.Series
) -> pd.DataFrame:
    faults = ["duplicates", "out_of_session", "nan_price", "zero_or_negative_price", "ohlc_violation", "bad_volume"]
    owner = usable.groupby("symbol")
    parts = {
        "first_session": owner["session"].min(),
        "last_session": owner["session"].max(),
        "sessions": owner["session"].nunique(),
        "bars": owner.size(),
        "missing_bars": gaps.groupby("symbol")["missing"].sum(),
        "worst_gap": gaps.groupby("symbol")["missing"].max(),
        "jumps": moves.groupby("symbol")["is_jump"].sum(),
        "stale_bars": moves.groupby("symbol")["stale_bars"].sum(),
    }
    report = marked.groupby("symbol")[[*faults, "zero_volume"]].sum().join(pd.DataFrame(parts))
    counts = [name for name in report.columns if not name.endswith("_session")]
    report[counts] = report[counts].fillna(0).astype(np.int64)
    report = report.assign(sessions_expected=len(expected), bars_expected=int(expected.sum()))
    report["coverage"] = report["bars"] / max(int(expected.sum()), 1)
    order = ["first_session", "last_session", "sessions", "sessions_expected", "bars", "bars_expected", "coverage"]
    rest = ["missing_bars", "worst_gap", *faults, "zero_volume", "jumps", "stale_bars"]
    return report[[*order, *rest]].reset_index()


def _totals(symbols: pd.DataFrame) -> pd.DataFrame:
    """One row: the sums, the earliest and latest session, the worst gap and the mean coverage."""
    counts = [name for name in symbols.columns if pd.api.types.is_integer_dtype(symbols[name]) and name != "worst_gap"]
    row = symbols[counts].sum().to_frame().T
    row.insert(0, "symbols", len(symbols))
    row["first_session"], row["last_session"] = symbols["first_session"].min(), symbols["last_session"].max()
    row["worst_gap"] = int(symbols["worst_gap"].max()) if len(symbols) else 0
    row["coverage"] = symbols["coverage"].mean()
    return row
