"""Roll-ups: anchored on the session's open, never across sessions, nothing lost."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.bars import roll_up
from trading_pipeline.domain.errors import FrameContractError
from trading_pipeline.domain.market import DERIVED_TIMEFRAMES, Timeframe
from trading_pipeline_tests.bar_builders import (
    AFTER_DST,
    BEFORE_DST,
    CALENDAR,
    FULL_DAY,
    HALF_DAY,
    SOME_DAYS,
    flat_bars,
    random_bars,
    table_of,
)

TABLE = table_of(*SOME_DAYS)
seeds = st.integers(min_value=0, max_value=10_000)
kept = st.floats(min_value=0.02, max_value=1)


def new_york(frame: pd.DataFrame, column: str) -> list[str]:
    """Times of day in New York."""
    return list(frame[column].dt.tz_convert("America/New_York").dt.strftime("%H:%M"))


def literal_roll_up(base: pd.DataFrame, timeframe: Timeframe) -> list[tuple[object, ...]]:
    """One bar at a time, from the calendar's own instants."""
    found: dict[tuple[str, date, pd.Timestamp], list[int]] = {}
    for at, row in base.iterrows():
        times = CALENDAR.times(row["session"].date())
        slot = pd.Timestamp(times.opens_at)
        while timeframe is not Timeframe.DAY1 and slot + timeframe.length <= row["start"]:
            slot += timeframe.length
        found.setdefault((row["symbol"], times.session, slot), []).append(int(str(at)))
    bars: list[tuple[object, ...]] = []
    for (symbol, day, slot), rows in found.items():
        part, close = base.loc[rows], CALENDAR.times(day).closes_at
        end = close if timeframe is Timeframe.DAY1 else min(slot + timeframe.length, pd.Timestamp(close))
        first, last = part.iloc[0], part.iloc[-1]
        prices = (first["open"], part["high"].max(), part["low"].min(), last["close"], part["volume"].sum())
        bars.append((symbol, day, slot, pd.Timestamp(end), *prices))
    return bars


@pytest.mark.parametrize("timeframe", DERIVED_TIMEFRAMES)
@settings(max_examples=3, deadline=None)
@given(seed=seeds, fraction=kept)
def test_a_roll_up_equals_the_literal_one_bar_at_a_time(timeframe: Timeframe, seed: int, fraction: float) -> None:
    base = random_bars(seed, days=(HALF_DAY, BEFORE_DST), kept_fraction=fraction)

    rolled = roll_up(base, timeframe, TABLE)

    columns = ["symbol", "session", "start", "end", "open", "high", "low", "close", "volume"]
    ours = [(s, d.date(), *rest) for s, d, *rest in rolled[columns].itertuples(index=False, name=None)]
    assert ours == literal_roll_up(base, timeframe)


@pytest.mark.parametrize("timeframe", DERIVED_TIMEFRAMES)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, fraction=kept)
def test_rolling_up_conserves_volume_and_extremes(timeframe: Timeframe, seed: int, fraction: float) -> None:
    base = random_bars(seed, kept_fraction=fraction)
    owner = ["symbol", "session"]

    rolled = roll_up(base, timeframe, TABLE)

    for column, how in (("volume", "sum"), ("trade_count", "sum"), ("high", "max"), ("low", "min")):
        pd.testing.assert_series_equal(rolled.groupby(owner)[column].agg(how), base.groupby(owner)[column].agg(how))


@settings(max_examples=15, deadline=None)
@given(seed=seeds, fraction=kept)
def test_rolling_up_a_roll_up_equals_rolling_up_the_base(seed: int, fraction: float) -> None:
    base = random_bars(seed, kept_fraction=fraction)
    steps = (Timeframe.MIN5, Timeframe.MIN15, Timeframe.HOUR1, Timeframe.HOUR4, Timeframe.DAY1)

    stepwise = base
    for timeframe in steps:
        stepwise = roll_up(stepwise, timeframe, TABLE)
        pd.testing.assert_frame_equal(stepwise, roll_up(base, timeframe, TABLE), rtol=1e-12)


def test_four_hour_bars_split_a_full_session_and_cover_a_half_day_alone() -> None:
    rolled = roll_up(flat_bars("AAA", FULL_DAY, HALF_DAY), Timeframe.HOUR4, TABLE)

    assert new_york(rolled, "start") == ["09:30", "13:30", "09:30"]
    assert new_york(rolled, "end") == ["13:30", "16:00", "13:00"]


def test_hour_bars_start_at_the_open_and_the_last_ends_at_the_close() -> None:
    rolled = roll_up(flat_bars("AAA", FULL_DAY), Timeframe.HOUR1, TABLE)

    assert new_york(rolled, "start") == ["09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30"]
    assert new_york(rolled, "end")[-1] == "16:00"
    assert list(rolled["volume"]) == [6000.0] * 6 + [3000.0]


def test_the_grid_follows_new_york_when_the_clocks_change() -> None:
    rolled = roll_up(flat_bars("AAA", BEFORE_DST, AFTER_DST), Timeframe.DAY1, TABLE)

    assert new_york(rolled, "start") == ["09:30", "09:30"]
    assert list(rolled["start"].dt.hour) == [13, 14]


def test_a_bar_without_trades_does_not_move_the_vwap() -> None:
    base = flat_bars("AAA", FULL_DAY).head(3)
    base["volume"], base["vwap"] = [100.0, 0.0, 300.0], [10.0, np.nan, 20.0]

    assert roll_up(base, Timeframe.MIN15, TABLE)["vwap"].iloc[0] == 17.5


def test_vwap_is_unknown_without_volume_or_when_a_traded_bar_lacks_it() -> None:
    silent = flat_bars("AAA", FULL_DAY, volume=0.0).head(3)
    partly = flat_bars("BBB", FULL_DAY).head(3).assign(vwap=[10.0, np.nan, 20.0])

    rolled = roll_up(pd.concat([silent, partly], ignore_index=True), Timeframe.MIN15, TABLE)

    assert rolled["vwap"].isna().all()


def test_a_bar_before_the_open_is_refused_with_its_name() -> None:
    base = flat_bars("AAA", FULL_DAY)
    base.loc[0, ["start", "end"]] -= pd.Timedelta("1min")

    with pytest.raises(FrameContractError, match=r"1 of 390 bars lie outside their own session.*AAA"):
        roll_up(base, Timeframe.MIN15, TABLE)


def test_a_session_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(FrameContractError, match="not in the session table"):
        roll_up(flat_bars("AAA", FULL_DAY), Timeframe.MIN15, table_of(HALF_DAY))


def test_bars_cannot_be_rolled_up_to_shorter_ones() -> None:
    hours = roll_up(flat_bars("AAA", FULL_DAY), Timeframe.HOUR1, TABLE)

    with pytest.raises(FrameContractError, match="do not fit into one 15min bar"):
        roll_up(hours, Timeframe.MIN15, TABLE)


def test_unsorted_bars_are_refused() -> None:
    with pytest.raises(FrameContractError, match="not sorted"):
        roll_up(flat_bars("AAA", FULL_DAY).iloc[::-1], Timeframe.MIN15, TABLE)


def test_no_bars_give_no_bars() -> None:
    assert roll_up(flat_bars("AAA", FULL_DAY).head(0), Timeframe.HOUR1, TABLE).empty
