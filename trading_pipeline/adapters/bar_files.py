"""Parquet on disk: atomic writes, clear errors, and the stored form of bars."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from trading_pipeline.analytics.bars import as_ns
from trading_pipeline.analytics.schemas import STORED_BAR_COLUMNS
from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.market import Timeframe

INSTANT, DAY = pa.timestamp("ns", tz="UTC"), pa.timestamp("ns")
TYPES = {
    "symbol": pa.string(),
    "session": DAY,
    "start": INSTANT,
    "end": INSTANT,
    "known_at": INSTANT,
    "adjustment": pa.string(),
    "adjusted_through": DAY,
    "feed": pa.string(),
}
VERSION = "version"
OWNER = ["symbol", "session"]
BAR_SCHEMA = pa.schema([*((name, TYPES.get(name, pa.float64())) for name in STORED_BAR_COLUMNS), (VERSION, pa.int32())])
"""One file per partition holds every version of every row, sorted by symbol, start, known_at, version."""
ACTION_SCHEMA = pa.schema(
    [("symbol", pa.string()), ("ex_date", DAY), ("kind", pa.string()), ("value", pa.float64()), ("known_at", INSTANT)]
)


def write_atomically(path: Path, table: pa.Table) -> None:
    """Replace `path` by the table, all or nothing: a reader sees the old file or the new one.

    Raises DataFileError when the disk is full, the folder cannot be written, or anything else stops the write.
    """
    unfinished: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        unfinished = Path(name)
        with os.fdopen(handle, "wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise DataFileError(
            f"cannot write {path}: {error}. What was stored before is untouched. "
            "Free disk space or make the folder writable, then run the same command again."
        ) from error
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def read_parquet(path: Path) -> pa.Table:
    """The whole table; raises DataFileError when the file is missing, damaged or no Parquet."""
    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> DataFileError:
    """The error for a Parquet file that cannot be read."""
    reason = str(error).splitlines()[0]
    return DataFileError(f"cannot read {path} as Parquet: {reason}. Check that the file exists and is complete.")


def partition_of(timeframe: Timeframe, session: date) -> str:
    """Name of the file a bar is in: its session's, or a year's of daily bars (else 36 years of VIX are 9,000 files)."""
    return f"{session.year}" if timeframe is Timeframe.DAY1 else session.isoformat()


def to_table(rows: pd.DataFrame) -> pa.Table:
    """Stored rows, all versions, in file order."""
    ordered = rows.sort_values(["symbol", "start", "known_at", VERSION], kind="stable")
    return pa.Table.from_pandas(ordered, schema=BAR_SCHEMA, preserve_index=False).replace_schema_metadata()


def read_versions(paths: Sequence[Path], symbols: Sequence[str] | None = None) -> pd.DataFrame:
    """Every version of every row of ascending partitions, by symbol, start, known_at, version.

    Raises DataFileError when a file is damaged.
    """
    if not paths:
        nothing: pd.DataFrame = BAR_SCHEMA.empty_table().to_pandas()
        return nothing
    chosen = None if symbols is None else ds.field("symbol").isin(list(symbols))
    try:
        table = ds.dataset([str(path) for path in paths], schema=BAR_SCHEMA, format="parquet").to_table(filter=chosen)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(paths[0] if len(paths) == 1 else paths[0].parent, error) from error
    frame: pd.DataFrame = table.to_pandas()
    return by_symbol(frame) if len(paths) > 1 else frame


def read_last_end(path: Path, session: date) -> datetime | None:
    """The newest bar's end among a session's rows of one partition; reads two columns. Raises DataFileError."""
    try:
        rows = ds.dataset(str(path), schema=BAR_SCHEMA, format="parquet").to_table(
            columns=["end"], filter=ds.field("session") == pa.scalar(pd.Timestamp(session), DAY)
        )
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error
    newest_end = pc.max(rows["end"]).as_py()
    return None if newest_end is None else pd.Timestamp(newest_end).to_pydatetime().astimezone(UTC)


def has_feed(path: Path, feed: str) -> bool:
    """True when any row of the partition, of any version, is of the feed; reads that column only."""
    try:
        rows = ds.dataset(str(path), schema=BAR_SCHEMA, format="parquet")
        return bool(rows.count_rows(filter=ds.field("feed") == feed))
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def read_imported(paths: Sequence[Path]) -> pd.DataFrame:
    """symbol and session of rows without a feed, each once; reads three columns. Raises DataFileError."""
    nothing: pd.DataFrame = BAR_SCHEMA.empty_table().select(OWNER).to_pandas()
    found = [nothing]
    for path in paths:
        try:
            rows = ds.dataset(str(path), schema=BAR_SCHEMA, format="parquet")
            table = rows.to_table(columns=OWNER, filter=ds.field("feed").is_null())
        except (OSError, pa.ArrowException) as error:
            raise unreadable(path, error) from error
        found.append(table.group_by(OWNER).aggregate([]).to_pandas())
    return pd.concat(found, ignore_index=True)


def by_symbol(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows grouped by symbol, otherwise in the order they have (a stable sort, radix for up to 32,767 symbols)."""
    codes, names = pd.factorize(frame["symbol"])
    rank = np.empty(len(names), dtype=np.int16 if len(names) < np.iinfo(np.int16).max else np.int64)
    rank[np.argsort(np.asarray(names, dtype=object), kind="stable")] = np.arange(len(names))
    grouped: pd.DataFrame = frame.take(np.argsort(rank[codes], kind="stable")).reset_index(drop=True)
    return grouped


def newest(versions: pd.DataFrame) -> pd.DataFrame:
    """The last version of each row; `versions` in file order."""
    if len(versions) < 2:
        return versions.reset_index(drop=True)
    symbol, start = pd.factorize(versions["symbol"])[0], as_ns(versions["start"])
    last = np.r_[(symbol[1:] != symbol[:-1]) | (start[1:] != start[:-1]), True]
    kept: pd.DataFrame = versions if bool(last.all()) else versions[last]
    return kept.reset_index(drop=True)


def by_session(frame: pd.DataFrame) -> dict[date, pd.DataFrame]:
    """The rows of each session, ascending by session."""
    return {pd.Timestamp(str(stamp)).date(): part for stamp, part in frame.groupby("session", sort=True)}
