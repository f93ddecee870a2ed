"""Adjusted views: the current session's prices are the traded ones, and the future is undone."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.bars import adjust
from trading_pipeline.domain.errors import FrameContractError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline_tests.bar_builders import CALENDAR, flat_bars

DAYS = CALENDAR.sessions(date(2025, 6, 2), date(2025, 6, 13))
EX = DAYS[5]


def actions(*rows: tuple[str, date, str, float]) -> pd.DataFrame:
    """A frame of corporate actions."""
    frame = pd.DataFrame(rows, columns=["symbol", "ex_date", "kind", "value"])
    return frame.astype({"ex_date": "datetime64[ns]"})


def traded(ratio: float, symbol: str = "AAA") -> pd.DataFrame:
    """Daily bars at 400 before EX and 400 / ratio from then on, as traded."""
    bars = flat_bars(symbol, *DAYS, price=400.0, timeframe=Timeframe.DAY1)
    bars["end"] = [CALENDAR.times(day).closes_at for day in DAYS]
    after = bars["session"] >= pd.Timestamp(EX)
    prices = ["open", "high", "low", "close", "vwap"]
    bars.loc[after, prices] /= ratio
    bars.loc[after, "volume"] *= ratio
    return bars


@pytest.mark.parametrize("ratio", [4.0, 7.0, 1 / 3])
def test_a_split_is_carried_back_from_its_ex_date_on(ratio: float) -> None:
    view = adjust(traded(ratio), actions(("AAA", EX, "split", ratio)), DAYS[-1])

    assert list(view["close"]) == pytest.approx([400 / ratio] * len(DAYS))
    assert list(view["volume"]) == pytest.approx([100 * ratio] * len(DAYS))


def test_the_eve_of_a_split_sees_nothing_of_it() -> None:
    raw = traded(4.0)

    pd.testing.assert_frame_equal(adjust(raw, actions(("AAA", EX, "split", 4.0)), DAYS[4]).head(5), raw.head(5))


@settings(max_examples=25, deadline=None)
@given(
    ratio=st.sampled_from([2.0, 10.0, 0.05, 1 / 3]),
    as_of=st.sampled_from(DAYS),
    through=st.sampled_from([*DAYS, date(2026, 1, 2)]),
)
def test_a_delivery_adjusted_through_any_day_gives_the_same_view_as_a_raw_one(
    ratio: float, as_of: date, through: date
) -> None:
    raw, split = traded(ratio), actions(("AAA", EX, "split", ratio))
    delivered = adjust(raw, split, through).assign(adjustment="split", adjusted_through=pd.Timestamp(through))

    ours, expected = adjust(delivered, split, as_of), adjust(raw, split, as_of)

    pd.testing.assert_frame_equal(ours[expected.columns], expected, rtol=1e-12)
    today = raw["session"] == pd.Timestamp(as_of)
    assert ours.loc[today, "close"].iloc[0] == pytest.approx(raw.loc[today, "close"].iloc[0], rel=1e-12)


def test_only_the_symbol_itself_is_adjusted() -> None:
    both = pd.concat([traded(1.0, "AAA"), traded(1.0, "BBB")], ignore_index=True)

    view = adjust(both, actions(("BBB", EX, "split", 2.0)), DAYS[-1])

    assert set(view.loc[view["symbol"] == "AAA", "close"]) == {400.0}
    assert list(view.loc[view["symbol"] == "BBB", "close"]) == [200.0] * 5 + [400.0] * 5


def test_a_split_that_was_not_known_yet_is_not_applied() -> None:
    split = actions(("AAA", EX, "split", 4.0)).assign(known_at=pd.Timestamp(DAYS[7], tz="UTC"))
    at = datetime(2025, 6, 10, 20, tzinfo=UTC)

    view = adjust(traded(4.0), split, DAYS[6], known_at=at)

    assert view["close"].iloc[0] == 400.0


def test_dividends_are_left_alone_unless_asked_for() -> None:
    raw, paid = traded(1.0), actions(("AAA", EX, "dividend", 4.0))

    assert list(adjust(raw, paid, DAYS[-1])["close"]) == [400.0] * 10
    assert list(adjust(raw, paid, DAYS[-1], dividends=True)["close"]) == pytest.approx([396.0] * 5 + [400.0] * 5)


def test_a_dividend_on_the_day_of_a_split_is_measured_in_new_shares() -> None:
    both = actions(("AAA", EX, "dividend", 1.0), ("AAA", EX, "split", 4.0))

    view = adjust(traded(4.0), both, DAYS[-1], dividends=True)

    assert view["close"].iloc[0] == pytest.approx(400 / 4 * (1 - 1 / 100))


@pytest.mark.parametrize("value", [0.0, -2.0, float("nan")])
def test_an_action_without_a_usable_value_is_refused(value: float) -> None:
    with pytest.raises(FrameContractError, match="not above zero"):
        adjust(traded(1.0), actions(("AAA", EX, "split", value)), DAYS[-1])
