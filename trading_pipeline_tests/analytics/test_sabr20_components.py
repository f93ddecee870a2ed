"""Each rule of SABR20 on rows written by hand: the calm symbol has known points, and a change adds known points."""

from __future__ import annotations

import pandas as pd
import pytest

from trading_pipeline.analytics.sabr20 import Sabr20Rules, score_setups
from trading_pipeline_tests.indicator_rows import Changes, calm

CALM_POINTS = {
    "setup_strength": 8.0,  # T3 not falling 4, T3 rsi 4
    "bottom_phase": 4.0,  # equal closes: the earliest lowest is 9 bars ago
    "accumulation_intensity": 0.0,
    "trend_momentum": 0.0,
    "risk_reward": 0.0,
    "volume_profile": 0.0,
}
CROSS: Changes = {"stoch_k": [10.0, 18.0], "stoch_d": [12.0, 12.0]}


def score(
    t1: Changes | None = None, t2: Changes | None = None, t3: Changes | None = None, rules: Sabr20Rules | None = None
) -> pd.Series:
    """The one setup of symbol AAA at the close of the eighteenth session."""
    first = calm("15min", 26 * 18, t1)
    candidates = pd.DataFrame({"as_of": [first["end"].iloc[-1]], "symbol": ["AAA"]})
    frames = (first.tail(81), calm("1h", 7 * 18, t2).tail(35), calm("4h", 2 * 18, t3).tail(35))
    return score_setups(*frames, candidates, rules or Sabr20Rules()).iloc[0]


def added(component: str, t1: Changes | None = None, t2: Changes | None = None, t3: Changes | None = None) -> float:
    return float(score(t1, t2, t3)[component]) - CALM_POINTS[component]


def test_a_calm_symbol_has_the_points_the_specification_gives_it() -> None:
    row = score()

    assert {name: row[name] for name in CALM_POINTS} == CALM_POINTS
    assert row["score"] == pytest.approx(8 / 35 * 30 + 4 / 25 * 22)
    assert (row["state"], row["phase"], row["grade"], row["quartile"]) == ("PostBottom", "Distribution", "C", "Q2")
    assert (row["entry"], row["stop"], row["target"]) == (100.0, 92.0, pytest.approx(103.02))
    assert (row["lowest_low"], row["lower_band"], row["atr"], row["atr_mean"]) == (99.0, 92.0, 1.0, 1.0)
    assert (row["bars_since_pivot"], row["exhaustion"]) == (19.0, 55.0)
    assert row["drawdown_pct"] == pytest.approx(-100 / 101)


@pytest.mark.parametrize(
    ("t1", "points"),
    [
        (CROSS, 2.0),
        ({"stoch_k": [10.0, 60.0], "stoch_d": [12.0, 12.0]}, 5.0),
        ({"stoch_k": [20.0, 24.0], "stoch_d": [20.0, 12.0]}, 1.0),
        ({"stoch_k": [20.1, 24.0], "stoch_d": [20.0, 12.0]}, 0.0),
        ({"stoch_k": [15.0, 14.0], "stoch_d": [16.0, 12.0]}, 0.0),  # above D while falling: the rise is floored
        ({"macd_hist": [-1.0, 0.0]}, 5.0),
        ({"macd_hist": [-1.0, -0.5]}, 3.0),
        ({"macd_hist": [0.0, 0.5]}, 3.0),
        ({"macd_hist": [-0.5, -1.0]}, 0.0),
        ({"bb_mid": 100.0}, 3.0),
        ({"bb_mid": 100.0, "bb_lower": [99.0, 92.0, 92.0, 92.0, 92.0]}, 5.0),
        ({"bb_mid": 100.0, "bb_lower": [99.0, 92.0, 92.0, 92.0, 92.0, 92.0]}, 3.0),
    ],
)
def test_setup_strength_on_t1(t1: Changes, points: float) -> None:
    assert added("setup_strength", t1) == pytest.approx(points)


