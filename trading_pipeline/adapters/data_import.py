"""Import of bar files: good rows go to the store, bad ones to quarantine with their reason, and the sum is checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from trading_pipeline.adapters.bar_files import write_atomically
from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.delivery_files import ALIASES, ImportSpec, read_delivery
from trading_pipeline.analytics.bars import NANOSECONDS_PER_MINUTE, as_ns, session_table
from trading_pipeline.analytics.quality import bad_value_reasons
from trading_pipeline.analytics.schemas import BAR_COLUMNS, SESSION_NS
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.ports import TradingCalendar, WriteResult

__all__ = ["ImportReport", "ImportSpec", "import_bars", "read_delivery"]

EXCHANGE = ZoneInfo("America/New_York")
SESSIONS_PER_WRITE = 20
CONTENT = ["open", "high", "low", "close", "volume", "vwap", "trade_count"]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of a delivery: delivered = good + quarantined + collapsed, and good = new + corrected + unchanged."""

    delivered: int
    good: int
    collapsed: int
    new: int
    corrected: int
    unchanged: int
    actions: int
    sessions: tuple[date, ...]
    symbols: tuple[str, ...]
    reasons: dict[str, int]
    quarantine_file: Path | None

    @property
    def quarantined(self) -> int:
        """Rows set aside."""
        return sum(self.reasons.values())


