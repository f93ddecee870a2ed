"""Import: whatever is delivered is stored, collapsed or set aside with its reason, and the sum is right."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_pipeline.adapters.data_import import ImportReport, ImportSpec, import_bars, read_delivery
from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.market import Adjustment, Timeframe
from trading_pipeline_tests.bar_builders import (
    AFTER,
    CALENDAR,
    FULL_DAY,
    HALF_DAY,
    SOME_DAYS,
    a_store,
    flat_bars,
    random_bars,
)

MIN1, MIN5, DAY1 = Timeframe.MIN1, Timeframe.MIN5, Timeframe.DAY1
PRICES = ["open", "high", "low", "close"]


def a_spec(timeframe: Timeframe = MIN1, **changes: Any) -> ImportSpec:
    """What a delivery declares."""
    return ImportSpec(timeframe=timeframe, **changes)


def delivered(bars: pd.DataFrame) -> pd.DataFrame:
    """A bar frame as a vendor sends it."""
    return bars[["symbol", "start", *PRICES, "volume"]].rename(columns={"start": "ts"})


def imported(tmp_path: Path, frame: pd.DataFrame, spec: ImportSpec | None = None, name: str = "in.csv") -> ImportReport:
    """Write the delivery to a file and import it."""
    path, spec = tmp_path / name, spec or a_spec()
    frame.to_parquet(path, index=False) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return import_bars(read_delivery(path, spec=spec), spec, CALENDAR, a_store(tmp_path / "bars"))


def daily(symbol: str, *days: date, price: float = 100.0, **extra: Any) -> pd.DataFrame:
    """Daily rows as a vendor sends them."""
    prices = dict.fromkeys(PRICES, price)
    return pd.DataFrame({"date": [str(day) for day in days]}).assign(symbol=symbol, **prices, volume=10, **extra)


@pytest.mark.parametrize("name", ["in.csv", "in.parquet"])
def test_good_bars_are_stored(tmp_path: Path, name: str) -> None:
    bars = random_bars(1, days=(FULL_DAY, HALF_DAY))

    report = imported(tmp_path, delivered(bars), name=name)

    assert (report.delivered, report.good, report.new, report.quarantined) == (len(bars),) * 3 + (0,)
    assert (report.sessions, report.symbols) == ((FULL_DAY, HALF_DAY), ("AAA", "BRK.B"))
    stored = a_store(tmp_path / "bars").read(MIN1, [FULL_DAY, HALF_DAY])
    columns = ["symbol", "session", "start", "end", *PRICES, "volume"]
    pd.testing.assert_frame_equal(stored[columns], bars[columns])


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    frame = delivered(random_bars(1, days=(FULL_DAY,)))
    frame.loc[0, "close"] = 0.0
    imported(tmp_path, frame)
    before = {path: path.read_bytes() for path in sorted((tmp_path / "bars").rglob("*.parquet"))}

    report = imported(tmp_path, frame)

    assert (report.new, report.corrected, report.unchanged) == (0, 0, len(frame) - 1)
    assert before == {path: path.read_bytes() for path in sorted((tmp_path / "bars").rglob("*.parquet"))}


def test_bars_labelled_by_their_end_are_moved_to_their_start(tmp_path: Path) -> None:
    bars = flat_bars("AAA", HALF_DAY, timeframe=MIN5)
    frame = delivered(bars).assign(ts=bars["end"])

    report = imported(tmp_path, frame, a_spec(MIN5, label="end"))

    assert report.good == len(bars)
    stored = a_store(tmp_path / "bars").read(MIN5, [HALF_DAY])
    assert list(stored["start"]) == list(bars["start"])


def test_times_without_a_zone_are_new_york_time(tmp_path: Path) -> None:
    bars = flat_bars("AAA", *SOME_DAYS)
    naive = bars["start"].dt.tz_convert("America/New_York").dt.strftime("%Y-%m-%d %H:%M:%S")

    assert imported(tmp_path, delivered(bars).assign(ts=naive)).good == len(bars)


def bad_rows() -> dict[str, dict[str, Any]]:
    """Reason: what to change in the first row (09:30) of a good delivery."""
    day = f"{FULL_DAY} "
    return {
        "out_of_session": {"ts": day + "08:00"},
        "holiday": {"ts": "2025-07-04 10:00"},
        "outside_calendar": {"ts": "1990-01-02 10:00"},
        "off_grid": {"ts": day + "09:30:30"},
        "unreadable_time": {"ts": "soon"},
        "no_symbol": {"symbol": ""},
        "nan_price": {"open": "n/a"},
        "zero_or_negative_price": {"low": 0.0},
        "ohlc_violation": {"high": 99.0},
        "nan_volume": {"volume": ""},
        "negative_volume": {"volume": -1},
        "repeated_header": {"ts": "ts", "symbol": "symbol", "open": "open"},
        "duplicate_conflict": {"ts": day + "09:31", "volume": 7},
    }


@pytest.mark.parametrize("reason", bad_rows())
def test_a_bad_row_is_set_aside_with_its_reason(tmp_path: Path, reason: str) -> None:
    frame = flat_bars("AAA", FULL_DAY)
    frame["start"] = frame["start"].dt.tz_convert("America/New_York").dt.strftime("%Y-%m-%d %H:%M:%S")
    frame = delivered(frame).astype(object)
    for column, wrong in bad_rows()[reason].items():
        frame.loc[0, column] = wrong

    report = imported(tmp_path, frame)

    count = 2 if reason == "duplicate_conflict" else 1
    assert report.reasons == {reason: count}
    assert report.good == len(frame) - count
    assert report.quarantine_file is not None
    aside = pd.read_parquet(report.quarantine_file)
    assert list(aside["reason"]) == [reason] * count
    assert aside["row"].iloc[0] == 1


@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 500))
def test_no_delivered_row_is_lost(data: st.DataObject, seed: int) -> None:
    frame = delivered(random_bars(seed, days=(FULL_DAY, HALF_DAY), kept_fraction=0.1)).reset_index(drop=True)
    rows = st.lists(st.integers(0, len(frame) - 1), max_size=8)
    for at in data.draw(rows):
        frame.loc[at, data.draw(st.sampled_from([*PRICES, "volume"]))] = data.draw(st.sampled_from([0.0, -1.0, np.nan]))
    for at in data.draw(rows):
        moved = pd.Timedelta(minutes=data.draw(st.sampled_from([1, 600, 2000])))
        frame["ts"] = frame["ts"].where(frame.index != at, frame["ts"] + moved)
    frame = pd.concat([frame, frame.loc[data.draw(rows)]]).sample(frac=1, random_state=seed)

    with TemporaryDirectory() as folder:
        report = imported(Path(folder), frame, name="in.parquet")
        stored = a_store(Path(folder) / "bars").read(MIN1, CALENDAR.sessions(FULL_DAY, date(2025, 7, 10)))
        aside = 0 if report.quarantine_file is None else len(pd.read_parquet(report.quarantine_file))

    assert report.delivered == len(frame) == report.good + report.quarantined + report.collapsed
    assert (len(stored), aside) == (report.good, report.quarantined)


@pytest.mark.parametrize("timeframe", [MIN1, DAY1])
def test_a_delivery_without_any_good_row_stores_nothing(tmp_path: Path, timeframe: Timeframe) -> None:
    frame = daily("AAA", date(1990, 1, 2), date(1990, 1, 3))

    report = imported(tmp_path, frame, a_spec(timeframe))

    assert (report.good, report.sessions, report.symbols) == (0, (), ())
    assert report.reasons == {"outside_calendar": 2}


def test_exact_duplicates_are_collapsed_and_counted(tmp_path: Path) -> None:
    frame = delivered(flat_bars("AAA", FULL_DAY))

    report = imported(tmp_path, pd.concat([frame, frame.head(100)]))

    assert (report.good, report.collapsed, report.quarantined) == (390, 100, 0)


def test_symbols_that_parsers_eat_survive(tmp_path: Path) -> None:
    symbols = ["ALL", "BRK.B", "NAN", "NULL", "ON", "TRUE"]

    report = imported(tmp_path, pd.concat([daily(symbol, FULL_DAY) for symbol in symbols]), a_spec(DAY1))

    assert list(report.symbols) == symbols


def test_bars_without_volume_are_kept(tmp_path: Path) -> None:
    report = imported(tmp_path, delivered(flat_bars("AAA", FULL_DAY, volume=0.0)))

    assert report.good == 390


def test_an_index_without_volume_is_stored_with_none(tmp_path: Path) -> None:
    frame = daily("VIX", FULL_DAY, date(2025, 7, 4), AFTER).drop(columns=["volume", "symbol"])

    report = imported(tmp_path, frame, a_spec(DAY1, symbol="VIX"))

    assert (report.good, report.reasons) == (2, {"holiday": 1})
    stored = a_store(tmp_path / "bars").read(DAY1, [FULL_DAY, AFTER])
    assert list(stored["volume"]) == [0.0, 0.0]
    assert list(stored["end"]) == [CALENDAR.times(day).closes_at for day in (FULL_DAY, AFTER)]


def test_splits_and_dividends_in_daily_rows_become_corporate_actions(tmp_path: Path) -> None:
    frame = daily("NFLX", FULL_DAY, HALF_DAY, AFTER, splitFactor=[1.0, 7.0, 0.0], divCash=[0.0, 0.0, 0.25])

    report = imported(tmp_path, frame, a_spec(DAY1))

    actions = a_store(tmp_path / "bars").actions()
    assert report.actions == 2
    assert list(zip(actions["ex_date"].dt.date, actions["kind"], actions["value"], strict=True)) == [
        (HALF_DAY, "split", 7.0),
        (AFTER, "dividend", 0.25),
    ]


def test_columns_can_be_named(tmp_path: Path) -> None:
    frame = daily("AAA", FULL_DAY).rename(columns={"close": "Px Last", "symbol": "Instrument"})
    spec = a_spec(DAY1, columns={"close": "Px Last", "symbol": "Instrument"})

    assert imported(tmp_path, frame, spec).good == 1


def test_a_missing_column_is_named_with_what_was_found_and_the_fix(tmp_path: Path) -> None:
    frame = daily("AAA", FULL_DAY).rename(columns={"close": "px"})

    with pytest.raises(DataFileError, match=r"in\.csv has no column for close .*Its columns: .*px.*close=NAME"):
        imported(tmp_path, frame, a_spec(DAY1))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", b"", "is empty"),
        ("in.csv", b"date,symbol,open,high,low,close\n", "has no rows"),
        ("in.csv", b"\xff\xfe\x00\x01", "cannot read .*in.csv as CSV"),
        ("in.parquet", b"not parquet", "cannot read .*in.parquet as Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataFileError, match=message):
        read_delivery(tmp_path / name, spec=a_spec(DAY1))


@pytest.mark.parametrize("name", ["gone.csv", "gone.parquet"])
def test_a_file_that_does_not_exist_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataFileError, match=name):
        read_delivery(tmp_path / name, spec=a_spec())


@pytest.mark.parametrize(
    "wrong",
    [
        {"timezone": "Mars/Base"},
        {"columns": {"price": "px"}},
        {"adjustment": Adjustment.SPLIT},
        {"timeframe": "1h"},
        {"symbol": ""},
    ],
)
def test_an_impossible_declaration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImportSpec(**{"timeframe": MIN1, **wrong})


def test_progress_counts_sessions_up_to_all(tmp_path: Path) -> None:
    spec, seen = a_spec(MIN5), list[tuple[int, int]]()
    days = CALENDAR.sessions(date(2025, 1, 2), date(2025, 3, 31))
    delivered(flat_bars("AAA", *days, timeframe=MIN5)).to_parquet(tmp_path / "in.parquet")
    frame = read_delivery(tmp_path / "in.parquet", spec=spec)

    import_bars(frame, spec, CALENDAR, a_store(tmp_path), on_progress=lambda done, of: seen.append((done, of)))

    assert seen == [(20, 60), (40, 60), (60, 60)]
