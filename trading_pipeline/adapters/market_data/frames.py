"""Vendors' rows as the frames a delivery is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from trading_pipeline.analytics.bars import as_ns
from trading_pipeline.analytics.schemas import SESSION_NS, UTC_NS
from trading_pipeline.domain.bar_building import MinuteBar
from trading_pipeline.domain.market import SessionTimes, Timeframe

NUMBERS = ("open", "high", "low", "close", "volume", "vwap", "trade_count")


def bar_rows(
    answer: Mapping[str, Iterable[Mapping[str, Any]]],
    fields: Mapping[str, str],
    *,
    daily: bool,
    time: str,
    zone: ZoneInfo,
) -> pd.DataFrame:
    """Rows by symbol as one frame: symbol, time, NUMBERS.

    fields: our name of each number to the vendor's. daily: the time is an instant of the session's date in `zone`.
    A number that is missing is NaN; who stores them sets such rows aside.
    """
    rows = [
        (symbol, row.get(time), *map(row.get, fields.values())) for symbol in sorted(answer) for row in answer[symbol]
    ]
    frame = pd.DataFrame(rows, columns=["symbol", "time", *fields])
    instants: pd.Series = pd.to_datetime(frame["time"], utc=True, format="ISO8601").dt.as_unit("ns")
    local = instants.dt.tz_convert(zone).dt.tz_localize(None).dt.normalize().astype(SESSION_NS)
    numbers = {name: pd.to_numeric(frame[name], errors="coerce").astype("float64") for name in fields}
    return frame.assign(time=local if daily else instants, **numbers).astype({"symbol": "str"})


def in_regular_hours(rows: pd.DataFrame, timeframe: Timeframe, sessions: Sequence[SessionTimes]) -> pd.DataFrame:
    """Rows that start inside one of the sessions (daily ones: on their dates), and those whose time is unreadable."""
    if timeframe is Timeframe.DAY1:
        days = pd.Series([one.session for one in sessions], dtype=SESSION_NS)
        return rows[rows["time"].isin(days) | rows["time"].isna()].reset_index(drop=True)
    opens = as_ns(pd.Series([one.opens_at for one in sessions], dtype=UTC_NS))
    closes = as_ns(pd.Series([one.closes_at for one in sessions], dtype=UTC_NS))
    start = as_ns(rows["time"])
    at = opens.searchsorted(start, "right") - 1
    inside = (at >= 0) & (start < closes[at.clip(min=0)])
    kept: pd.DataFrame = rows[inside | rows["time"].isna().to_numpy()].reset_index(drop=True)
    return kept


def frame_of_minutes(bars: Sequence[MinuteBar]) -> pd.DataFrame:
    """Minute bars as symbol, start, NUMBERS, sorted by symbol, start."""
    rows = [
        (bar.symbol, bar.start_at, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trade_count)
        for bar in bars
    ]
    frame = pd.DataFrame(rows, columns=["symbol", "start", *NUMBERS]).astype({"symbol": "str", "start": UTC_NS})
    return frame.sort_values(["symbol", "start"], ignore_index=True)
