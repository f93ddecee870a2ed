"""Imports of real deliveries and their quirks; skipped where the data is absent."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.data_import import ImportReport, ImportSpec, import_bars, read_delivery
from trading_pipeline.domain.market import Adjustment, Timeframe
from trading_pipeline_tests.bar_builders import CALENDAR, a_store

DATA = Path(os.environ.get("TRADING_PIPELINE_SHARED", "../shared")) / "data"
FIVE, DAILY, VIX = "internal/bars_5m_2025.parquet", "internal/daily_raw_2024_2026.parquet", "licensed/vix_daily.parquet"


def imported(store: ParquetBarStore, name: str, spec: ImportSpec, first: str, last: str) -> ImportReport:
    """Import the delivery's rows between two dates, or skip."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is absent; set TRADING_PIPELINE_SHARED to the folder that holds data/")
    frame = read_delivery(path, spec=spec)
    within = frame["time"].dt.strftime("%Y-%m-%d").between(first, last)
    return import_bars(frame[within], spec, CALENDAR, store)


def test_extended_hours_without_a_flag_are_set_aside(tmp_path: Path) -> None:
    spec = ImportSpec(timeframe=Timeframe.MIN5, adjustment=Adjustment.SPLIT, adjusted_through=date(2026, 1, 30))

    report = imported(a_store(tmp_path), FIVE, spec, "2025-09-12", "2025-09-19")

    assert set(report.reasons) == {"out_of_session"}
    assert report.delivered == report.good + report.quarantined
    assert report.sessions == tuple(CALENDAR.sessions(date(2025, 9, 12), date(2025, 9, 19)))


def test_an_adjusted_and_a_raw_feed_agree_in_the_units_of_any_session(tmp_path: Path) -> None:
    store, day = a_store(tmp_path), date(2025, 10, 31)
    spec = ImportSpec(timeframe=Timeframe.MIN5, adjustment=Adjustment.SPLIT, adjusted_through=date(2026, 1, 30))
    imported(store, FIVE, spec, "2025-10-31", "2025-10-31")
    imported(store, DAILY, ImportSpec(timeframe=Timeframe.DAY1), "2025-10-31", "2025-11-18")

    for as_of, price in ((day, 1118.86), (date(2025, 11, 17), 111.886)):
        hours = store.view(Timeframe.HOUR4, [day], as_of=as_of, symbols=["NFLX"])
        official = store.view(Timeframe.DAY1, [day], as_of=as_of, symbols=["NFLX"])
        assert hours["close"].iloc[-1] == pytest.approx(price, rel=0.001)
        assert official["close"].iloc[-1] == pytest.approx(price, rel=0.001)


def test_vix_rows_on_exchange_holidays_are_set_aside(tmp_path: Path) -> None:
    report = imported(a_store(tmp_path), VIX, ImportSpec(timeframe=Timeframe.DAY1), "2024-01-01", "2025-12-31")

    assert set(report.reasons) == {"holiday"}
    assert report.quarantine_file is not None
    aside = pd.read_parquet(report.quarantine_file)
    holidays = set(CALENDAR.holidays(date(2024, 1, 1), date(2025, 12, 31)))
    assert {stamp.date() for stamp in aside["time"]} <= holidays
    assert report.symbols == ("VIX",)
