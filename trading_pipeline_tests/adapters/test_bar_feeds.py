"""What the store remembers of who made a bar, and what follows from it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.domain.market import Timeframe
from trading_pipeline_tests.bar_builders import AFTER, FULL_DAY, HALF_DAY, NOW, a_store, flat_bars

DAILY, MIN5 = Timeframe.DAY1, Timeframe.MIN5
LATER = NOW + timedelta(hours=1)


def owners(store: ParquetBarStore, feed: str = "iex") -> set[tuple[str, str]]:
    found = store.of_feed(feed, [FULL_DAY, HALF_DAY])
    return set(zip(found["symbol"], found["session"].dt.strftime("%d"), strict=True))


def test_a_bar_from_a_file_has_no_feed_and_one_from_a_vendor_keeps_its(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.write(flat_bars("AAA", FULL_DAY, timeframe=MIN5), MIN5, known_at=NOW, feed="sip")
    store.write(flat_bars("BBB", FULL_DAY, timeframe=MIN5), MIN5, known_at=NOW)

    rows = store.read(MIN5, [FULL_DAY])

    assert set(rows.loc[rows["symbol"] == "AAA", "feed"]) == {"sip"}
    assert rows.loc[rows["symbol"] == "BBB", "feed"].isna().all()


def test_the_same_bar_of_another_feed_is_a_version_and_one_of_no_feed_is_not(tmp_path: Path) -> None:
    store, bars = a_store(tmp_path), flat_bars("AAA", FULL_DAY, timeframe=DAILY)
    store.write(bars, DAILY, known_at=NOW, feed="iex")

    assert store.write(bars, DAILY, known_at=LATER).unchanged == 1
    assert store.write(bars, DAILY, known_at=LATER, feed="sip").corrected == 1
    assert list(store.read(DAILY, [FULL_DAY])["feed"]) == ["sip"]
    assert list(store.read(DAILY, [FULL_DAY], known_at=NOW)["feed"]) == ["iex"]


def test_volume_is_of_one_exchange_where_the_newest_daily_bar_or_its_minutes_are(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.write(flat_bars("AAA", FULL_DAY, HALF_DAY, timeframe=MIN5), MIN5, known_at=NOW, feed="iex")
    store.write(flat_bars("AAA", HALF_DAY, timeframe=DAILY), DAILY, known_at=NOW, feed="sip")
    store.write(flat_bars("BBB", FULL_DAY, timeframe=DAILY), DAILY, known_at=NOW, feed="iex")
    assert owners(store) == {("AAA", "02"), ("BBB", "02")}

    store.write(flat_bars("BBB", FULL_DAY, timeframe=DAILY, volume=5.0), DAILY, known_at=LATER, feed="sip")
    assert owners(store) == {("AAA", "02")}
    assert owners(store, "sip") == {("AAA", "03"), ("BBB", "02")}


def test_files_of_before_there_were_feeds_are_read_as_imported(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.write(flat_bars("AAA", FULL_DAY, timeframe=MIN5), MIN5, known_at=NOW)
    path = tmp_path / "5min" / f"{FULL_DAY}.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["feed"]), path)

    assert store.read(MIN5, [FULL_DAY])["feed"].isna().all()
    assert store.imported(MIN5, [FULL_DAY, AFTER]) == {FULL_DAY: frozenset({"AAA"})}
    assert store.write(flat_bars("AAA", FULL_DAY, timeframe=MIN5), MIN5, known_at=LATER).unchanged == 78


def test_only_rows_without_a_feed_count_as_imported(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.write(flat_bars("AAA", FULL_DAY, HALF_DAY, timeframe=DAILY), DAILY, known_at=NOW)
    store.write(flat_bars("BBB", FULL_DAY, timeframe=DAILY), DAILY, known_at=NOW, feed="sip")

    assert store.imported(DAILY, [FULL_DAY]) == {FULL_DAY: frozenset({"AAA"})}
    assert store.imported(DAILY, [AFTER]) == {}


def test_the_state_of_sessions_changes_with_any_write_that_concerns_them_and_with_no_other(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.write(flat_bars("AAA", FULL_DAY, timeframe=MIN5), MIN5, known_at=NOW)
    before = store.state([FULL_DAY])

    store.write(flat_bars("AAA", HALF_DAY, timeframe=MIN5), MIN5, known_at=NOW)
    assert store.state([FULL_DAY]) == before

    store.write(flat_bars("BBB", FULL_DAY, timeframe=MIN5), MIN5, known_at=NOW)
    changed = store.state([FULL_DAY])
    assert changed != before

    split = pd.DataFrame({"symbol": ["AAA"], "ex_date": [pd.Timestamp(HALF_DAY)], "kind": ["split"], "value": [2.0]})
    store.write_actions(split, known_at=NOW)
    assert store.state([FULL_DAY]) != changed
