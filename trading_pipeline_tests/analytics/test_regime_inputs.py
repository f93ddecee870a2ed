"""Trend labels, VIX levels, breadth and correlation, each at its boundaries."""

from __future__ import annotations

from math import nan

import numpy as np
import pandas as pd
import pytest

from trading_pipeline.analytics.regime import RegimeRules
from trading_pipeline.analytics.regime_inputs import trend_label
from trading_pipeline_tests.analytics.regime_frames import (
    MORNING,
    PAST,
    PRE_MARKET,
    TODAY,
    UNIVERSE,
    YESTERDAY,
    at,
    calm_bull,
    daily,
    index_rows,
    prices,
    walk,
)

CALM = calm_bull()
RULES = RegimeRules()


@pytest.mark.parametrize(
    ("close", "rsi", "sma_20", "sma_50", "sma_200", "label"),
    [
        (110.0, 56.0, 105.0, 100.0, 95.0, "strong_bull"),
        (90.0, 44.0, 95.0, 100.0, 105.0, "strong_bear"),
        (110.0, 55.0, 105.0, 100.0, 95.0, "bull"),
        (90.0, 45.0, 95.0, 100.0, 105.0, "bear"),
        (106.0, 70.0, 105.0, 100.0, 95.0, "bull"),
        (94.0, 30.0, 95.0, 100.0, 105.0, "bear"),
        (110.0, 70.0, 105.0, 100.0, nan, "bull"),
        (90.0, 30.0, 95.0, 100.0, nan, "bear"),
        (100.5, 51.0, 100.0, 100.0, 100.0, "bull"),
        (100.5, 50.0, 100.0, 100.0, 100.0, "neutral"),
        (99.5, 30.0, 100.0, 100.0, 100.0, "neutral"),
        (110.0, 45.0, 100.0, 100.0, 100.0, "neutral"),
        (90.0, 55.0, 100.0, 100.0, 100.0, "neutral"),
    ],
)
def test_trend_labels(close: float, rsi: float, sma_20: float, sma_50: float, sma_200: float, label: str) -> None:
    assert trend_label(close, rsi, sma_20, sma_50, sma_200, RULES) == label


def test_strong_bear_is_the_mirror_of_strong_bull() -> None:
    for distance in np.linspace(0.5, 6, 23):
        for rsi in range(40, 61):
            up = trend_label(100 + distance, rsi, 100.0, 99.0, 98.0, RULES)
            down = trend_label(100 - distance, 100 - rsi, 100.0, 101.0, 102.0, RULES)
            assert (up == "strong_bull") == (down == "strong_bear")


def test_fewer_than_200_bars_have_no_strong_trend_and_say_so() -> None:
    strong = {"close": 110.0, "sma_20": 105.0, "sma_50": 100.0, "rsi": 60.0}

    with_200 = CALM.row(indices_4h=index_rows(CALM.indices_4h, {**strong, "sma_200": 95.0}))["details"]
    without = CALM.row(indices_4h=index_rows(CALM.indices_4h, {**strong, "sma_200": nan}))["details"]

    assert with_200["trends_4h"]["SPY"]["label"] == "strong_bull"
    assert without["trends_4h"]["SPY"]["label"] == "bull"
    assert without["notes"] == ["fewer than 200 4h bars of SPY, QQQ, IWM, DIA: strong trends unavailable"]


def test_fewer_than_50_bars_count_for_neither_side() -> None:
    young = CALM.indices_4h.copy()
    young.loc[young["symbol"].isin(["IWM", "DIA"]), ["sma_50", "sma_200"]] = nan

    row = CALM.row(indices_4h=young)

    assert (row["trend"], row["trend_points"]) == ("mixed", 15)
    assert [name.split(";")[0] for name in row["missing"]] == [
        "4h bars of IWM: fewer than 50 bars",
        "4h bars of DIA: fewer than 50 bars",
    ]


def test_the_distances_are_recorded_in_percent() -> None:
    distances = CALM.row()["details"]["trends_4h"]["SPY"]["distances_percent"]

    assert distances["sma_50"] == pytest.approx(5.0)


