"""Finding bars in a frame of many symbols: where each symbol's rows are, its last closed bar, the bars before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_pipeline.analytics.schemas import require_columns
from trading_pipeline.domain.errors import FrameContractError, NaiveDatetimeError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NO_ROW = -1
"""Where a symbol has no closed bar."""


@dataclass(frozen=True, slots=True)
class Segments:
    """The rows of each symbol in a sorted frame: symbol i owns rows first[i] up to and without last[i]."""

    symbols: tuple[str, ...]
    first: IntArray
    last: IntArray


def nanoseconds(instants: pd.Series | pd.DatetimeIndex) -> IntArray:
    """Instants (aware) as int64 nanoseconds since 1970 UTC; raises for naive ones and for nulls."""
    index = pd.DatetimeIndex(instants)
    if index.tz is None:
        raise NaiveDatetimeError("column of instants")
    if index.hasnans:
        raise FrameContractError(
            f"{int(np.count_nonzero(index.isna()))} of {len(index)} instants are null; drop or fill those rows"
        )
    return np.asarray(index.as_unit("ns").asi8, dtype=np.int64)


def segments(frame: pd.DataFrame) -> Segments:
    """Locate each symbol's rows.

    frame: columns symbol and start (aware), sorted by symbol, then start, without duplicates.
    Raises FrameContractError naming the first symbol out of order.
    """
    require_columns(frame, ("symbol", "start"), "bar")
    if frame.empty:
        return Segments((), np.empty(0, np.int64), np.empty(0, np.int64))
    inner = np.flatnonzero(_changes(frame["symbol"])) + 1
    first = np.concatenate(([0], inner)).astype(np.int64)
    last = np.concatenate((inner, [len(frame)])).astype(np.int64)
    symbols = tuple(str(symbol) for symbol in frame["symbol"].iloc[first])
    _require_order(symbols, nanoseconds(frame["start"]), inner, frame["symbol"])
    return Segments(symbols, first, last)


def _changes(symbols: pd.Series) -> BoolArray:
    values: Any = symbols.cat.codes.to_numpy() if isinstance(symbols.dtype, pd.CategoricalDtype) else symbols.array
    return np.asarray(values[1:] != values[:-1], dtype=np.bool_)


def _require_order(symbols: Sequence[str], starts: IntArray, inner: IntArray, column: pd.Series) -> None:
    unsorted = [later for earlier, later in pairwise(symbols) if later <= earlier]
    ascending = starts[1:] > starts[:-1]
    ascending[inner - 1] = True
    wrong = np.flatnonzero(~ascending)
    if unsorted or wrong.size:
        name = unsorted[0] if unsorted else str(column.iloc[int(wrong[0]) + 1])
        raise FrameContractError(
            f"the bars are not sorted by symbol and start without duplicates: {len(unsorted) + wrong.size} places, "
            f"first at {name}. Read bars through the bar store, which guarantees both"
        )


def last_closed_rows(
    frame: pd.DataFrame, located: Segments, symbols: Sequence[str], as_of: pd.DatetimeIndex
) -> IntArray:
    """Row of the last bar with end <= as_of, for each instant and symbol: int64, instants × symbols.

    NO_ROW where the symbol has none. `located` is `segments(frame)`; `as_of` is aware, in any order.
    """
    ends, moments = nanoseconds(frame["end"]), nanoseconds(as_of)
    rows = np.full((len(moments), len(symbols)), NO_ROW, dtype=np.int64)
    place = {symbol: i for i, symbol in enumerate(located.symbols)}
    for column, symbol in enumerate(symbols):
        i = place.get(symbol)
        if i is not None:
            first = located.first[i]
            closed = np.searchsorted(ends[first : located.last[i]], moments, side="right")
            rows[:, column] = np.where(closed > 0, first + closed - 1, NO_ROW)
    return rows


def first_rows(located: Segments, rows: IntArray) -> IntArray:
    """First row of the segment each row lies in; rows: int64, NO_ROW where none (then NO_ROW)."""
    if not located.symbols:
        return np.full(rows.shape, NO_ROW, dtype=np.int64)
    i = np.searchsorted(located.first, rows, side="right") - 1
    return np.where(rows >= 0, located.first[np.maximum(i, 0)], NO_ROW)


@dataclass(frozen=True, slots=True)
class Windows:
    """Bars up to chosen rows of one frame, gathered without a loop.

    rows: the newest row of each window, NO_ROW where none; first: the first row of its symbol.
    """

    frame: pd.DataFrame
    rows: IntArray
    first: IntArray

    @property
    def bars(self) -> IntArray:
        """How many bars of the symbol end at or before the newest row."""
        return np.where(self.rows >= 0, self.rows - self.first + 1, 0)

    def only(self, kept: IntArray) -> Windows:
        """The windows at these places, in this order."""
        return Windows(self.frame, self.rows[kept], self.first[kept])

    def window(self, column: str, bars: int) -> FloatArray:
        """The last `bars` values, oldest first: float64, rows × bars; NaN before the symbol's first bar."""
        values = self.frame[column].to_numpy(dtype=np.float64)
        if not len(values):
            return np.full((len(self.rows), bars), np.nan)
        places = self.rows[:, None] + np.arange(1 - bars, 1)
        present = (places >= self.first[:, None]) & (self.rows >= 0)[:, None]
        return np.where(present, values[np.where(present, places, 0)], np.nan)

    def back(self, column: str, bars: int = 0) -> FloatArray:
        """The value `bars` bars before the newest one; NaN before the symbol's first bar."""
        return self.window(column, bars + 1)[:, 0]


def windows_at(frame: pd.DataFrame, symbols: pd.Series, as_of: pd.Series) -> Windows:
    """Windows ending at each pair's last bar with end <= as_of.

    symbols, as_of: equal lengths, any order and repetition; as_of aware. frame: sorted by symbol and start.
    """
    if symbols.isna().any():
        raise FrameContractError(f"{int(symbols.isna().sum())} of {len(symbols)} symbols are null; drop those rows")
    nanoseconds(as_of)  # refuses null and naive instants before they are looked up
    located = segments(frame)
    symbol_codes, names = pd.factorize(symbols)
    moment_codes, moments = pd.factorize(as_of)
    matrix = last_closed_rows(frame, located, [str(name) for name in names], pd.DatetimeIndex(moments))
    rows = matrix[moment_codes, symbol_codes] if len(symbol_codes) else np.empty(0, dtype=np.int64)
    return Windows(frame, rows, first_rows(located, rows))
