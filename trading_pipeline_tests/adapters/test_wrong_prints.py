"""A print ten times too high or low is no quote: it must be stood by, and what follows it does not stand by it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.adapters.bar_feed import MOST_UNCONFIRMED_JUMP, StoredBarFeed, SymbolBars
from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.domain.errors import TradingPipelineError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline_tests.adapters.test_bar_feed import CALENDAR, FULL, rows

MINUTES = timedelta(minutes=5)


def bars_of(*closes: float) -> SymbolBars:
    ends = np.arange(1, len(closes) + 1)
    return SymbolBars(ends, ends - 1, np.array([[close] * 4 for close in closes]), np.ones(len(closes)))


def believed(*closes: float) -> list[float]:
    """The close that is believed after each bar."""
    bars = bars_of(*closes)
    return [float(bars.prices[bars.believed(row), 3]) for row in range(len(closes))]


def quoted(folder: Path, *closes: float) -> list[Decimal]:
    """The quotes a feed tells after each bar."""
    store = ParquetBarStore(folder, CALENDAR, FixedClock(datetime.fromisoformat("2025-01-02T00:00:00+00:00")))
    store.write(rows("AAA", FULL, *closes), Timeframe.MIN5, known_at=None)
    feed, ends = StoredBarFeed(store), [FULL.opens_at + n * MINUTES for n in range(1, len(closes) + 1)]
    return [feed.quotes(FULL, end, {"AAA"})["AAA"].price for end in ends]


def judged_by_hand(closes: list[float]) -> list[float]:
    """The rule said another way: going forward, a close is taken when it is near the last taken or the one before."""
    taken, found = closes[0], []
    for number, close in enumerate(closes):
        near = [taken, closes[max(number - 1, 0)]]
        if any(abs(close / other - 1.0) <= MOST_UNCONFIRMED_JUMP for other in near):
            taken = close
        found.append(taken)
    return found


@pytest.mark.parametrize("wrong", [500.0, 5.0])
def test_one_wrong_print_is_never_quoted_neither_at_once_nor_when_the_right_price_is_back(
    tmp_path: Path, wrong: float
) -> None:
    assert quoted(tmp_path, 50.0, wrong, 51.0, 52.0) == [Decimal(price) for price in (50, 50, 51, 52)]


def test_a_price_that_has_really_jumped_is_believed_from_its_second_print_on() -> None:
    assert believed(50.0, 500.0, 490.0, 495.0) == [50.0, 50.0, 490.0, 495.0]
    assert believed(50.0, 20.0, 19.0) == [50.0, 50.0, 19.0]


def test_prints_that_agree_with_nothing_are_all_passed_over() -> None:
    assert believed(50.0, 500.0, 5.0, 5000.0, 50.5) == [50.0, 50.0, 50.0, 50.0, 50.5]


def test_a_whole_day_of_wrong_prints_is_judged() -> None:
    assert set(believed(*[50.0, 500.0] * 240)) == {50.0}


prices = st.sampled_from([5.0, 7.0, 10.0, 40.0, 50.0, 55.0, 80.0, 500.0, 520.0])


@given(st.lists(prices, min_size=1, max_size=30))
def test_whatever_is_printed_a_quote_is_a_print_that_something_stands_by(closes: list[float]) -> None:
    assert believed(*closes) == judged_by_hand(closes)


@given(st.lists(st.floats(0.9, 1.1), min_size=1, max_size=30))
def test_ordinary_moves_are_quoted_as_they_are(moves: list[float]) -> None:
    closes = [float(close) for close in 50.0 * np.cumprod(moves)]

    assert believed(*closes) == closes


@pytest.mark.parametrize("nothing", [float("nan"), float("inf"), 0.0, -50.0])
def test_what_is_no_price_is_never_believed_and_never_stored(tmp_path: Path, nothing: float) -> None:
    assert believed(50.0, nothing, 51.0) == [50.0, 50.0, 51.0]

    with pytest.raises(TradingPipelineError):
        quoted(tmp_path, 50.0, nothing)