def test_two_configured_indices_must_both_agree() -> None:
    rules = RegimeRules(trend_indices=("SPY", "QQQ"), correlation_symbols=("SPY", "QQQ"))
    torn = CALM.indices_4h.copy()
    torn.loc[torn["symbol"] == "QQQ", ["close", "rsi"]] = [80.0, 30.0]

    assert CALM.row(rules=rules)["trend"] == "bullish"
    assert CALM.row(rules=rules, indices_4h=torn)["trend"] == "mixed"


@pytest.mark.parametrize(
    ("level", "label", "points", "volatility"),
    [(14.99, "low", 25, "LOW"), (15.0, "normal", 20, "LOW"), (19.99, "normal", 20, "LOW"),
     (20.0, "elevated", 10, "HIGH"), (29.99, "elevated", 10, "HIGH"), (30.0, "high", 5, "HIGH"),
     (39.99, "high", 5, "HIGH"), (40.0, "extreme", 0, "HIGH")],
)  # fmt: skip
def test_vix_levels_begin_at_their_bounds(level: float, label: str, points: float, volatility: str) -> None:
    row = CALM.row(vix_1d=CALM.vix_1d.assign(close=level))

    assert (row["details"]["vix"]["label"], row["volatility_points"]) == (label, points)
    assert row["regime_class"] == f"BULL_{volatility}_VOL"


def test_a_vix_close_is_known_a_quarter_of_an_hour_after_the_close() -> None:
    today = daily(("VIX",), pd.DatetimeIndex([TODAY]), np.array([[50.0]]))
    vix = pd.concat([CALM.vix_1d, today], ignore_index=True)

    rows = CALM.scored(vix_1d=vix, as_of=(at("21:14"), at("21:15")))

    assert [details["vix"]["level"] for details in rows["details"]] == [14.0, 50.0]


@pytest.mark.parametrize("bad", [nan, 0.0, -3.0, float("inf")])
def test_a_useless_newest_vix_close_is_a_missing_one(bad: float) -> None:
    vix = CALM.vix_1d.copy()
    vix.loc[vix["session"] == YESTERDAY, "close"] = bad

    assert CALM.row(vix_1d=vix)["volatility_points"] == 0


@pytest.mark.parametrize(("last", "trend"), [(15.0, "rising"), (14.1, "stable"), (13.0, "falling")])
def test_the_vix_trend_is_against_its_five_bar_mean(last: float, trend: str) -> None:
    vix = CALM.vix_1d.copy()
    vix.loc[vix["session"] == YESTERDAY, "close"] = last

    assert CALM.row(vix_1d=vix)["details"]["vix"]["trend"] == trend


def test_vix_percentiles_need_their_sessions() -> None:
    details = CALM.row(vix_1d=CALM.vix_1d.tail(40))["details"]["vix"]

    assert details["percentiles"] == {"30": 100.0, "90": None}


def test_no_new_highs_and_no_new_lows_is_a_ratio_of_one() -> None:
    moved = dict.fromkeys(UNIVERSE, 50.1)

    breadth = CALM.row(last_prices=prices([MORNING], moved))["details"]["breadth"]

    assert (breadth["advances"], breadth["declines"], breadth["ad_ratio"]) == (10, 0, 10)
    assert (breadth["new_highs"], breadth["new_lows"], breadth["nh_nl_ratio"]) == (0, 0, 1)
    assert breadth["label"] == "weak"


@pytest.mark.parametrize(
    ("ups", "downs", "highs", "label"),
    [(7, 3, 3, "strong"), (6, 3, 3, "moderate"), (6, 5, 2, "weak"), (5, 5, 2, "weak"), (4, 5, 2, "negative")],
)
def test_breadth_labels_are_strict_at_their_bounds(ups: int, downs: int, highs: int, label: str) -> None:
    names = [f"B{i:02d}" for i in range(ups + downs)]
    universe = daily(names, PAST, np.full((len(PAST), len(names)), 50.0))
    moved = {name: (51.0 if i < highs else 50.1) if i < ups else 49.9 for i, name in enumerate(names)}

    row = CALM.row(universe_1d=universe, last_prices=prices([MORNING], moved))

    assert row["details"]["breadth"]["label"] == label


