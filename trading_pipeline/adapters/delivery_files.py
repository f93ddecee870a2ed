"""Delivered bar files, Parquet or CSV, read into one shape whatever their columns are called."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trading_pipeline.adapters.bar_files import read_parquet
from trading_pipeline.analytics.schemas import SESSION_NS, UTC_NS
from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.market import Adjustment, Timeframe

ALIASES: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "sym"),
    "time": ("time", "ts", "timestamp", "datetime", "date", "start", "t"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c", "last"),
    "volume": ("volume", "v", "vol"),
    "vwap": ("vwap", "vw"),
    "trade_count": ("trade_count", "tradecount", "trades", "n"),
    "split_factor": ("split_factor", "splitfactor", "split"),
    "dividend": ("dividend", "divcash", "dividends"),
}
"""Our column: names it is found under, in order of preference; case, spaces and punctuation do not count."""
REQUIRED = ("symbol", "time", "open", "high", "low", "close")
NUMBERS = tuple(name for name in ALIASES if name not in {"symbol", "time"})


class ImportSpec(BaseModel):
    """What a delivery of bars is, as declared by the person who imports it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeframe: Literal[Timeframe.MIN1, Timeframe.MIN5, Timeframe.DAY1]
    label: Literal["start", "end"] = Field("start", description="Whether an intraday bar's time is its start or end.")
    adjustment: Adjustment = Field(Adjustment.RAW, description="What the prices are already adjusted for.")
    adjusted_through: date | None = Field(None, description="Last ex-date the adjustment knows; needed unless raw.")
    columns: dict[str, str] = Field(default_factory=dict, description="Our column name: the file's, where not found.")
    timezone: str = Field("America/New_York", description="Zone of intraday times that carry none.")
    symbol: str | None = Field(None, min_length=1, description="The symbol of a file without a symbol column.")
    feed: str | None = Field(None, min_length=1, description="What a vendor made the bars of: sip, iex, ib.")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{timezone!r} is not a time zone; use an IANA name such as America/New_York") from error
        return timezone

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if unknown := sorted(set(self.columns) - set(ALIASES)):
            raise ValueError(f"columns maps {', '.join(unknown)}; it can map: {', '.join(ALIASES)}")
        if self.adjustment is not Adjustment.RAW and self.adjusted_through is None:
            raise ValueError(f"adjustment {self.adjustment} needs adjusted_through: the last ex-date it takes in")
        return self


def read_delivery(path: Path, *, spec: ImportSpec) -> pd.DataFrame:
    """Every row of a file: `row` (1 = first after the header), `symbol`, `time`, `delivered_time`, prices, volume.

    `time` is datetime64[ns, UTC] for intraday bars and the session's date (datetime64[ns]) for daily ones, NaT where
    unreadable; `delivered_time` then keeps its text. Numbers are float64, NaN where unreadable. A missing volume
    column, or one without any number for a symbol, is 0: an index has none. vwap and trade_count may be NaN;
    split_factor and dividend appear when the file has them. Symbols are text whatever they spell (NAN, TRUE, ON).
    Raises DataFileError when the file is missing, empty, neither Parquet nor CSV, or lacks a column.
    """
    raw = _read_raw(path)
    if raw.empty:
        raise DataFileError(f"{path} has no rows. Check the delivery; nothing was imported.")
    found = _find_columns(path, list(map(str, raw.columns)), spec)
    frame = pd.DataFrame({"row": range(1, len(raw) + 1)})
    frame["symbol"] = spec.symbol if "symbol" not in found else _texts(raw[found["symbol"]])
    frame["time"] = _times(raw[found["time"]], spec)
    frame["delivered_time"] = _texts(raw[found["time"]].where(frame["time"].isna().to_numpy()))
    for name in NUMBERS:
        if name in found:
            frame[name] = pd.to_numeric(_plain(raw[found[name]]), errors="coerce").astype("float64")
    return _with_volume(frame)