@pytest.mark.parametrize(
    ("t2", "points"),
    [
        ({"macd_hist": [0.5, 0.6]}, 6.0),
        ({"macd_hist": [-0.6, 0.0]}, 4.0),
        ({"macd_hist": [0.6, 0.5]}, 0.0),
        ({"stoch_k": 69.9, "stoch_d": 69.9}, 3.0),
        ({"stoch_k": 69.9}, 0.0),
        ({"bb_mid": 100.0}, 3.0),
    ],
)
def test_setup_strength_on_t2(t2: Changes, points: float) -> None:
    assert added("setup_strength", t2=t2) == points


@pytest.mark.parametrize(
    ("t3", "points"),
    [
        ({"macd_hist": [-1.0, -1.9]}, -2.0),
        ({"macd_hist": [-1.0, -2.0]}, -4.0),
        ({"macd_hist": [-1.0, -2.0], "atr": 1.1}, -2.0),
        ({"rsi": 45.0}, 0.0),
        ({"rsi": 44.9}, -2.0),
        ({"rsi": 34.9}, -4.0),
    ],
)
def test_setup_strength_on_t3(t3: Changes, points: float) -> None:
    assert added("setup_strength", t3=t3) == points


@pytest.mark.parametrize(
    ("t1", "points"),
    [
        ({"stoch_k": [10.0, *[70.0] * 9]}, 6.0),
        ({"stoch_k": [10.0, *[70.0] * 10]}, 0.0),
        ({"stoch_k": [15.0, *[70.0] * 9]}, 4.0),
        ({"stoch_k": [20.0, *[70.0] * 9]}, 2.0),
        ({"rsi": [25.0, *[70.0] * 9]}, 4.0),
        ({"rsi": [30.0, *[70.0] * 9]}, 2.0),
        ({"close": [99.5, 100.0]}, 4.0),
        ({"close": [99.5, *[100.0] * 5]}, 4.0),
        ({"close": [99.5, *[100.0] * 6]}, 0.0),
        ({"close": [99.5, 100.0, 99.5, *[100.0] * 4]}, 0.0),  # the earliest lowest counts
        ({"close": [99.5]}, -4.0),
    ],
)
def test_bottom_phase(t1: Changes, points: float) -> None:
    assert added("bottom_phase", t1) == points


@pytest.mark.parametrize(
    ("t1", "state", "points"),
    [
        ({"stoch_k": [21.0, 25.0], "stoch_d": 70.0}, "BottomSoon", 5.0),
        ({"stoch_d": [25.0], "stoch_k": [80.0, 70.0]}, "PreBottom", 3.0),  # above D already: no cross on this bar
        ({"stoch_k": [22.0, 21.0], "stoch_d": 70.0}, "PreBottom", 3.0),
        ({"stoch_k": [21.0, 23.0], "stoch_d": [22.0, 22.0]}, "BottomActive", 7.0),
        ({"bb_lower": 98.0, "bb_upper": 108.0}, "BottomActive", 7.0),
        ({"bb_lower": 98.0, "bb_upper": 102.0}, "BottomActive", 7.0),
        ({"bb_lower": 99.0, "bb_upper": 108.0}, "BottomSoon", 5.0),
        ({"bb_lower": 94.0, "bb_upper": 104.0}, "BottomSoon", 5.0),
        ({"bb_lower": 93.9, "bb_upper": 104.0}, "PostBottom", 0.0),
        ({"bb_lower": 100.0, "bb_upper": 100.0}, "BottomSoon", 5.0),  # no width, no position
    ],
)
def test_state(t1: Changes, state: str, points: float) -> None:
    row = score(t1)

    assert (row["state"], row["bottom_phase"]) == (state, 4.0 + points)


def signals(count: int, *, newest: bool = False) -> Changes:
    """K and D with `count` stoch signals, each two bars long, ending on the newest bar or 30 bars before."""
    k, d = [10.0, 30.0] * count, [15.0, 15.0] * count
    calm_after = [] if newest else [70.0] * 30
    return {"stoch_k": [*k, *calm_after], "stoch_d": [*d, *calm_after]}


def leaving_oversold(count: int, now: float) -> list[float]:
    return [*[29.0, 31.0] * count, *[now] * 30]


