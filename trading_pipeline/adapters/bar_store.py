"""Bars in Parquet: every version of every row, and the views the analytics ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from filelock import FileLock, Timeout

from trading_pipeline.adapters.bar_files import (
    ACTION_SCHEMA,
    OWNER,
    by_session,
    by_symbol,
    has_feed,
    newest,
    partition_of,
    read_imported,
    read_last_end,
    read_parquet,
    read_versions,
    to_table,
    write_atomically,
)
from trading_pipeline.adapters.bar_versions import CONTENT, Merge, merge, stored_rows
from trading_pipeline.adapters.bar_views import (
    RolledSession,
    Token,
    blocks_of,
    cache_of,
    in_units_of,
    not_in,
    prefer_first,
)
from trading_pipeline.adapters.bar_views import roll_up_stored as roll
from trading_pipeline.analytics.bars import ACTION_COLUMNS, as_ns, require_action_values, session_table
from trading_pipeline.analytics.schemas import SESSION_NS, STORED_BAR_COLUMNS, UTC_NS, require_columns
from trading_pipeline.domain.errors import HomeInUseError
from trading_pipeline.domain.market import BASE_TIMEFRAMES, DERIVED_TIMEFRAMES, Adjustment, Timeframe, require_aware
from trading_pipeline.ports import Clock, TradingCalendar, WriteResult

ACTION_KEY = ["symbol", "ex_date", "kind"]
LOCK_SECONDS = 60


class ParquetBarStore:
    """Implements BarStore below one folder: <timeframe>/<session>.parquet (daily bars: <year>), actions.parquet.

    A file is only ever replaced by one that holds all its rows and more, so an answer given once can be given again.
    """

    def __init__(self, root: Path, calendar: TradingCalendar, clock: Clock) -> None:
        self.root, self.calendar, self.clock = root, calendar, clock
        self._cache = cache_of(root.resolve())

    def sessions(self, timeframe: Timeframe) -> Sequence[date]:
        """Sessions with stored rows, ascending."""
        paths = sorted((self.root / timeframe.value).glob("[0-9]*.parquet"))
        if timeframe is not Timeframe.DAY1:
            return [date.fromisoformat(path.stem) for path in paths]
        return _days(read_versions(paths))

    def base_timeframe(self) -> Timeframe | None:
        """The finest stored intraday timeframe, None when only daily bars (or none) are stored."""
        return next((one for one in BASE_TIMEFRAMES if any((self.root / one.value).glob("[0-9]*.parquet"))), None)

    def last_end(self, timeframe: Timeframe, session: date) -> datetime | None:
        """End of the newest stored bar of the session, of any symbol; None when none is stored."""
        ends = [read_last_end(path, session) for path in self._paths(timeframe, [session])]
        return ends[0] if ends else None

    def write(
        self,
        bars: pd.DataFrame,
        timeframe: Timeframe,
        *,
        known_at: datetime | None,
        adjustment: Adjustment = Adjustment.RAW,
        adjusted_through: date | None = None,
        feed: str | None = None,
    ) -> WriteResult:
        """Append what is new or different; what is already stored is counted and left alone.

        bars: a bar frame; feed: what the vendor made them of. known_at None: a new bar was known at its own end, a
        correction is known from now on (the clock's now), so no past answer changes. Raises FrameContractError for an
        unsorted frame, a price that is not finite and positive, or an adjusted delivery that does not say through
        when; DataFileError when the disk refuses (whole sessions already written stay; the same write repeated adds
        the rest); HomeInUseError.
        """
        rows = stored_rows(bars, known_at, adjustment, adjusted_through, feed)
        if rows.empty:
            return WriteResult((), 0, 0, 0)
        years = rows["session"].dt.year if timeframe is Timeframe.DAY1 else rows["session"]
        with self._lock():
            merges = [
                self._merge_file(timeframe, part.reset_index(drop=True), known_at_end=known_at is None)
                for _, part in rows.groupby(years, sort=True)
            ]
        return WriteResult(
            sessions=tuple(_days(pd.concat([one.rows for one in merges]))),
            new=sum(one.new for one in merges),
            corrected=sum(one.corrected for one in merges),
            unchanged=sum(one.unchanged for one in merges),
        )

    def read(
        self,
        timeframe: Timeframe,
        sessions: Sequence[date],
        *,
        symbols: Sequence[str] | None = None,
        known_at: datetime | None = None,
    ) -> pd.DataFrame:
        """Rows as stored (newest version known at `known_at`; None: newest), by symbol, start: STORED_BAR_COLUMNS.

        A session or symbol that is not stored has no rows. Raises DataFileError when a file is damaged.
        """
        versions = read_versions(self._paths(timeframe, sessions), symbols)
        if timeframe is Timeframe.DAY1:
            versions = versions[versions["session"].isin(_stamps(sessions))]
        if known_at is not None:
            versions = versions[versions["known_at"] <= pd.Timestamp(require_aware(known_at))]
        return newest(versions)[list(STORED_BAR_COLUMNS)]

    def view(
        self,
        timeframe: Timeframe,
        sessions: Sequence[date],
        *,
        as_of: date,
        symbols: Sequence[str] | None = None,
        known_at: datetime | None = None,
    ) -> pd.DataFrame:
        """Bars of any timeframe, rolled up where not stored, in the units of session `as_of` (back-adjusted).

        Returns a bar frame. Per symbol and session one source gives all bars: the finest stored, since the others are
        made of it; for 1d the imported daily bar first, since it is the official one (auction prints, consolidated
        volume), which minutes only approximate.
        With known_at, the running session's last derived bar holds only the base bars known by then: its `end` is
        still that of the whole bar.
        """
        wanted = sorted(set(sessions))
        known = None if known_at is None else pd.Timestamp(require_aware(known_at))
        actions = self._actions()
        found = [self._bars_from(source, timeframe, wanted, known, actions) for source in _sources(timeframe)]
        rows = prefer_first([_of(frame, symbols) for frame in found])
        return in_units_of(rows, actions, as_of, known)

    def content_hash(
        self, timeframe: Timeframe, sessions: Sequence[date], *, symbols: Sequence[str] | None = None
    ) -> str:
        """SHA-256 of the newest rows' content, whatever order or file they were delivered in (known_at left out)."""
        rows = self.read(timeframe, sessions, symbols=symbols)
        digest = hashlib.sha256("\x00".join(rows["symbol"]).encode())
        for name in ("start", *CONTENT):
            digest.update(f"\x00{name}\x00".encode() + _canonical_bytes(rows[name]))
        return digest.hexdigest()

    def write_actions(self, actions: pd.DataFrame, *, known_at: datetime | None) -> int:
        """Append corporate actions (symbol, ex_date, kind split|dividend, value); returns how many were new or changed.

        known_at None: each was known when its ex-date began (00:00 UTC). Raises FrameContractError for a missing
        column or a value that is not above zero.
        """
        rows = require_columns(actions, ACTION_COLUMNS, "corporate action")[list(ACTION_COLUMNS)]
        require_action_values(rows)
        known = rows["ex_date"].dt.tz_localize("UTC") if known_at is None else pd.Timestamp(require_aware(known_at))
        rows = rows.assign(known_at=known).astype({"ex_date": SESSION_NS, "known_at": UTC_NS, "value": "float64"})
        with self._lock():
            stored = self._action_versions()
            old = set(_last_action(stored)[list(ACTION_COLUMNS)].itertuples(index=False, name=None))
            is_new = [one not in old for one in rows[list(ACTION_COLUMNS)].itertuples(index=False, name=None)]
            fresh = rows[is_new].drop_duplicates(list(ACTION_COLUMNS))
            if len(fresh):
                together = pd.concat([stored, fresh]).sort_values([*ACTION_KEY, "known_at"], kind="stable")
                table = pa.Table.from_pandas(together, schema=ACTION_SCHEMA, preserve_index=False)
                write_atomically(self._actions_path, table.replace_schema_metadata())
        return len(fresh)

    def actions(self, *, known_at: datetime | None = None) -> pd.DataFrame:
        """All known corporate actions (newest value of each), sorted by symbol, ex_date; with known_at."""
        versions = self._action_versions()
        if known_at is not None:
            versions = versions[versions["known_at"] <= pd.Timestamp(require_aware(known_at))]
        return _last_action(versions)

    def imported(self, timeframe: Timeframe, sessions: Sequence[date]) -> Mapping[date, frozenset[str]]:
        """Symbols by session with rows that no vendor delivered: from files, or a made-up market."""
        owners = read_imported(self._paths(timeframe, sessions))
        return {day: frozenset(part["symbol"]) for day, part in by_session(owners).items() if day in set(sessions)}

    def state(self, sessions: Sequence[date]) -> Hashable:
        """What the files behind these sessions look like; equal as long as none of them was written."""
        timeframes = {*BASE_TIMEFRAMES, Timeframe.DAY1}
        return tuple(self._token(timeframe, session) for timeframe in sorted(timeframes) for session in sessions)

    def of_feed(self, feed: str, sessions: Sequence[date]) -> pd.DataFrame:
        """symbol and session whose daily volume is of that feed: its own daily bar, or the base bars instead of one."""
        base, daily = self.base_timeframe(), self._owners_of(Timeframe.DAY1, sessions, feed)
        minutes = self._owners_of(base, sessions, feed) if base else daily.iloc[:0]
        if len(minutes):
            minutes = not_in(minutes, [self.read(Timeframe.DAY1, sessions)])
        return pd.concat([daily, minutes], ignore_index=True)

    @property
    def quarantine_folder(self) -> Path:
        """Where imports put rows that cannot be used, with the reason."""
        return self.root / "quarantine"

    @property
    def _actions_path(self) -> Path:
        return self.root / "actions.parquet"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.root / ".write.lock", timeout=LOCK_SECONDS):
                yield
        except Timeout as error:
            raise HomeInUseError(
                f"another process has been writing bars to {self.root} for {LOCK_SECONDS} s. Wait for it, then repeat."
            ) from error

    def _merge_file(self, timeframe: Timeframe, rows: pd.DataFrame, *, known_at_end: bool) -> Merge:
        path = self.root / timeframe.value / f"{partition_of(timeframe, rows['session'].iloc[0].date())}.parquet"
        stored = read_versions([path] if path.exists() else [])
        merged = merge(stored, rows, self.clock.now(), known_at_end=known_at_end)
        if len(merged.rows):
            together = pd.concat([stored, merged.rows]) if len(stored) else merged.rows
            write_atomically(path, to_table(together))
        return merged

    def _owners_of(self, timeframe: Timeframe, sessions: Sequence[date], feed: str) -> pd.DataFrame:
        """symbol and session with any row of the feed; files without one are not read."""
        wanted = [one for one in sessions if any(has_feed(path, feed) for path in self._paths(timeframe, [one]))]
        rows = self.read(timeframe, wanted)
        return rows.loc[rows["feed"] == feed, OWNER].drop_duplicates()

    def _paths(self, timeframe: Timeframe, sessions: Sequence[date]) -> list[Path]:
        names = sorted({partition_of(timeframe, session) for session in sessions})
        paths = (self.root / timeframe.value / f"{name}.parquet" for name in names)
        return [path for path in paths if path.exists()]

    def _bars_from(
        self,
        source: Timeframe,
        target: Timeframe,
        sessions: Sequence[date],
        known_at: pd.Timestamp | None,
        actions: pd.DataFrame,
    ) -> pd.DataFrame:
        """Bars of the target timeframe made from one stored timeframe, as delivered (not yet adjusted)."""
        if source is target:
            return self.read(source, sessions, known_at=known_at)
        tokens = {session: self._token(source, session) for session in sessions}
        stored = [session for session in sessions if tokens[session]]
        cached = {s: e for s in stored if (e := self._cache.get(source, target, s, tokens[s])) is not None}
        missing = [session for session in stored if session not in cached]
        cached |= self._roll_newest(source, target, {session: tokens[session] for session in missing}, actions)
        late = [s for s, e in cached.items() if known_at is not None and e.latest_known_at > known_at]
        frames = [entry.rows for session, entry in cached.items() if session not in late]
        if late:
            frames.append(self._roll(self.read(source, late, known_at=known_at), target, actions))
        return _joined(frames) if frames else self.read(source, ())

    def _roll_newest(
        self, source: Timeframe, target: Timeframe, tokens: dict[date, Token], actions: pd.DataFrame
    ) -> dict[date, RolledSession]:
        """Roll whole sessions up, many in one pass, and remember each.

        Reading costs more than rolling up: all derived timeframes are made while the rows are at hand.
        """
        made: dict[date, RolledSession] = {}
        for block in blocks_of(tokens):
            rows = self.read(source, block)
            latest = {day: part["known_at"].max() for day, part in by_session(rows).items()}
            for timeframe in dict.fromkeys((*DERIVED_TIMEFRAMES, target)):
                rolled = by_session(self._roll(rows, timeframe, actions))
                entries = {day: RolledSession(tokens[day], part, latest[day]) for day, part in rolled.items()}
                self._cache.remember(source, timeframe, entries)
                made |= entries if timeframe is target else {}
        return made

    def _roll(self, rows: pd.DataFrame, target: Timeframe, actions: pd.DataFrame) -> pd.DataFrame:
        return roll(rows, target, session_table([self.calendar.times(day) for day in _days(rows)]), actions)

    def _token(self, timeframe: Timeframe, session: date) -> Token:
        """Identity of the files a roll-up depends on; empty when the session is not stored."""
        path = self.root / timeframe.value / f"{partition_of(timeframe, session)}.parquet"
        if not path.exists():
            return ()
        stats = [one.stat() for one in (path, self._actions_path) if one.exists()]
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in stats)

    def _action_versions(self) -> pd.DataFrame:
        path = self._actions_path
        table = read_parquet(path) if path.exists() else ACTION_SCHEMA.empty_table()
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def _actions(self) -> pd.DataFrame:
        return _last_action(self._action_versions())


