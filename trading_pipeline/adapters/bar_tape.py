"""Stored bars as the market's past: what a venue's data doors tell of."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from pathlib import Path
from threading import RLock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trading_pipeline.adapters.bar_feed import SymbolBars, bars_by_symbol
from trading_pipeline.adapters.bar_files import BAR_SCHEMA, by_session, partition_of, unreadable
from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.bar_views import in_units_of
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.domain.market import (
    BASE_TIMEFRAMES,
    Adjustment,
    MarketBar,
    SessionTimes,
    Timeframe,
    require_aware,
)
from trading_pipeline.venue.tape import CorporateAction

MAX_ROWS = 4_000_000
"""Bars kept in memory (56 bytes each)."""
PARTS = 4
"""A question may take one of so many parts of the room."""
NANOSECONDS = 1_000_000_000

Rows = Mapping[str, SymbolBars]


class StoredTape:
    """A bar store that no longer changes, in traded units. Implements venue.tape.Tape; may be asked from threads.

    A partition (a session, or a year of daily bars) is kept while there is room, the least recently asked for going
    first. What is stored later may not be seen.
    """

    def __init__(self, store: ParquetBarStore, calendar: ExchangeCalendar, *, max_rows: int = MAX_ROWS) -> None:
        self._store, self._calendar, self._max_rows = store, calendar, max_rows
        self._kept: OrderedDict[tuple[Timeframe, str], Rows] = OrderedDict()
        self._lock = RLock()

    def symbols(self) -> Sequence[str]:
        """Every symbol that ever traded, ascending. Raises DataFileError when a file is damaged."""
        with self._lock:
            return self._symbols

    def base_timeframe(self) -> Timeframe | None:
        """The finest intraday bars there are."""
        return self._base

    def bars(self, symbol: str, timeframe: Timeframe, first: datetime, last: datetime) -> Sequence[MarketBar]:
        """Bars that start in [first, last] (aware), ascending; daily ones start at the session's open.

        Empty for a symbol unknown. Raises DataFileError for a damaged file, NotAPriceError for a price that is none.
        """
        span = [_nanoseconds(first), _nanoseconds(last) + 1]
        found: list[MarketBar] = []
        for rows in self._rows_between(symbol, timeframe, first, last):
            bars = rows.get(symbol)
            if bars is not None:
                begin, end = np.searchsorted(bars.starts, span).tolist()
                found += [bars.bar(symbol, row) for row in range(begin, end)]
        return found

    def actions(self, first: date, last: date) -> Sequence[CorporateAction]:
        """Corporate actions with an ex-date in [first, last], by date, then symbol."""
        return [action for action in self._actions if first <= action.ex_date <= last]

    def sessions(self, first: date, last: date) -> Sequence[SessionTimes]:
        """The exchange's sessions from first to last, both included, ascending, whether bars are stored or not."""
        low, high = bisect_left(self._sessions, first), bisect_right(self._sessions, last)
        return [self._calendar.times(session) for session in self._sessions[low:high]]

    @cached_property
    def _sessions(self) -> Sequence[date]:
        return self._calendar.sessions(date.min, self._calendar.last_session())

    @cached_property
    def _base(self) -> Timeframe | None:
        return self._store.base_timeframe()

    @cached_property
    def _symbols(self) -> Sequence[str]:
        folders = [self._store.root / one.value for one in (Timeframe.DAY1, self._base) if one is not None]
        return _symbols_in([path for folder in folders for path in sorted(folder.glob("[0-9]*.parquet"))])

    @cached_property
    def _actions(self) -> Sequence[CorporateAction]:
        frame = self._store.actions().sort_values(["ex_date", "symbol", "kind"], kind="stable")
        columns = [frame[name] for name in ("symbol", "ex_date", "kind", "value")]
        return [
            CorporateAction(symbol=symbol, ex_date=day.date(), kind=kind, value=Decimal(repr(float(value))))
            for symbol, day, kind, value in zip(*columns, strict=True)
        ]

    @cached_property
    def _stored(self) -> NDArray[np.datetime64]:
        """Sessions with any bars, ascending."""
        known = {Timeframe.DAY1, *BASE_TIMEFRAMES}
        return np.array(sorted({day for one in known for day in self._store.sessions(one)}), dtype="M8[D]")

    def _rows_between(self, symbol: str, timeframe: Timeframe, first: datetime, last: datetime) -> Iterator[Rows]:
        """Rows of the files that such bars are in, ascending: of daily bars the whole year's.

        Of a span too wide to be kept only the symbol's rows are read.
        """
        begin, end = (require_aware(one).astimezone(self._calendar.zone).date() for one in (first, last))
        if timeframe is Timeframe.DAY1:
            begin, end = date(begin.year, 1, 1), date(end.year, 12, 31)
        stored = self._stored
        low, high = np.searchsorted(stored, np.datetime64(begin)), np.searchsorted(stored, np.datetime64(end), "right")
        days: list[date] = stored[low:high].tolist()
        if timeframe is not Timeframe.DAY1 and len(days) > self._narrow_sessions:
            yield self._traded(self._store.read(timeframe, days, symbols=[symbol]))
            return
        for _, sessions in groupby(days, lambda day: partition_of(timeframe, day)):
            yield self._rows(timeframe, list(sessions))

    @cached_property
    def _narrow_sessions(self) -> int:
        """So many sessions of base bars may be asked for at a time without crowding out all others."""
        folder = self._store.root / (self._base or Timeframe.MIN1).value
        newest = max(folder.glob("[0-9]*.parquet"), default=None)
        rows = 1 if newest is None else _row_count(newest)
        return self._max_rows // (PARTS * max(rows, 1))

    def _rows(self, timeframe: Timeframe, sessions: Sequence[date]) -> Rows:
        key = timeframe, partition_of(timeframe, sessions[0])
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._read(timeframe, sessions)
                self._make_room()
            self._kept.move_to_end(key)
            return self._kept[key]

    def _make_room(self) -> None:
        sizes = {key: sum(len(bars.starts) for bars in rows.values()) for key, rows in self._kept.items()}
        total = sum(sizes.values())
        while total > self._max_rows and len(self._kept) > 1:
            total -= sizes[self._kept.popitem(last=False)[0]]

    def _read(self, timeframe: Timeframe, sessions: Sequence[date]) -> Rows:
        """Daily bars are made of finer ones where none is stored: a view, in the units of one session."""
        if timeframe is not Timeframe.DAY1:
            return self._traded(self._store.read(timeframe, sessions))
        views = [self._store.view(timeframe, part, as_of=part[-1]) for part in self._between_splits(sessions)]
        return bars_by_symbol(_together(views))

    def _traded(self, rows: pd.DataFrame) -> Rows:
        """Stored rows in the units they were traded in: those delivered raw are."""
        if (rows["adjustment"] == Adjustment.RAW.value).all():
            return bars_by_symbol(rows)
        actions, days = self._store.actions(), by_session(rows)
        parts = [pd.concat([days[day] for day in part]) for part in self._between_splits(list(days))]
        ordered = [part.sort_values(["symbol", "start"], ignore_index=True) for part in parts]
        units = [max(part["session"]).date() for part in ordered]
        return bars_by_symbol(
            _together([in_units_of(part, actions, day, None) for part, day in zip(ordered, units, strict=True)])
        )

    def _between_splits(self, sessions: Sequence[date]) -> list[list[date]]:
        """Runs of sessions, none of which has a split of any symbol between its first and its last."""
        splits = sorted({one.ex_date for one in self._actions if one.kind == "split"})
        runs = groupby(sessions, lambda day: bisect_right(splits, day))
        return [list(run) for _, run in runs]


def _together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """By symbol, then time."""
    if len(frames) == 1:
        return frames[0]
    return pd.concat(frames).sort_values(["symbol", "start"], ignore_index=True)


def _row_count(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def _symbols_in(paths: Sequence[Path]) -> Sequence[str]:
    if not paths:
        return ()
    found = set[str]()
    try:
        files = ds.dataset([str(path) for path in paths], schema=BAR_SCHEMA, format="parquet")
        for batch in files.to_batches(columns=["symbol"]):
            found.update(pc.unique(batch["symbol"]).to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise unreadable(paths[0].parent, error) from error
    return tuple(sorted(found))


def _nanoseconds(instant: datetime) -> int:
    return int(require_aware(instant).timestamp()) * NANOSECONDS + instant.microsecond * 1000
