"""Stored bars as the market's past: what a venue's data doors tell of."""

from __future__ import annotations

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
from numpy.typing import NDArray

from trading_pipeline.adapters.bar_feed import SymbolBars, bars_by_symbol
from trading_pipeline.adapters.bar_files import BAR_SCHEMA, partition_of, unreadable
from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.domain.market import BASE_TIMEFRAMES, MarketBar, SessionTimes, Timeframe, require_aware
from trading_pipeline.venue.tape import CorporateAction

MAX_ROWS = 4_000_000
"""Bars kept in memory (56 bytes each)."""
NANOSECONDS = 1_000_000_000

Rows = Mapping[str, SymbolBars]


class StoredTape:
    """A bar store that no longer changes, in traded units. Implements venue.tape.Tape; may be asked from threads.

    A partition (a session, or a year of daily bars) is read once and kept while there is room, the least recently
    asked for going first. What is stored in it later is not seen.
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
        found: list[MarketBar] = []
        span = [_nanoseconds(first), _nanoseconds(last) + 1]
        for sessions in self._partitions(timeframe, first, last):
            bars = self._rows(timeframe, sessions).get(symbol)
            if bars is not None:
                begin, end = np.searchsorted(bars.starts, span).tolist()
                found += [bars.bar(symbol, row) for row in range(begin, end)]
        return found

    def actions(self, first: date, last: date) -> Sequence[CorporateAction]:
        """Corporate actions with an ex-date in [first, last], by date, then symbol."""
        return [action for action in self._actions if first <= action.ex_date <= last]

    def sessions(self, first: date, last: date) -> Sequence[SessionTimes]:
        """The exchange's sessions from first to last, both included, ascending, whether bars are stored or not."""
        return [self._calendar.times(session) for session in self._calendar.sessions(first, last)]

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

    def _partitions(self, timeframe: Timeframe, first: datetime, last: datetime) -> Iterator[list[date]]:
        """The sessions of each file that such bars are in, ascending: of daily bars the whole year's."""
        begin, end = (require_aware(one).astimezone(self._calendar.zone).date() for one in (first, last))
        if timeframe is Timeframe.DAY1:
            begin, end = date(begin.year, 1, 1), date(end.year, 12, 31)
        low, high = (
            np.searchsorted(self._stored, np.datetime64(begin)),
            np.searchsorted(self._stored, np.datetime64(end), "right"),
        )
        for _, sessions in groupby(self._stored[low:high].tolist(), lambda day: partition_of(timeframe, day)):
            yield list(sessions)

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
        """A view is in the units of one session: where a split lies between two, each side has a view of its own."""
        splits = sorted({one.ex_date for one in self._actions if one.kind == "split"})
        epochs = np.searchsorted(np.array(splits, dtype="M8[D]"), np.array(sessions, dtype="M8[D]"), "right").tolist()
        parts = [
            [day for day, one in zip(sessions, epochs, strict=True) if one == epoch] for epoch in sorted({*epochs})
        ]
        views = [self._store.view(timeframe, part, as_of=part[-1]) for part in parts]
        rows = views[0] if len(views) == 1 else pd.concat(views).sort_values(["symbol", "start"], ignore_index=True)
        return bars_by_symbol(rows)


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