def _sources(timeframe: Timeframe) -> list[Timeframe]:
    """Stored timeframes a view may be made of, the preferred first."""
    finer = [one for one in BASE_TIMEFRAMES if one.minutes <= timeframe.minutes]
    return [Timeframe.DAY1, *finer] if timeframe is Timeframe.DAY1 else finer


def _days(rows: pd.DataFrame) -> list[date]:
    """The sessions in the rows, ascending."""
    return [stamp.date() for stamp in pd.DatetimeIndex(rows["session"].unique()).sort_values()]


def _stamps(sessions: Sequence[date]) -> pd.Series:
    return pd.Series(list(sessions), dtype=SESSION_NS)


def _of(frame: pd.DataFrame, symbols: Sequence[str] | None) -> pd.DataFrame:
    return frame if symbols is None else frame[frame["symbol"].isin(list(symbols))]


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames of ascending sessions as one frame by symbol, start."""
    if len(frames) == 1:
        return frames[0]
    joined = pd.concat(frames, ignore_index=True)
    return by_symbol(joined.take(np.argsort(as_ns(joined["session"]), kind="stable")))


def _last_action(versions: pd.DataFrame) -> pd.DataFrame:
    return versions.drop_duplicates(ACTION_KEY, keep="last").reset_index(drop=True)


def _canonical_bytes(column: pd.Series) -> bytes:
    if pd.api.types.is_datetime64_any_dtype(column):
        return as_ns(column).tobytes()
    if pd.api.types.is_float_dtype(column):
        # one NaN and one zero: different bit patterns of the same content hash alike
        return np.nan_to_num(column.to_numpy(dtype=np.float64) + 0.0, nan=np.inf).tobytes()
    return "\x00".join(column).encode()