def import_bars(
    frame: pd.DataFrame,
    spec: ImportSpec,
    calendar: TradingCalendar,
    store: ParquetBarStore,
    *,
    known_at: datetime | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Store the good rows of a delivery (from read_delivery) and set the others aside; importing twice changes nothing.

    Reasons, the first that applies: no_symbol, unreadable_time, repeated_header, outside_calendar, holiday,
    out_of_session, off_grid, nan_price, zero_or_negative_price, ohlc_violation, nan_volume, negative_volume,
    duplicate_conflict (same symbol and start, other content: nobody can say which is right). Exact duplicates are
    collapsed into one and counted. Zero-volume bars are good. Daily rows with a split factor or dividend also give
    corporate actions. known_at None: bars were known at their own end. on_progress(sessions done, sessions in all).
    Raises DataFileError when the disk refuses; what was stored stays, and the same import again adds the rest.
    """
    placed = _place(frame, spec, calendar)
    placed["reason"] = _reasons(placed)
    good = placed[placed["reason"] == ""]
    conflict, collapsed = _duplicates(good)
    placed.loc[good.index[conflict], "reason"] = "duplicate_conflict"
    quarantine_file = _set_aside(placed, spec, store.quarantine_folder)
    good = good[~conflict & ~collapsed].sort_values(["symbol", "start"], ignore_index=True)
    counts, sessions = np.zeros(3, dtype=int), set[date]()
    for written in _write(good, spec, store, known_at, on_progress):
        counts += (written.new, written.corrected, written.unchanged)
        sessions |= set(written.sessions)
    reasons = placed.loc[placed["reason"] != "", "reason"].value_counts()
    return ImportReport(
        delivered=len(frame),
        good=len(good),
        collapsed=int(collapsed.sum()),
        new=int(counts[0]),
        corrected=int(counts[1]),
        unchanged=int(counts[2]),
        actions=store.write_actions(_actions(good), known_at=known_at),
        sessions=tuple(sorted(sessions)),
        symbols=tuple(sorted(good["symbol"].unique())),
        reasons={str(reason): int(count) for reason, count in sorted(reasons.items(), key=lambda one: str(one[0]))},
        quarantine_file=quarantine_file,
    )


def _place(frame: pd.DataFrame, spec: ImportSpec, calendar: TradingCalendar) -> pd.DataFrame:
    """The rows with session, start, end and `place`: why they do not belong to a session's grid, else ''."""
    time = as_ns(frame["time"])
    length = 0 if spec.timeframe is Timeframe.DAY1 else spec.timeframe.minutes * NANOSECONDS_PER_MINUTE
    start = time - length if spec.label == "end" else time
    table = _sessions_around(start[frame["time"].notna().to_numpy()], calendar)
    placed = frame.reset_index(drop=True)
    if table.empty:
        nowhere = pd.Series(pd.NaT, index=placed.index)
        return placed.assign(session=nowhere, start=nowhere, end=nowhere, place="outside_calendar")
    session, opens, closes = (as_ns(table[name]) for name in ("session", "opens_at", "closes_at"))
    day = start if spec.timeframe is Timeframe.DAY1 else _exchange_days(start, opens, closes)
    at = np.clip(np.searchsorted(session, day, "right") - 1, 0, len(session) - 1)
    if spec.timeframe is Timeframe.DAY1:
        start, end = opens[at], closes[at]
    else:
        end = np.minimum(start + length, closes[at])
    off_grid = (start - opens[at]) % length != 0 if length else np.zeros(len(start), dtype=bool)
    misplaced = [
        (day < session[0]) | (day > session[-1]),
        session[at] != day,
        (start < opens[at]) | (start >= closes[at]),
        off_grid,
    ]
    reasons = ["outside_calendar", "holiday", "out_of_session", "off_grid"]
    return placed.assign(
        session=pd.to_datetime(day, unit="ns"),
        start=pd.to_datetime(start, unit="ns", utc=True),
        end=pd.to_datetime(end, unit="ns", utc=True),
        place=np.select(misplaced, reasons, default=""),
    )


def _sessions_around(instants: npt.NDArray[np.int64], calendar: TradingCalendar) -> pd.DataFrame:
    """Sessions of the delivery and a few before and after, so that a holiday at either end is not called unknown."""
    if not len(instants):
        return session_table(())
    margin = pd.Timedelta(days=10)
    first, last = pd.Timestamp(instants.min()) - margin, pd.Timestamp(instants.max()) + margin
    return session_table([calendar.times(day) for day in calendar.sessions(first.date(), last.date())])


def _exchange_days(
    start: npt.NDArray[np.int64], opens: npt.NDArray[np.int64], closes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The exchange's date (midnight, ns) of each instant; the zone is asked only outside of regular hours."""
    at = np.clip(np.searchsorted(opens, start, "right") - 1, 0, len(opens) - 1)
    # the date in UTC is the exchange's during its regular hours
    day = start - start % (24 * 60 * NANOSECONDS_PER_MINUTE)
    odd = (start < opens[at]) | (start >= closes[at])
    local = pd.DatetimeIndex(pd.to_datetime(start[odd], unit="ns", utc=True)).tz_convert(EXCHANGE)
    day[odd] = as_ns(pd.Series(local.tz_localize(None).normalize()))
    return day


def _reasons(placed: pd.DataFrame) -> npt.NDArray[np.object_]:
    header = placed["delivered_time"].str.lower().isin(ALIASES["time"]) & placed["time"].isna()
    found = bad_value_reasons(placed).astype(object)
    found = np.where(placed["place"] != "", placed["place"].to_numpy(dtype=object), found)
    # from the weakest reason to the strongest: a header line is also unreadable
    for wrong, reason in ((placed["time"].isna(), "unreadable_time"), (placed["symbol"] == "", "no_symbol")):
        found = np.where(wrong, reason, found)
    return np.where(header, "repeated_header", found)


def _duplicates(good: pd.DataFrame) -> tuple[BoolArray, BoolArray]:
    """Which rows contradict another of the same symbol and start, and which merely repeat one."""
    key = ["symbol", "start"]
    content = [name for name in good.columns if name in {*CONTENT, "split_factor", "dividend"}]
    repeated = good.duplicated([*key, *content]).to_numpy()
    twice = good[~repeated].duplicated(key, keep=False).to_numpy()
    contradicted = pd.MultiIndex.from_frame(good.loc[~repeated, key][twice])
    conflict: BoolArray = np.zeros(len(good), dtype=bool)
    if len(contradicted):
        conflict = np.asarray(pd.MultiIndex.from_frame(good[key]).isin(contradicted))
    return conflict, repeated & ~conflict


def _set_aside(placed: pd.DataFrame, spec: ImportSpec, folder: Path) -> Path | None:
    """Write the rows that have a reason, as read (`row`: place in the file), under the hash of their content."""
    bad = placed[placed["reason"] != ""].drop(columns=["place", "session", "start", "end"])
    if bad.empty:
        return None
    bad = bad.assign(timeframe=spec.timeframe.value)
    digest = hashlib.sha256(pd.util.hash_pandas_object(bad, index=False).to_numpy().tobytes()).hexdigest()
    path = folder / f"{spec.timeframe.value}-{digest[:16]}.parquet"
    if not path.exists():
        write_atomically(path, pa.Table.from_pandas(bad, preserve_index=False))
    return path


def _write(
    good: pd.DataFrame,
    spec: ImportSpec,
    store: ParquetBarStore,
    known_at: datetime | None,
    on_progress: Callable[[int, int], None] | None,
) -> Iterator[WriteResult]:
    """Write some sessions at a time; daily bars, which share files, a few years at a time."""
    days = np.unique(as_ns(good["session"]))
    step = SESSIONS_PER_WRITE * (100 if spec.timeframe is Timeframe.DAY1 else 1)
    bars = good.reindex(columns=list(BAR_COLUMNS))
    position = np.searchsorted(days, as_ns(good["session"]))
    for first in range(0, len(days), step):
        some = bars[(position >= first) & (position < first + step)].reset_index(drop=True)
        yield store.write(
            some,
            spec.timeframe,
            known_at=known_at,
            adjustment=spec.adjustment,
            adjusted_through=spec.adjusted_through,
            feed=spec.feed,
        )
        if on_progress is not None:
            on_progress(min(first + step, len(days)), len(days))


def _actions(good: pd.DataFrame) -> pd.DataFrame:
    """Splits and dividends that daily rows carry: a factor other than 1, an amount other than 0 (0 or NaN: none)."""
    kinds = (("split_factor", "split", (0.0, 1.0)), ("dividend", "dividend", (0.0,)))
    found = [
        pd.DataFrame({"symbol": rows["symbol"], "ex_date": rows["session"], "kind": kind, "value": rows[column]})
        for column, kind, nothing in kinds
        if column in good.columns
        for rows in [good[good[column].notna() & ~good[column].isin(nothing)]]
    ]
    columns = {"symbol": "str", "ex_date": SESSION_NS, "kind": "str", "value": "float64"}
    return pd.concat([pd.DataFrame(columns=list(columns)).astype(columns), *found], ignore_index=True)
