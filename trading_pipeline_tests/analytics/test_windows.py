"""Windows end at the last closed bar and never reach into another symbol."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trading_pipeline.analytics.windows import segments, windows_at
from trading_pipeline_tests.random_market import random_bars

BARS = pd.concat([random_bars(1, ["AAA"], 1).head(3), random_bars(1, ["BBB"], 1).head(4)], ignore_index=True)
CLOSES = dict(zip(zip(BARS["symbol"], BARS["end"], strict=True), BARS["close"], strict=True))
ENDS = BARS["end"].iloc[3:].tolist()


def pairs(*chosen: tuple[str, pd.Timestamp]) -> tuple[pd.Series, pd.Series]:
    frame = pd.DataFrame(list(chosen), columns=["symbol", "as_of"])
    return frame["symbol"], frame["as_of"]


def test_each_symbol_owns_its_rows() -> None:
    located = segments(BARS)

    assert (located.symbols, located.first.tolist(), located.last.tolist()) == (("AAA", "BBB"), [0, 3], [3, 7])


def test_a_window_holds_the_closed_bars_oldest_first_and_nothing_of_the_symbol_before() -> None:
    found = windows_at(BARS, *pairs(("BBB", ENDS[1]), ("AAA", ENDS[3]))).window("close", 3)

    np.testing.assert_array_equal(found[0], [np.nan, CLOSES["BBB", ENDS[0]], CLOSES["BBB", ENDS[1]]])
    np.testing.assert_array_equal(found[1], [CLOSES["AAA", end] for end in ENDS[:3]])


def test_a_bar_counts_from_the_instant_it_ends() -> None:
    just_before = ENDS[1] - pd.Timedelta(1, unit="ns")

    at = windows_at(BARS, *pairs(("AAA", just_before), ("AAA", ENDS[1]), ("AAA", ENDS[0] - pd.Timedelta(hours=1))))

    assert at.bars.tolist() == [1, 2, 0]
    np.testing.assert_array_equal(at.back("close")[:2], [CLOSES["AAA", ENDS[0]], CLOSES["AAA", ENDS[1]]])


def test_an_unknown_symbol_and_an_empty_frame_have_no_bars() -> None:
    assert windows_at(BARS, *pairs(("NONE", ENDS[0]))).bars.tolist() == [0]
    nothing = windows_at(BARS.iloc[:0], *pairs(("AAA", ENDS[0])))
    assert nothing.bars.tolist() == [0]
    assert np.isnan(nothing.window("close", 2)).all()
