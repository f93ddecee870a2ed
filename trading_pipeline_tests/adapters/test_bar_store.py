"""The bar store: nothing is overwritten, nothing is written twice, and the past stays as it was known."""

from __future__ import annotations

import errno
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.bars import roll_up
from trading_pipeline.analytics.schemas import BAR_COLUMNS, STORED_BAR_COLUMNS
from trading_pipeline.domain.errors import DataFileError, FrameContractError
from trading_pipeline.domain.market import DERIVED_TIMEFRAMES, Adjustment, Timeframe
from trading_pipeline.ports import BarStore
from trading_pipeline_tests.bar_builders import (
    AFTER,
    CALENDAR,
    FULL_DAY,
    HALF_DAY,
    NOW,
    SOME_DAYS,
    a_store,
    flat_bars,
    random_bars,
    table_of,
)

MIN1, MIN5, DAY1 = Timeframe.MIN1, Timeframe.MIN5, Timeframe.DAY1


def corrected(bars: pd.DataFrame, close: float = 100.5) -> pd.DataFrame:
    """The first bar restated."""
    changed = bars.copy()
    changed.loc[0, ["high", "close"]] = close
    return changed


def files(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below the folder with its inode and bytes."""
    found = (path for path in sorted(root.rglob("*.parquet")))
    return {str(path.relative_to(root)): (path.stat().st_ino, path.read_bytes()) for path in found}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store: BarStore = a_store(tmp_path)
    bars = random_bars(1)

    result = store.write(bars, MIN1, known_at=None)

    rows = store.read(MIN1, SOME_DAYS)
    assert (result.new, result.corrected, result.unchanged) == (len(bars), 0, 0)
    assert result.sessions == SOME_DAYS == tuple(store.sessions(MIN1))
    assert tuple(rows.columns) == STORED_BAR_COLUMNS
    pd.testing.assert_frame_equal(rows[list(BAR_COLUMNS)], bars)
    assert (rows["known_at"] == rows["end"]).all()


def test_writing_the_same_bars_again_writes_nothing(tmp_path: Path) -> None:
    store, bars = a_store(tmp_path), random_bars(2)
    store.write(bars, MIN1, known_at=None)
    before = files(tmp_path)

    result = store.write(bars, MIN1, known_at=NOW)

    assert (result.sessions, result.new, result.corrected, result.unchanged) == ((), 0, 0, len(bars))
    assert files(tmp_path) == before


def test_a_correction_is_a_new_version_and_the_old_one_stays(tmp_path: Path) -> None:
    store, bars = a_store(tmp_path), flat_bars("AAA", FULL_DAY)
    store.write(bars, MIN1, known_at=None)

    result = store.write(corrected(bars), MIN1, known_at=None)

    assert (result.new, result.corrected, result.unchanged) == (0, 1, len(bars) - 1)
    assert store.read(MIN1, [FULL_DAY])["close"].iloc[0] == 100.5
    earlier = store.read(MIN1, [FULL_DAY], known_at=NOW - timedelta(seconds=1))
    assert earlier["close"].iloc[0] == 100.0
    assert len(earlier) == len(bars)


def test_a_restatement_can_be_taken_back(tmp_path: Path) -> None:
    store, bars = a_store(tmp_path), flat_bars("AAA", FULL_DAY)
    for frame in (bars, corrected(bars), bars):
        store.write(frame, MIN1, known_at=None)

    assert store.read(MIN1, [FULL_DAY])["close"].iloc[0] == 100.0
    assert store.write(bars, MIN1, known_at=None).unchanged == len(bars)


moments = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=4, unique_by=lambda d: d[1])


def closes_known_at(deliveries: list[tuple[int, int]], asked: list[int]) -> list[list[float]]:
    """The close shown at each minute asked, after deliveries of (cents, minute known), in that order."""
    day_after = datetime(2025, 7, 8, tzinfo=UTC)
    bars = flat_bars("AAA", FULL_DAY).head(1)
    with TemporaryDirectory() as folder:
        store = a_store(Path(folder))
        for cents, minute in deliveries:
            store.write(corrected(bars, 101 + cents), MIN1, known_at=day_after + timedelta(minutes=minute))
        instants = [day_after + timedelta(minutes=minute) for minute in asked]
        return [list(store.read(MIN1, [FULL_DAY], known_at=instant)["close"]) for instant in instants]


@settings(max_examples=8, deadline=None)
@given(deliveries=moments)
def test_reading_at_an_instant_never_shows_what_was_learned_later(deliveries: list[tuple[int, int]]) -> None:
    for minute, shown in enumerate(closes_known_at(deliveries, list(range(10)))):
        known = {101 + cents for cents, known_at in deliveries if known_at <= minute}
        assert set(shown) <= known
        assert bool(shown) == bool(known)


@settings(max_examples=8, deadline=None)
@given(deliveries=moments.map(lambda found: sorted(found, key=lambda one: one[1])))
def test_reading_at_an_instant_shows_the_last_delivery_before_it(deliveries: list[tuple[int, int]]) -> None:
    for minute, shown in enumerate(closes_known_at(deliveries, list(range(10)))):
        assert shown == [101 + cents for cents, known_at in deliveries if known_at <= minute][-1:]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(range(4)))
def test_the_content_hash_depends_on_neither_order_nor_split_of_deliveries(seed: int, order: list[int]) -> None:
    bars = random_bars(seed, days=(FULL_DAY, HALF_DAY), kept_fraction=0.2)
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        whole, parts = a_store(Path(one)), a_store(Path(other))
        whole.write(bars, MIN1, known_at=None)
        for part in order:
            parts.write(bars.iloc[part::4].reset_index(drop=True), MIN1, known_at=NOW + timedelta(days=part))
        days = (FULL_DAY, HALF_DAY)
        assert parts.content_hash(MIN1, days) == whole.content_hash(MIN1, days[::-1])


def test_the_content_hash_sees_every_change_and_only_the_asked_symbols(tmp_path: Path) -> None:
    store, bars = a_store(tmp_path), flat_bars("AAA", FULL_DAY)
    store.write(bars, MIN1, known_at=None)
    before = store.content_hash(MIN1, [FULL_DAY])
    store.write(flat_bars("BBB", FULL_DAY), MIN1, known_at=None)

    assert store.content_hash(MIN1, [FULL_DAY]) != before
    assert store.content_hash(MIN1, [FULL_DAY], symbols=["AAA"]) == before
    store.write(corrected(bars, 100.01), MIN1, known_at=None)
    assert store.content_hash(MIN1, [FULL_DAY], symbols=["AAA"]) != before


@pytest.mark.parametrize("timeframe", DERIVED_TIMEFRAMES)
def test_a_view_is_the_roll_up_of_what_is_stored(tmp_path: Path, timeframe: Timeframe) -> None:
    store, bars = a_store(tmp_path), random_bars(3)
    store.write(bars, MIN1, known_at=None)
    expected = roll_up(bars, timeframe, table_of(*SOME_DAYS))

    for _ in ("computed", "remembered"):
        pd.testing.assert_frame_equal(store.view(timeframe, SOME_DAYS, as_of=SOME_DAYS[-1]), expected)


def test_a_remembered_roll_up_is_forgotten_when_a_bar_is_corrected(tmp_path: Path) -> None:
    store, bars = a_store(tmp_path), flat_bars("AAA", FULL_DAY)
    store.write(bars, MIN1, known_at=None)
    store.view(DAY1, [FULL_DAY], as_of=FULL_DAY)

    store.write(corrected(bars, 101.0), MIN1, known_at=None)

    assert store.view(DAY1, [FULL_DAY], as_of=FULL_DAY)["high"].iloc[0] == 101.0
    earlier = store.view(DAY1, [FULL_DAY], as_of=FULL_DAY, known_at=NOW - timedelta(days=1))
    assert earlier["high"].iloc[0] == 100.0


def test_a_view_of_the_running_session_holds_only_what_was_known(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.write(flat_bars("AAA", FULL_DAY, HALF_DAY), MIN1, known_at=None)
    at = CALENDAR.times(HALF_DAY).opens_at + timedelta(minutes=40)
    store.view(Timeframe.MIN15, (FULL_DAY, HALF_DAY), as_of=HALF_DAY)

    view = store.view(Timeframe.MIN15, (FULL_DAY, HALF_DAY), as_of=HALF_DAY, known_at=at)

    assert list(view["volume"])[-4:] == [1500.0, 1500.0, 1500.0, 1000.0]
    assert len(view) == 26 + 3


def test_the_imported_daily_bar_wins_over_the_rolled_up_one(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.write(flat_bars("AAA", FULL_DAY, HALF_DAY), MIN1, known_at=None)
    official = flat_bars("AAA", FULL_DAY, timeframe=DAY1, price=100.25).assign(end=CALENDAR.times(FULL_DAY).closes_at)
    store.write(official, DAY1, known_at=None)

    view = store.view(DAY1, (FULL_DAY, HALF_DAY), as_of=HALF_DAY)

    assert list(view["close"]) == [100.25, 100.0]


def test_the_finest_stored_bars_of_a_symbol_and_session_make_the_view(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.write(flat_bars("AAA", FULL_DAY), MIN1, known_at=None)
    five = pd.concat([flat_bars(symbol, FULL_DAY, AFTER, price=50.0, timeframe=MIN5) for symbol in ("AAA", "VIX")])
    store.write(five.reset_index(drop=True), MIN5, known_at=None)

    view = store.view(Timeframe.HOUR4, (FULL_DAY, AFTER), as_of=AFTER)

    assert (
        list(zip(view["symbol"], view["close"], strict=True))
        == [("AAA", 100.0)] * 2 + [("AAA", 50.0)] * 2 + [("VIX", 50.0)] * 4
    )
    assert store.base_timeframe() is MIN1


def test_a_view_is_in_the_units_of_its_session_whatever_was_delivered(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    split = pd.DataFrame({"symbol": ["AAA"], "ex_date": pd.to_datetime([AFTER]), "kind": ["split"], "value": [10.0]})
    adjusted = flat_bars("AAA", FULL_DAY, AFTER, price=100.0)
    store.write(adjusted, MIN1, known_at=None, adjustment=Adjustment.SPLIT, adjusted_through=date(2025, 12, 31))
    before = store.view(DAY1, (FULL_DAY, AFTER), as_of=FULL_DAY)

    assert store.write_actions(split, known_at=None) == 1
    assert store.write_actions(split, known_at=None) == 0

    assert list(before["close"]) == [100.0, 100.0]
    assert store.view(DAY1, [FULL_DAY], as_of=FULL_DAY)["close"].iloc[0] == 1000.0
    assert list(store.view(DAY1, (FULL_DAY, AFTER), as_of=AFTER)["close"]) == [100.0, 100.0]


def test_a_session_delivered_partly_raw_and_partly_adjusted_is_put_together(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    split = pd.DataFrame({"symbol": ["AAA"], "ex_date": pd.to_datetime([AFTER]), "kind": ["split"], "value": [10.0]})
    store.write_actions(split, known_at=None)
    raw, adjusted = (
        flat_bars("AAA", FULL_DAY, price=1000.0).head(200),
        flat_bars("AAA", FULL_DAY, price=100.0).tail(190),
    )
    store.write(raw, MIN1, known_at=None)
    through = date(2025, 12, 31)
    store.write(
        adjusted.reset_index(drop=True), MIN1, known_at=None, adjustment=Adjustment.SPLIT, adjusted_through=through
    )

    view = store.view(DAY1, [FULL_DAY], as_of=AFTER)

    assert view[["open", "high", "low", "close"]].to_numpy().tolist() == [[100.0] * 4]
    assert view["volume"].iloc[0] == 200 * 100 * 10 + 190 * 100


def test_a_full_disk_leaves_the_old_bars_and_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, bars = a_store(tmp_path), flat_bars("AAA", FULL_DAY)
    store.write(bars, MIN1, known_at=None)
    before = files(tmp_path)

    def no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(pq, "write_table", no_space)
        with pytest.raises(DataFileError, match=r"No space left.*run the same command"):
            store.write(corrected(bars), MIN1, known_at=None)

    assert files(tmp_path) == before
    assert not list(tmp_path.rglob("*.tmp"))
    assert store.write(corrected(bars), MIN1, known_at=None).corrected == 1


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.write(flat_bars("AAA", FULL_DAY), MIN1, known_at=None)
    (tmp_path / "1min" / f"{FULL_DAY}.parquet").write_bytes(b"PAR1 half")

    with pytest.raises(DataFileError, match=f"{FULL_DAY}.parquet"):
        store.read(MIN1, [FULL_DAY])


@pytest.mark.parametrize("close", [float("nan"), 0.0, -1.0, float("inf")])
def test_a_bar_without_a_price_cannot_be_stored(tmp_path: Path, close: float) -> None:
    with pytest.raises(FrameContractError, match="1 of 390 bars have a price"):
        a_store(tmp_path).write(corrected(flat_bars("AAA", FULL_DAY), close), MIN1, known_at=None)
    assert not files(tmp_path)


def test_an_adjusted_delivery_must_say_through_when(tmp_path: Path) -> None:
    with pytest.raises(FrameContractError, match="adjusted_through"):
        a_store(tmp_path).write(flat_bars("AAA", FULL_DAY), MIN1, known_at=None, adjustment=Adjustment.SPLIT)


def test_an_empty_store_has_no_bars(tmp_path: Path) -> None:
    store = a_store(tmp_path)

    assert store.base_timeframe() is None
    assert list(store.sessions(DAY1)) == []
    assert store.actions().empty
    for timeframe in Timeframe:
        assert tuple(store.view(timeframe, [FULL_DAY], as_of=FULL_DAY).columns) == BAR_COLUMNS


def test_a_corrected_action_is_known_from_then_on(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    split = pd.DataFrame({"symbol": ["AAA"], "ex_date": pd.to_datetime([AFTER]), "kind": ["split"], "value": [10.0]})
    store.write_actions(split, known_at=None)
    assert store.write_actions(split.assign(value=20.0), known_at=NOW) == 1

    assert list(store.actions()["value"]) == [20.0]
    assert list(store.actions(known_at=NOW - timedelta(days=1))["value"]) == [10.0]