@pytest.mark.parametrize(
    ("stoch", "rsi", "phase", "points"),
    [
        (3, leaving_oversold(0, 44.9), "Early", 18.0),
        (3, leaving_oversold(0, 45.0), "Distribution", 0.0),
        (2, leaving_oversold(0, 49.9), "Mid", 14.0),
        (2, leaving_oversold(0, 50.0), "Distribution", 0.0),
        (1, leaving_oversold(0, 40.0), "Late", 10.0),
        (1, leaving_oversold(0, 55.0), "Late", 10.0),
        (1, leaving_oversold(0, 55.1), "Distribution", 0.0),
        (2, leaving_oversold(1, 50.1), "Breakout", 6.0),
        (2, leaving_oversold(2, 50.1), "Breakout", 6.0),
        (2, leaving_oversold(2, 50.0), "Distribution", 0.0),
        (1, leaving_oversold(1, 60.0), "Distribution", 0.0),
    ],
)
def test_accumulation_phases(stoch: int, rsi: list[float], phase: str, points: float) -> None:
    row = score({**signals(stoch), "rsi": rsi})

    assert (row["phase"], row["accumulation_intensity"]) == (phase, points)


def test_recent_signals_add_points_and_the_cap_holds() -> None:
    assert score({**signals(1, newest=True), "rsi": 60.0})["accumulation_intensity"] == 0.0
    assert score({**signals(2, newest=True), "rsi": 60.0})["accumulation_intensity"] == 1.0
    assert score({**signals(3, newest=True), "rsi": 60.0})["accumulation_intensity"] == 2.0
    assert score({**signals(3, newest=True), "rsi": 44.0})["accumulation_intensity"] == 18.0


def test_the_fifty_bar_window_has_forty_nine_transitions() -> None:
    inside: Changes = {"stoch_k": [10.0, 30.0, *[70.0] * 48], "stoch_d": [15.0, 15.0, *[70.0] * 48]}
    outside: Changes = {"stoch_k": [10.0, 30.0, *[70.0] * 49], "stoch_d": [15.0, 15.0, *[70.0] * 49]}

    assert (score(inside)["ratio"], score(outside)["ratio"]) == (2.0, 0.0)


@pytest.mark.parametrize(
    ("t1", "points"),
    [
        ({"macd_hist": [-3.0, -2.0, -1.0]}, 8.0),
        ({"macd_hist": [-2.0, -2.0, -1.0]}, 5.0),
        ({"macd_hist": [-3.0, -2.0, -2.0]}, 0.0),
        ({"rsi": [60.0, 65.0]}, 6.0),
        ({"rsi": [60.0, 63.0]}, 4.0),
        ({"rsi": [60.0, 61.0]}, 2.0),
        ({"rsi": [60.0, 60.9]}, 0.0),
        ({"sma_20": 99.0}, 3.0),
        ({"sma_20": [98.0, 97.0, 97.0, 97.0, 99.0]}, 6.0),
        ({"sma_20": [98.0, 99.0, 99.0, 99.0, 99.0, 99.0]}, 3.0),
        ({"sma_20": [99.0, 98.0, 98.0, 98.0, 99.0]}, 3.0),
        ({"sma_20": [98.0, 98.0, 98.0, 98.0, 100.0]}, 0.0),
    ],
)
def test_trend_momentum(t1: Changes, points: float) -> None:
    assert added("trend_momentum", t1) == points


@pytest.mark.parametrize(
    ("low", "upper", "points"),
    [
        (98.5, 104.5, 10.0),
        (98.0, 106.0, 9.0),
        (97.5, 106.3, 8.0),
        (97.0, 106.0, 6.0),
        (96.0, 106.0, 3.0),
        (96.0, 105.9, 0.0),
    ],
)
def test_risk_reward(low: float, upper: float, points: float) -> None:
    row = score({"low": low, "bb_lower": 99.0, "bb_upper": upper})

    assert (row["stop"], row["target"], row["risk_reward"]) == (low, upper, points)
    assert row["rr"] == pytest.approx((upper - 100) / (100 - low))


def test_the_lower_of_low_and_band_is_the_stop_and_the_higher_of_band_and_t2_mid_the_target() -> None:
    row = score({"low": [90.0, *[99.0] * 9], "bb_lower": 91.0}, {"bb_mid": 200.0})

    assert (row["stop"], row["target"]) == (90.0, 204.0)
    assert score({"low": [90.0, *[99.0] * 10], "bb_lower": 91.0})["stop"] == 91.0


