"""What the roll-up cache keeps when there is too much: what a scan will ask for again."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from trading_pipeline.adapters.bar_views import RolledSession, RollUpCache, cache_of
from trading_pipeline.domain.market import Timeframe

DAYS = [date(2025, 3, 3) + timedelta(days=day) for day in range(4)]
TOKEN = ((1, 2, 3),)
KNOWN = pd.Timestamp("2025-03-10", tz="UTC")


def remember(cache: RollUpCache, timeframe: Timeframe, days: list[date], rows: int) -> None:
    """Put a roll-up of `rows` rows for each day."""
    frame = pd.DataFrame({"close": [1.0] * rows})
    cache.remember(Timeframe.MIN5, timeframe, {day: RolledSession(TOKEN, frame, KNOWN) for day in days})


def kept(cache: RollUpCache, timeframe: Timeframe) -> list[date]:
    """Days the cache still has."""
    return [day for day in DAYS if cache.get(Timeframe.MIN5, timeframe, day, TOKEN)]


def test_coarse_bars_of_every_session_outlive_fine_bars_of_old_ones() -> None:
    cache = RollUpCache(max_rows=30)

    for day in DAYS:
        remember(cache, Timeframe.MIN15, [day], rows=10)
        remember(cache, Timeframe.HOUR4, [day], rows=2)

    assert kept(cache, Timeframe.HOUR4) == DAYS
    assert kept(cache, Timeframe.MIN15) == DAYS[2:]


def test_fine_bars_used_last_are_kept_longest() -> None:
    cache = RollUpCache(max_rows=30)
    remember(cache, Timeframe.MIN15, DAYS[:3], rows=10)

    cache.get(Timeframe.MIN5, Timeframe.MIN15, DAYS[0], TOKEN)
    remember(cache, Timeframe.MIN15, DAYS[3:], rows=10)

    assert kept(cache, Timeframe.MIN15) == [DAYS[0], *DAYS[2:]]


def test_a_roll_up_of_files_that_changed_is_not_given() -> None:
    cache = RollUpCache()
    remember(cache, Timeframe.DAY1, DAYS[:1], rows=1)

    assert cache.get(Timeframe.MIN5, Timeframe.DAY1, DAYS[0], ((9, 9, 9),)) is None


def test_stores_opened_on_the_same_folder_share_what_was_rolled_up(tmp_path: Path) -> None:
    assert cache_of(tmp_path) is cache_of(tmp_path)
    assert cache_of(tmp_path) is not cache_of(tmp_path / "other")
