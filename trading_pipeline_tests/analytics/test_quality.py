"""The quality report: what is missing, wrong or odd, per symbol."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trading_pipeline.analytics.quality import QualityReport, QualityRules, check_bars
from trading_pipeline.domain.errors import FrameContractError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline_tests.bar_builders import FULL_DAY, HALF_DAY, SOME_DAYS, flat_bars, random_bars, table_of

RULES = QualityRules(stale_run_bars=400)
DAYS = (FULL_DAY, HALF_DAY)


def report_on(bars: pd.DataFrame, **changes: Any) -> QualityReport:
    """The report on 1-minute bars of a full day and a half-day."""
    return check_bars(bars, Timeframe.MIN1, table_of(*DAYS), changes.pop("rules", RULES), **changes)


def test_complete_bars_are_complete_and_clean() -> None:
    report = report_on(flat_bars("AAA", *DAYS))

    row = report.symbols.iloc[0]
    assert (row["sessions"], row["bars"], row["bars_expected"], row["coverage"]) == (2, 600, 600, 1.0)
    assert report.gaps.empty
    assert report.jumps.empty
    assert report.is_clean


def test_missing_bars_are_counted_per_session() -> None:
    bars = flat_bars("AAA", *DAYS).drop(index=[5, 6, 7, 500])

    report = report_on(bars)

    assert list(report.gaps["missing"]) == [3, 1]
    assert (report.symbols["missing_bars"].iloc[0], report.symbols["worst_gap"].iloc[0]) == (4, 3)
    assert report.symbols["coverage"].iloc[0] == 596 / 600


@pytest.mark.parametrize(
    ("column", "wrong", "fault"),
    [
        ("close", np.nan, "nan_price"),
        ("low", 0.0, "zero_or_negative_price"),
        ("open", -5.0, "zero_or_negative_price"),
        ("high", 90.0, "ohlc_violation"),
        ("volume", np.nan, "bad_volume"),
        ("volume", -1.0, "bad_volume"),
        ("start", pd.Timestamp("2025-07-02 12:00", tz="UTC"), "out_of_session"),
    ],
)
def test_each_fault_is_counted_once(column: str, wrong: Any, fault: str) -> None:
    bars = flat_bars("AAA", *DAYS)
    bars.loc[3, column] = wrong

    report = report_on(bars)

    assert report.totals[fault].iloc[0] == 1
    assert report.symbols["bars"].iloc[0] == 599
    assert not report.is_clean


def test_duplicates_and_disorder_are_survived_and_counted() -> None:
    bars = flat_bars("AAA", *DAYS)
    report = report_on(pd.concat([bars, bars.head(10)]).sample(frac=1, random_state=1))

    assert (report.totals["duplicates"].iloc[0], report.totals["bars"].iloc[0]) == (10, 600)


def test_bars_without_volume_are_counted_but_not_wrong() -> None:
    report = report_on(flat_bars("AAA", *DAYS, volume=0.0))

    assert report.totals["zero_volume"].iloc[0] == 600
    assert report.is_clean


def test_a_split_is_not_a_jump_when_it_is_known() -> None:
    bars = pd.concat([flat_bars("AAA", FULL_DAY, price=700.0), flat_bars("AAA", HALF_DAY, price=100.0)])
    split = pd.DataFrame({"symbol": ["AAA"], "ex_date": pd.to_datetime([HALF_DAY]), "kind": ["split"], "value": [7.0]})

    assert report_on(bars, actions=split).jumps.empty
    jump = report_on(bars).jumps.iloc[0]
    assert (jump["previous_close"], jump["close"], jump["session"].date()) == (700.0, 100.0, HALF_DAY)


def test_prices_that_stand_still_are_stale() -> None:
    bars = random_bars(1, symbols=["AAA"], days=DAYS, kept_fraction=1.0)
    bars.loc[100:119, ["open", "high", "low", "close"]] = 100.0

    report = report_on(bars, rules=QualityRules(stale_run_bars=20, jump_fraction=0.5))

    assert report.symbols["stale_bars"].iloc[0] == 20


def test_symbols_are_measured_apart_and_summed() -> None:
    bars = pd.concat([flat_bars("AAA", *DAYS), flat_bars("BBB", FULL_DAY, price=5.0)])

    report = report_on(bars)

    assert list(report.symbols["bars"]) == [600, 390]
    assert list(report.symbols["sessions"]) == [2, 1]
    assert report.totals["bars"].iloc[0] == 990
    assert report.jumps.empty


def test_no_bars_give_an_empty_report() -> None:
    report = report_on(flat_bars("AAA", FULL_DAY).head(0))

    assert report.symbols.empty
    assert report.totals["symbols"].iloc[0] == 0


def test_daily_bars_are_one_per_session() -> None:
    bars = flat_bars("AAA", *SOME_DAYS, timeframe=Timeframe.DAY1)

    report = check_bars(bars, Timeframe.DAY1, table_of(*SOME_DAYS, date(2025, 7, 7)), RULES)

    assert (report.symbols["bars"].iloc[0], report.symbols["bars_expected"].iloc[0]) == (4, 5)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(FrameContractError, match="volume"):
        report_on(flat_bars("AAA", FULL_DAY).drop(columns="volume"))
