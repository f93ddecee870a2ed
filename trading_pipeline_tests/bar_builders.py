"""Bar frames for tests: a plain one, a random one, and real sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.analytics.bars import session_table
from trading_pipeline.domain.market import Timeframe

CALENDAR = ExchangeCalendar()
FULL_DAY, HALF_DAY, AFTER = date(2025, 7, 2), date(2025, 7, 3), date(2025, 7, 7)
BEFORE_DST, AFTER_DST = date(2025, 10, 31), date(2025, 11, 3)
SOME_DAYS = (FULL_DAY, HALF_DAY, BEFORE_DST, AFTER_DST)
NOW = pd.Timestamp("2026-01-02 12:00", tz="UTC").to_pydatetime()


def a_store(root: Path) -> ParquetBarStore:
    """An empty store whose clock stands at the beginning of 2026."""
    return ParquetBarStore(root, CALENDAR, FixedClock(NOW))


def table_of(*days: date) -> pd.DataFrame:
    """The session table of some days."""
    return session_table([CALENDAR.times(day) for day in days])


def grid(day: date, timeframe: Timeframe = Timeframe.MIN1) -> pd.DataFrame:
    """session, start and end of every bar of one session."""
    times = CALENDAR.times(day)
    start = pd.Series(pd.date_range(times.opens_at, times.closes_at, freq=timeframe.length, inclusive="left"))
    end = (start + timeframe.length).clip(upper=pd.Series(times.closes_at, index=start.index))
    frame = pd.DataFrame({"session": pd.Timestamp(day), "start": start, "end": end})
    return frame.astype({"session": "datetime64[ns]", "start": "datetime64[ns, UTC]", "end": "datetime64[ns, UTC]"})


def flat_bars(
    symbol: str, *days: date, price: float = 100.0, timeframe: Timeframe = Timeframe.MIN1, volume: float = 100.0
) -> pd.DataFrame:
    """Every bar of some sessions at one price."""
    frame = pd.concat([grid(day, timeframe) for day in days], ignore_index=True)
    frame.insert(0, "symbol", symbol)
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return frame.assign(**prices, volume=volume, vwap=price, trade_count=1.0)


def random_bars(
    seed: int,
    symbols: Sequence[str] = ("AAA", "BRK.B"),
    days: Sequence[date] = SOME_DAYS,
    timeframe: Timeframe = Timeframe.MIN1,
    kept_fraction: float = 0.7,
) -> pd.DataFrame:
    """A random walk with missing bars and bars without volume; cents and whole shares."""
    rng = np.random.default_rng(seed)
    slots = pd.concat([grid(day, timeframe) for day in sorted(days)], ignore_index=True)
    frames = []
    for symbol in sorted(symbols):
        kept = slots[rng.random(len(slots)) < kept_fraction]
        close = np.round(100 + rng.standard_normal(len(kept)).cumsum() * 0.1, 2)
        spread = np.round(rng.random(len(kept)), 2)
        volume = np.where(rng.random(len(kept)) < 0.1, 0.0, rng.integers(1, 10_000, len(kept)))
        prices = {"open": close, "high": close + spread, "low": close - spread, "close": close}
        rows = kept.assign(**prices, volume=volume, vwap=np.where(volume > 0, close, np.nan), trade_count=1.0)
        rows.insert(0, "symbol", symbol)
        frames.append(rows)
    return pd.concat(frames, ignore_index=True)
