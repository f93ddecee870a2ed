"""Stored bars as a feed: exact prices, exact instants, and nothing from the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.adapters.bar_feed import StoredBarFeed
from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.domain.errors import MissingBarsError
from trading_pipeline.domain.market import SessionTimes, Timeframe

CALENDAR = ExchangeCalendar()
FULL = CALENDAR.times(datetime(2024, 11, 27, tzinfo=UTC).date())
HALF = CALENDAR.times(datetime(2024, 11, 29, tzinfo=UTC).date())


def rows(symbol: str, times: SessionTimes, *closes: float, first: int = 0) -> pd.DataFrame:
    """Consecutive 5-minute bars from the open on, skipping the first `first`."""
    starts = pd.DatetimeIndex([times.opens_at + timedelta(minutes=5 * (first + n)) for n in range(len(closes))])
    close = pd.Series(closes, dtype="float64")
    return pd.DataFrame(
        {
            "symbol": symbol, "start": starts.as_unit("ns"), "end": (starts + timedelta(minutes=5)).as_unit("ns"),
            "open": close, "high": close + 0.5, "low": close - 0.5, "close": close, "volume": 1000.0,
            "session": pd.Timestamp(times.session),
        }
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> ParquetBarStore:
    store = ParquetBarStore(tmp_path, CALENDAR, FixedClock(datetime(2025, 1, 2, tzinfo=UTC)))
    bars = pd.concat([rows("AAA", FULL, 10.0, 10.3, 10.2), rows("BBB", FULL, 20.01, 20.02), rows("CCC", HALF, 5.0)])
    store.write(bars, Timeframe.MIN5, known_at=None)
    return store


def at(minutes: int) -> datetime:
    return FULL.opens_at + timedelta(minutes=minutes)


def test_bars_come_by_symbol_with_exact_prices(store: ParquetBarStore) -> None:
    bars = StoredBarFeed(store).bars_after(FULL, dict.fromkeys(("BBB", "AAA", "ZZZ"), at(5)), at(10))

    assert [(bar.symbol, bar.close, bar.high) for bar in bars] == [
        ("AAA", Decimal("10.3"), Decimal("10.8")),
        ("BBB", Decimal("20.02"), Decimal("20.52")),
    ]
    assert (bars[0].start_at, bars[0].end_at, bars[0].volume) == (at(5), at(10), Decimal(1000))


def test_a_symbol_without_a_bar_at_that_instant_has_none(store: ParquetBarStore) -> None:
    feed = StoredBarFeed(store)

    assert [bar.symbol for bar in feed.bars_after(FULL, dict.fromkeys(("AAA", "BBB"), at(10)), at(15))] == ["AAA"]
    assert list(feed.bars_after(FULL, dict.fromkeys(("AAA", "BBB"), at(5)), at(7))) == []


def test_a_bar_stored_late_comes_with_the_next_ones(store: ParquetBarStore) -> None:
    live = StoredBarFeed(store, live=True)
    assert list(live.bars_after(FULL, {"BBB": at(10)}, at(15))) == []

    store.write(rows("BBB", FULL, 20.03, 20.04, first=2), Timeframe.MIN5, known_at=None)

    assert [bar.end_at for bar in live.bars_after(FULL, {"BBB": at(10)}, at(20))] == [at(15), at(20)]


def test_a_quote_is_the_last_close_and_keeps_its_age(store: ParquetBarStore) -> None:
    feed = StoredBarFeed(store)

    quotes = feed.quotes(FULL, at(60), {"AAA", "BBB", "ZZZ"})

    assert {s: (q.price, q.quoted_at) for s, q in quotes.items()} == {
        "AAA": (Decimal("10.2"), at(15)),
        "BBB": (Decimal("20.02"), at(10)),
    }


def test_a_quote_never_looks_ahead(store: ParquetBarStore) -> None:
    feed = StoredBarFeed(store)

    assert feed.quotes(FULL, at(4), {"AAA"}) == {}
    assert feed.quotes(FULL, at(9), {"AAA"})["AAA"].price == Decimal(10)


@pytest.mark.parametrize(("times", "count"), [(FULL, 78), (HALF, 42)])
def test_bar_ends_run_to_the_sessions_own_close(store: ParquetBarStore, times: SessionTimes, count: int) -> None:
    ends = StoredBarFeed(store).bar_ends(times)

    assert (len(ends), ends[0], ends[-1]) == (count, times.opens_at + timedelta(minutes=5), times.closes_at)


def test_a_session_without_bars_and_an_empty_store_say_what_to_import(store: ParquetBarStore, tmp_path: Path) -> None:
    empty = ParquetBarStore(tmp_path / "none", CALENDAR, FixedClock(datetime(2025, 1, 2, tzinfo=UTC)))
    later = CALENDAR.times(CALENDAR.next(HALF.session))

    with pytest.raises(MissingBarsError, match=r"2024-12-02.*data import"):
        StoredBarFeed(store).quotes(later, later.opens_at, {"AAA"})
    with pytest.raises(MissingBarsError):
        StoredBarFeed(empty).base_minutes()


def test_a_live_feed_sees_bars_that_arrive_and_a_replay_does_not(store: ParquetBarStore) -> None:
    live, replay = StoredBarFeed(store, live=True), StoredBarFeed(store)
    for feed in (live, replay):
        feed.quotes(FULL, at(15), {"BBB"})

    store.write(rows("BBB", FULL, 20.5, first=3), Timeframe.MIN5, known_at=None)

    assert live.quotes(FULL, at(20), {"BBB"})["BBB"].price == Decimal("20.5")
    assert replay.quotes(FULL, at(20), {"BBB"})["BBB"].price == Decimal("20.02")


def test_a_live_feed_waits_for_the_first_bar(store: ParquetBarStore) -> None:
    later = CALENDAR.times(CALENDAR.next(HALF.session))

    assert StoredBarFeed(store, live=True).quotes(later, later.opens_at, {"AAA"}) == {}