def test_a_setup_without_risk_has_no_reward_risk_and_one_past_its_target_a_negative_one() -> None:
    no_risk = score({"low": 100.0, "bb_lower": 100.0})
    past_target = score({"bb_upper": 97.0, "low": 98.0, "bb_lower": 98.0}, {"bb_mid": 90.0})

    assert (no_risk["rr"], no_risk["risk_reward"]) == (0.0, 0.0)
    assert (past_target["rr"], past_target["risk_reward"]) == (-1.5, 2.0)


@pytest.mark.parametrize(
    ("t1", "points"),
    [
        ({"volume_ratio": [1.5]}, 1.5),
        ({"volume_ratio": [1.0]}, 1.0),
        ({"volume_ratio": [0.7]}, 0.5),
        ({"volume": [1.0, 2.0, 3.0]}, 0.5),
        ({"volume": [2.0, 2.0, 3.0]}, 0.0),
        ({"volume_ratio": [1.5], "volume": [1.0, 2.0, 3.0]}, 2.0),
    ],
)
def test_volume_profile(t1: Changes, points: float) -> None:
    assert added("volume_profile", t1) == points


@pytest.mark.parametrize(
    ("rsi", "hist", "quartile"),
    [(60.0, 0.1, "Q1"), (60.0, 0.0, "Q2"), (50.0, 0.0, "Q2"), (30.0, 0.1, "Q2"), (40.0, 0.0, "Q3"), (39.9, 0.0, "Q4")],
)
def test_quartile(rsi: float, hist: float, quartile: str) -> None:
    assert score(t2={"rsi": rsi, "macd_hist": hist})["quartile"] == quartile


TRIGGER_T1: Changes = {
    "bb_lower": [99.0, 92.0, 92.0, 92.0, 92.0],
    "bb_mid": 100.0,
    "stoch_k": [18.0, 26.0],
    "stoch_d": [19.0, 20.0],
    "macd_hist": [-3.0, -2.0, -2.0],
    "rsi": [35.0, 35.0],
}
TRIGGER_T2: Changes = {"macd_hist": [-2.0, -1.0]}


def test_the_strict_trigger_fires_when_all_three_timeframes_agree() -> None:
    assert score(TRIGGER_T1, TRIGGER_T2)["trigger"]


@pytest.mark.parametrize(
    ("t1", "t2", "t3"),
    [
        ({"bb_lower": 92.0}, {}, {}),
        ({"bb_mid": 100.1}, {}, {}),
        ({"stoch_k": [20.1, 26.0]}, {}, {}),
        ({"stoch_d": [20.1, 20.0]}, {}, {}),
        ({"stoch_k": [18.0, 24.9]}, {}, {}),
        ({"stoch_d": [19.0, 26.0]}, {}, {}),
        ({"macd_hist": [-2.0, -2.0, -1.0]}, {}, {}),
        ({"macd_hist": [-3.0, 0.0, 1.0]}, {}, {}),
        ({"macd_hist": [-3.0, -2.0, -2.1]}, {}, {}),
        ({"rsi": [35.0, 34.9]}, {}, {}),
        ({"rsi": [29.0, 29.9]}, {}, {}),
        ({"rsi": [60.0, 60.1]}, {}, {}),
        ({}, {"macd_hist": -1.0}, {}),
        ({}, {"stoch_k": 80.0}, {}),
        ({}, {"bb_mid": 101.1}, {}),
        ({}, {}, {"macd_hist": [-1.0, -1.1]}),
        ({}, {}, {"rsi": [34.0, 34.0]}),
        ({}, {}, {"low": [98.9]}),
    ],
)
def test_the_strict_trigger_needs_every_condition(t1: Changes, t2: Changes, t3: Changes) -> None:
    assert not score({**TRIGGER_T1, **t1}, {**TRIGGER_T2, **t2}, t3)["trigger"]


def test_band_expansion_is_asked_for_only_on_request() -> None:
    asking = Sabr20Rules.model_validate({"trigger": {"require_band_expansion": True}})

    assert not score(TRIGGER_T1, TRIGGER_T2, rules=asking)["trigger"]
    assert score({**TRIGGER_T1, "bb_upper": [103.0, 104.0]}, TRIGGER_T2, rules=asking)["trigger"]