def _read_raw(path: Path) -> pd.DataFrame:
    if path.suffix.lower() in {".parquet", ".pq"}:
        frame: pd.DataFrame = read_parquet(path).to_pandas()
        return frame.rename(columns=str)
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, compression="infer", encoding="utf-8-sig")
    except pd.errors.EmptyDataError as error:
        raise DataFileError(f"{path} is empty. Check the delivery; nothing was imported.") from error
    except (OSError, ValueError) as error:
        raise DataFileError(
            f"cannot read {path} as CSV: {str(error).splitlines()[0]}. "
            "Give a Parquet file (.parquet) or a UTF-8 CSV with a header line."
        ) from error


def _find_columns(path: Path, present: list[str], spec: ImportSpec) -> dict[str, str]:
    by_key = {_key(name): name for name in reversed(present)}
    found = {}
    for ours, aliases in ALIASES.items():
        wanted = (spec.columns[ours],) if ours in spec.columns else aliases
        exact = next((name for name in wanted if name in present), None)
        name = exact or next((by_key[_key(alias)] for alias in wanted if _key(alias) in by_key), None)
        if name is not None:
            found[ours] = name
    missing = [name for name in (*REQUIRED, *spec.columns) if name not in found]
    if spec.symbol is not None:
        found.pop("symbol", None)
        missing = [name for name in missing if name != "symbol"]
    if missing:
        raise _missing(path, missing[0], present, spec)
    return found


def _missing(path: Path, ours: str, present: list[str], spec: ImportSpec) -> DataFileError:
    looked = spec.columns.get(ours) or ", ".join(ALIASES[ours])
    other = "; or name the symbol of the whole file" if ours == "symbol" else ""
    return DataFileError(
        f"{path} has no column for {ours} (looked for: {looked}). Its columns: {', '.join(present)}. "
        f"Say which one it is with the column mapping {ours}=NAME{other}."
    )


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _plain(column: pd.Series) -> pd.Series:
    """The column as plain values: categories and thousands separators taken away."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.astype("object").map(lambda value: value.replace(",", "") if isinstance(value, str) else value)


def _texts(column: pd.Series) -> pd.Series:
    return column.astype("str").where(column.notna(), "").astype("str").str.strip()


def _times(column: pd.Series, spec: ImportSpec) -> pd.Series:
    if spec.timeframe is Timeframe.DAY1:
        return _dates(column)
    stamps = column if pd.api.types.is_datetime64_any_dtype(column) else _parsed(column, utc=_has_zone(column))
    if stamps.dt.tz is None:
        # an hour that does not exist, or exists twice, lies outside every session: NaT says so
        stamps = stamps.dt.tz_localize(spec.timezone, ambiguous="NaT", nonexistent="NaT")
    instants: pd.Series = stamps.dt.tz_convert("UTC").astype(UTC_NS)
    return instants


def _dates(column: pd.Series) -> pd.Series:
    stamps = column if pd.api.types.is_datetime64_any_dtype(column) else _parsed(_texts(column).str[:10], utc=False)
    naive = stamps.dt.tz_localize(None) if stamps.dt.tz is not None else stamps
    days: pd.Series = naive.dt.normalize().astype(SESSION_NS)
    return days


def _has_zone(column: pd.Series) -> bool:
    return bool(_texts(column).str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$", regex=True).any())


def _parsed(column: pd.Series, *, utc: bool) -> pd.Series:
    return pd.to_datetime(_texts(column), errors="coerce", format="mixed", utc=utc)


def _with_volume(frame: pd.DataFrame) -> pd.DataFrame:
    volume = frame["volume"] if "volume" in frame.columns else pd.Series(float("nan"), index=frame.index)
    without_any = ~volume.notna().groupby(frame["symbol"]).transform("any")
    frame["volume"] = volume.mask(without_any, 0.0)
    return frame
