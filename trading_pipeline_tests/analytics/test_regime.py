"""The score, what follows from it, and what a missing input costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import ValidationError

from trading_pipeline.analytics.regime import REGIME_COLUMNS, RegimeRules, describe
from trading_pipeline.domain.errors import FrameContractError, NaiveDatetimeError
from trading_pipeline_tests.analytics.regime_frames import (
    MORNING,
    OPENS_AT,
    PAST,
    PRE_MARKET,
    TODAY,
    YESTERDAY,
    at,
    calm_bull,
)

CALM = calm_bull()


def parts(row: Mapping[Any, Any]) -> tuple[float, float, float, float]:
    return (row["trend_points"], row["volatility_points"], row["breadth_points"], row["correlation_points"])


def test_a_calm_bull_market_scores_100_and_allows_the_most() -> None:
    row = CALM.row()

    assert parts(row) == (30, 25, 25, 20)
    assert (row["score"], row["regime_class"], row["trend"]) == (100, "BULL_LOW_VOL", "bullish")
    assert (row["size_multiplier"], row["positions_allowed"], row["only_a_plus"]) == (1.5, 8, False)
    assert row["missing"] == []


NOTHING = pd.DataFrame()


@pytest.mark.parametrize(
    ("changes", "expected", "named"),
    [
        ({"indices_4h": NOTHING}, (0, 25, 25, 20), "4h bars of SPY: no bars; trend scored as bearish, 0 of 30"),
        ({"vix_1d": NOTHING}, (30, 0, 25, 20), "VIX: no close; volatility scored as the worst case, 0 of 25"),
        ({"universe_1d": NOTHING}, (30, 25, 0, 20), "universe bars: no daily bars of the previous session; breadth"),
        ({"indices_1d": NOTHING}, (30, 25, 25, 5), "correlation of SPY, QQQ, IWM: no daily bars of SPY, QQQ, IWM"),
    ],
)
def test_a_missing_input_costs_its_component_and_is_named(
    changes: dict[str, pd.DataFrame], expected: tuple[float, ...], named: str
) -> None:
    row = CALM.row(**changes)

    assert parts(row) == expected
    assert row["score"] == sum(expected)
    assert named in row["missing"][0]


def test_a_market_without_any_input_is_hostile() -> None:
    names = ("indices_4h", "indices_1d", "vix_1d", "universe_1d", "last_prices")

    row = CALM.row(**dict.fromkeys(names, NOTHING))

    assert (row["score"], row["regime_class"]) == (5, "BEAR_HIGH_VOL")
    assert (row["size_multiplier"], row["positions_allowed"], row["only_a_plus"]) == (0.5, 1, True)


def test_stale_index_bars_make_the_trend_the_worst_case() -> None:
    old = CALM.indices_4h[CALM.indices_4h["session"] < YESTERDAY]
    fresh = CALM.indices_4h[CALM.indices_4h["symbol"] != "DIA"]

    row = CALM.row(indices_4h=pd.concat([fresh, old[old["symbol"] == "DIA"]]))

    assert (row["trend_points"], row["trend"]) == (0, "bearish")
    assert "4h bars of DIA: last bar is of" in row["missing"][0]


def test_an_index_without_bars_counts_for_neither_side_and_is_named() -> None:
    three = CALM.indices_4h[CALM.indices_4h["symbol"] != "DIA"]
    two = three[three["symbol"] != "IWM"]

    assert CALM.row(indices_4h=three)["trend"] == "bullish"
    assert CALM.row(indices_4h=two)["trend"] == "mixed"
    assert CALM.row(indices_4h=three)["missing"] == ["4h bars of DIA: no bars; the index counts for neither side"]


def test_a_stale_vix_is_a_missing_vix() -> None:
    row = CALM.row(vix_1d=CALM.vix_1d[CALM.vix_1d["session"] < YESTERDAY])

    assert row["volatility_points"] == 0
    assert "VIX: last close is of" in row["missing"][0]


def test_the_calendar_notices_when_every_input_stopped() -> None:
    old = {
        name: getattr(CALM, name)[getattr(CALM, name)["session"] < YESTERDAY]
        for name in ("indices_4h", "indices_1d", "vix_1d", "universe_1d")
    }

    assert CALM.row(**old, previous_session=YESTERDAY.date())["score"] == 5


@pytest.mark.parametrize(
    ("points", "expected"),
    [(70.0, (1.5, 8, False)), (69.9, (1.0, 5, False)), (50.0, (1.0, 5, False)), (49.9, (0.75, 3, False)),
     (40.0, (0.75, 3, False)), (39.9, (0.75, 3, True)), (30.0, (0.75, 3, True)), (29.9, (0.5, 1, True))],
)  # fmt: skip
def test_multiplier_and_positions_follow_the_score(points: float, expected: tuple[float, int, bool]) -> None:
    rules = RegimeRules(
        trend_points=(points, 0, 0),
        volatility_points=(0, 0, 0, 0, 0),
        breadth_points=(0, 0, 0, 0),
        correlation_points=(0, 0, 0),
    )

    row = CALM.row(rules=rules)

    assert (row["size_multiplier"], row["positions_allowed"], row["only_a_plus"]) == expected


def test_later_bars_prices_and_vix_change_nothing() -> None:
    later = {"close": 1.0, "sma_20": 2.0, "sma_50": 3.0, "sma_200": 4.0, "rsi": 1.0, "high": 9e9, "low": 1e-9}
    shift = TODAY - YESTERDAY

    def with_future(frame: pd.DataFrame) -> pd.DataFrame:
        last = frame[frame["session"] == YESTERDAY]
        columns = {name: value for name, value in later.items() if name in frame.columns}
        future = last.assign(**columns, session=TODAY, end=last["end"] + shift)
        return pd.concat([frame, future], ignore_index=True)

    frames = ("indices_4h", "indices_1d", "vix_1d", "universe_1d")
    afternoon = CALM.last_prices.assign(as_of=at("20:00"), price=1.0)
    changed = {name: with_future(getattr(CALM, name)) for name in frames}
    changed["last_prices"] = pd.concat([CALM.last_prices, afternoon], ignore_index=True)

    both = (PRE_MARKET, MORNING)

    pd.testing.assert_frame_equal(CALM.scored(as_of=both, **changed), CALM.scored(as_of=both))


def test_many_instants_in_one_pass_equal_one_at_a_time() -> None:
    moments = (PRE_MARKET, MORNING, at("16:00"))

    together = CALM.scored(as_of=moments)
    alone = pd.concat([CALM.scored(as_of=(moment,)) for moment in moments[:2]], ignore_index=True)

    assert tuple(together.columns) == REGIME_COLUMNS
    pd.testing.assert_frame_equal(together.iloc[:2], alone)


def test_row_order_and_an_unsorted_frame_change_nothing() -> None:
    names = ("indices_4h", "indices_1d", "vix_1d", "universe_1d", "last_prices")
    mixed = {name: getattr(CALM, name).sample(frac=1, random_state=1) for name in names}

    pd.testing.assert_frame_equal(CALM.scored(**mixed), CALM.scored())


def test_details_are_plain_json_and_the_report_reads_in_words() -> None:
    row = CALM.scored(vix_1d=NOTHING).iloc[0]

    text = describe(row)

    json.dumps(row["details"], allow_nan=False)
    for phrase in ("BULL_HIGH_VOL", "score of 75 of 100", "VIX unknown: 0 points", "Size multiplier 1.5",
                   "at most 8 positions", "Missing: VIX"):  # fmt: skip
        assert phrase in text


def test_no_prices_after_the_open_is_a_missing_input_not_yesterdays_breadth() -> None:
    row = CALM.row(last_prices=NOTHING, opens_at=OPENS_AT)

    assert row["breadth_points"] == 0
    assert "only 0 of 10 symbols have a price" in row["missing"][0]


def test_doubled_rows_lacking_columns_and_naive_instants_are_refused() -> None:
    with pytest.raises(FrameContractError, match="duplicates by session"):
        CALM.row(vix_1d=pd.concat([CALM.vix_1d, CALM.vix_1d]))
    with pytest.raises(FrameContractError, match="lacks 1 of"):
        CALM.row(indices_4h=CALM.indices_4h.drop(columns="rsi"))
    with pytest.raises(NaiveDatetimeError):
        CALM.row(as_of=(pd.Timestamp(PAST[-1]),))


@pytest.mark.parametrize(
    "rules",
    [{"vix_levels": (20, 15, 30, 40)}, {"score_levels": (50, 70, 30)}, {"trend_indices": ("SPY", "SPY")},
     {"correlation_best": (0.7, 0.5)}, {"breadth_min_sessions": 300}, {"vix_level": 3}],
)  # fmt: skip
def test_rules_that_contradict_themselves_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RegimeRules(**rules)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_resolution_of_instants_changes_nothing(unit: Literal["s", "ms", "us", "ns"]) -> None:
    prices = CALM.last_prices.assign(as_of=CALM.last_prices["as_of"].dt.as_unit(unit))
    universe = CALM.universe_1d.assign(session=CALM.universe_1d["session"].dt.as_unit(unit))

    row = CALM.row(last_prices=prices, universe_1d=universe)

    assert parts(row) == (30, 25, 25, 20)
