"""What a delivery changes: which of its rows are new, which correct a stored one, and which say nothing new."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_pipeline.adapters.bar_files import VERSION, newest
from trading_pipeline.analytics.schemas import SESSION_NS, STORED_BAR_COLUMNS, UTC_NS, require_bars
from trading_pipeline.domain.errors import FrameContractError
from trading_pipeline.domain.market import Adjustment, require_aware

KEY = ["symbol", "start"]
PRICES = ["open", "high", "low", "close"]
CONTENT = tuple(name for name in STORED_BAR_COLUMNS if name not in {*KEY, "known_at", "feed"})
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Merge:
    """Rows to append (with known_at and version) and how the delivery counts."""

    rows: pd.DataFrame
    new: int
    corrected: int
    unchanged: int


def stored_rows(
    bars: pd.DataFrame,
    known_at: datetime | None,
    adjustment: Adjustment,
    adjusted_through: date | None,
    feed: str | None = None,
) -> pd.DataFrame:
    """A bar frame in the stored columns and types.

    Raises FrameContractError for unsorted rows, a price that is not finite and positive, a volume that is not finite
    and at least zero, or an adjusted delivery that does not say through when it is adjusted.
    """
    if adjustment is not Adjustment.RAW and adjusted_through is None:
        raise FrameContractError(f"bars adjusted for {adjustment} must say through which date: pass adjusted_through")
    require_bars(bars)
    _require_numbers(bars)
    through = pd.Series([adjusted_through] * len(bars), index=bars.index, dtype=SESSION_NS)
    known = bars["end"] if known_at is None else pd.Timestamp(require_aware(known_at, "known_at"))
    rows = bars.assign(known_at=known, adjustment=adjustment.value, adjusted_through=through, feed=feed)
    instants = dict.fromkeys(("start", "end", "known_at"), UTC_NS)
    days = dict.fromkeys(("session", "adjusted_through"), SESSION_NS)
    numbers = dict.fromkeys((*PRICES, "volume", "vwap", "trade_count"), "float64")
    return rows.reindex(columns=list(STORED_BAR_COLUMNS)).astype(
        {"symbol": "str", "feed": "str", **instants, **days, **numbers}
    )


def _require_numbers(bars: pd.DataFrame) -> None:
    prices, volume = bars[PRICES].to_numpy(dtype=np.float64), bars["volume"].to_numpy(dtype=np.float64)
    wrong = ~(np.isfinite(prices) & (prices > 0)).all(axis=1) | ~(np.isfinite(volume) & (volume >= 0))
    if wrong.any():
        row = bars[wrong].iloc[0]
        raise FrameContractError(
            f"{int(wrong.sum())} of {len(bars)} bars have a price that is not finite and above zero, or a volume that "
            f"is not finite and at least zero (first: {row['symbol']} {row['start']}); import them to set them aside"
        )


def merge(stored: pd.DataFrame, delivered: pd.DataFrame, now: datetime, *, known_at_end: bool) -> Merge:
    """Compare a delivery with all stored versions of its partition.

    A row equal to the version in force at its known_at says nothing new. known_at_end: rows were delivered as known at
    their own end; those equal to the newest version say nothing new, and a correction among them was learned now, or
    the past would change under us.
    """
    if stored.empty:
        return Merge(delivered.assign(**{VERSION: 0}), len(delivered), 0, 0)
    current = _aligned(newest(stored), delivered)
    seen = current["known_at"].notna().to_numpy()
    if known_at_end:
        differs = seen & ~_same(current, delivered)
        delivered = _learned_now(delivered, current, now, differs)
    else:
        differs = seen & ~_same(_in_force(stored, delivered), delivered)
    rows = delivered[~seen | differs].reset_index(drop=True)
    rows[VERSION] = _versions(stored, rows)
    new, corrected = int((~seen).sum()), int(differs.sum())
    return Merge(rows, new, corrected, len(delivered) - new - corrected)


def _aligned(rows: pd.DataFrame, delivered: pd.DataFrame) -> pd.DataFrame:
    """The stored row of each delivered one, in its order; known_at is NaT where there is none."""
    if rows[KEY].equals(delivered[KEY]):
        return rows
    return delivered[KEY].merge(rows, on=KEY, how="left")


def _same(left: pd.DataFrame, right: pd.DataFrame) -> BoolArray:
    """Which stored rows the delivered ones repeat; one that names no feed does not contradict a known one."""
    feed = right["feed"].reset_index(drop=True)
    same = (feed.isna() | (feed == left["feed"].reset_index(drop=True))).to_numpy(dtype=bool, copy=True)
    for name in CONTENT:
        ours, theirs = left[name].reset_index(drop=True), right[name].reset_index(drop=True)
        same &= ((ours == theirs) | (ours.isna() & theirs.isna())).to_numpy(dtype=bool)
    return same & left["known_at"].notna().to_numpy()


def _learned_now(delivered: pd.DataFrame, current: pd.DataFrame, now: datetime, differs: BoolArray) -> pd.DataFrame:
    # a replayed clock may stand before the stored version: the newest delivery still wins
    learned = current["known_at"].where(current["known_at"] > pd.Timestamp(now), pd.Timestamp(now))
    return delivered.assign(known_at=delivered["known_at"].reset_index(drop=True).where(~differs, learned).array)


def _in_force(stored: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The version of each row that was known at the row's own known_at."""
    asked = rows[[*KEY, "known_at"]].rename(columns={"known_at": "asked_at"})
    candidates = stored.merge(asked, on=KEY, how="inner")
    known = candidates[candidates["known_at"] <= candidates["asked_at"]].drop(columns="asked_at")
    return _aligned(newest(known.sort_values([*KEY, "known_at", VERSION], kind="stable")), rows)


def _versions(stored: pd.DataFrame, delivered: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The number each row to append gets: one more than the last stored of the same row, from 0."""
    last = stored.groupby(KEY, sort=False)[[VERSION]].max().reset_index()
    return np.asarray(_aligned(last, delivered)[VERSION].fillna(-1).to_numpy(dtype=np.int64) + 1)