def test_before_the_open_yesterday_is_compared_with_the_day_before() -> None:
    closes = np.full((len(PAST), len(UNIVERSE)), 50.0)
    closes[-1, :4] = 48.0
    universe = daily(UNIVERSE, PAST, closes)

    breadth = CALM.row(universe_1d=universe, as_of=(PRE_MARKET,))["details"]["breadth"]

    assert (breadth["basis"], breadth["advances"], breadth["declines"]) == ("previous_session", 0, 4)
    assert breadth["new_lows"] == 4


def test_new_highs_need_60_sessions_and_mark_fewer_than_252() -> None:
    def breadth_with(sessions: int) -> tuple[float, dict[str, object], list[str]]:
        row = CALM.row(universe_1d=CALM.universe_1d[CALM.universe_1d["session"] >= PAST[-sessions]])
        return row["breadth_points"], row["details"]["breadth"], row["details"]["notes"]

    assert breadth_with(59)[0] == 0
    assert breadth_with(60)[0] == 25
    assert breadth_with(60)[2] == ["new highs and lows over 60 of 252 sessions"]
    assert (breadth_with(252)[1]["sessions"], breadth_with(252)[2]) == (252, [])


@pytest.mark.parametrize("bad", [nan, 0.0, -1.0, float("inf")])
def test_useless_prices_are_not_counted(bad: float) -> None:
    spoiled = CALM.last_prices.copy()
    spoiled.loc[spoiled["symbol"] == "U0", "price"] = bad

    breadth = CALM.row(last_prices=spoiled)["details"]["breadth"]

    assert (breadth["symbols"], breadth["advances"], breadth["declines"]) == (9, 6, 3)


def test_a_symbol_without_a_bar_yesterday_is_not_counted() -> None:
    gone = (CALM.universe_1d["symbol"] == "U0") & (CALM.universe_1d["session"] == YESTERDAY)

    assert CALM.row(universe_1d=CALM.universe_1d[~gone])["details"]["breadth"]["symbols"] == 9


def test_prices_of_too_few_symbols_are_no_breadth() -> None:
    row = CALM.row(last_prices=CALM.last_prices.head(4))

    assert row["breadth_points"] == 0
    assert "only 4 of 10 symbols have a price" in row["missing"][0]


@pytest.mark.parametrize(("bands", "points"), [((-1.0, 1.0), 20), ((0.99, 1.0), 12)])
def test_correlation_points_follow_the_bands(bands: tuple[float, float], points: float) -> None:
    rules = RegimeRules(correlation_best=bands, correlation_fair=(-1.0, 1.0))

    assert CALM.row(rules=rules)["correlation_points"] == points


def test_indices_that_move_as_one_are_too_correlated() -> None:
    one = walk(9, len(PAST), 1)
    same = index_rows(daily(("SPY", "QQQ", "IWM", "DIA"), PAST, np.repeat(one, 4, axis=1)), {"rsi": 50.0})
    same = same.assign(sma_20=100.0, sma_50=100.0, sma_200=100.0)

    row = CALM.row(indices_1d=same)

    assert row["details"]["correlation"]["mean"] == pytest.approx(1.0)
    assert (row["correlation_points"], row["missing"]) == (5, [])


def test_indices_that_do_not_move_have_no_correlation() -> None:
    row = CALM.row(indices_1d=CALM.indices_1d.assign(close=100.0))

    assert row["correlation_points"] == 5
    assert "prices of an index do not move" in row["missing"][0]


def test_too_few_returns_have_no_correlation() -> None:
    row = CALM.row(indices_1d=CALM.indices_1d[CALM.indices_1d["session"] >= PAST[-20]])

    assert "19 of 20 daily returns" in row["missing"][0]
