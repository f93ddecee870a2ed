"""The coarse filter: each condition, the volume baseline, the score, the hand-off, and no look ahead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.indicators import IndicatorRules, compute_indicators
from trading_pipeline.analytics.screening import CoarseRules, ScreeningAlertRules, coarse_screen, screening_alerts
from trading_pipeline.domain.errors import FrameContractError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline_tests.indicator_rows import Changes, calm
from trading_pipeline_tests.random_market import opens_at, random_bars, sessions_from

DAYS = sessions_from("2025-01-06", 60)
OPENS = opens_at(DAYS)
ALL_CONDITIONS: Changes = {
    "bb_lower": 95.0,
    "bb_upper": 115.0,
    "stoch_k": [20.0, 20.0, 20.0, 20.0, 31.0],
    "macd_hist": [-1.0, -0.5, 0.2],
    "rsi": [37.0, 40.0],
}


def screen(frame: pd.DataFrame, rules: CoarseRules | None = None, *, at: pd.Timestamp | None = None) -> pd.Series:
    """The one row of symbol AAA at the end of `frame`, or at `at`."""
    moment = frame["end"].iloc[-1] if at is None else at
    chosen = rules or CoarseRules()
    return coarse_screen(frame, [moment], ["AAA"], chosen, timeframe=Timeframe.HOUR1, opens_at=OPENS).iloc[0]


def holds(name: str, changes: Changes, rules: CoarseRules | None = None) -> bool:
    return bool(screen(calm("1h", 40, changes), rules)[f"rule_{name}"])


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("band", {"bb_lower": 94.0, "bb_upper": 104.0}, True),
        ("band", {"bb_lower": 93.0, "bb_upper": 104.0}, False),
        ("band", {"bb_lower": [99.0, 92.0, 92.0, 92.0, 92.0], "bb_upper": 100.0}, True),
        ("band", {"bb_lower": [99.0, 92.0, 92.0, 92.0, 92.0, 92.0], "bb_upper": 100.0}, False),
        ("band", {"bb_lower": 50.0, "bb_upper": 50.0}, False),
        ("stoch", {"stoch_k": [25.0, 30.0, 30.0, 30.0, 31.0]}, True),
        ("stoch", {"stoch_d": [25.0, 30.0, 30.0, 30.0, 31.0], "stoch_k": [60.0, 64.0]}, True),
        ("stoch", {"stoch_k": [25.0, 30.0, 30.0, 30.0, 30.0, 31.0]}, False),
        ("stoch", {"stoch_k": [25.0, 30.0, 30.0, 30.0, 30.0]}, False),
        ("stoch", {"stoch_k": [25.0, 30.0, 30.0, 30.0, 65.0]}, False),
        ("macd", {"macd_hist": [-1.0, -1.0, -1.0]}, True),
        ("macd", {"macd_hist": [-1.0, -0.5, -0.6]}, False),
        ("macd", {"macd_hist": [-0.4, -0.5, 0.6]}, False),
        ("macd", {"macd_hist": [0.1, 0.5, 1.0]}, False),
        ("macd", {"macd_hist": [0.1, 0.5, 1.0], "atr": 1.1}, True),
        ("macd", {"macd_hist": 0.0, "atr": 0.0}, False),
        ("rsi", {"rsi": 25.0}, True),
        ("rsi", {"rsi": 65.0}, True),
        ("rsi", {"rsi": 24.9}, False),
        ("rsi", {"rsi": 65.1}, False),
        ("rsi", {"rsi": [41.0, 40.0]}, False),
        ("volume", {"volume": [800.0]}, True),
        ("volume", {"volume": [799.0]}, False),
    ],
)
def test_each_condition_holds_exactly_within_its_bounds(name: str, changes: Changes, expected: bool) -> None:
    assert holds(name, changes) is expected


def test_the_absolute_macd_rule_depends_on_the_price_scale_and_is_there_on_request() -> None:
    extended: Changes = {"macd_hist": [0.1, 0.5, 1.0], "atr": 5.0}

    assert holds("macd", extended)
    assert not holds("macd", extended, CoarseRules(macd_rule="absolute"))


def test_three_of_four_conditions_and_volume_pass_and_a_good_score_is_handed_off() -> None:
    row = screen(calm("1h", 40, ALL_CONDITIONS))

    # StochRSI 10 + 15, MACD 20 + 10, RSI 10 + 10, band position 0.25: 20
    assert (row["passed"], row["reason"], row["score"], row["rank"], row["handed_off"]) == (True, "", 95.0, 1, True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"macd_hist": [-5.0, -6.0]}, "conditions:band,stoch,macd,rsi"),
        ({}, "conditions:band,stoch,rsi"),
        ({"rsi": 50.0, "bb_upper": 120.0, "macd_hist": [-5.0, -6.0]}, "conditions:stoch,macd"),
        ({**ALL_CONDITIONS, "volume": [799.0]}, "volume"),
        ({"rsi": 60.0, "bb_upper": 120.0, "macd_hist": 0.0}, "score_below_minimum"),
    ],
)
def test_the_first_gate_that_fails_is_the_terminal_reason(changes: Changes, reason: str) -> None:
    row = screen(calm("1h", 40, changes))

    assert (row["reason"], row["handed_off"]) == (reason, False)


def test_fewer_than_thirty_bars_is_insufficient_history() -> None:
    thirty = calm("1h", 30, ALL_CONDITIONS)

    assert screen(thirty)["reason"] == ""
    short = screen(thirty.iloc[1:])
    assert (short["reason"], short["bars"], bool(np.isnan(short["score"]))) == ("insufficient_history", 29, True)


def test_a_symbol_without_bars_keeps_its_row_and_reason() -> None:
    frame = calm("1h", 40)

    found = coarse_screen(
        frame, [frame["end"].iloc[-1]], ["NONE", "AAA"], CoarseRules(), timeframe=Timeframe.HOUR1, opens_at=OPENS
    )

    assert list(found["symbol"]) == ["NONE", "AAA"]
    assert (found["bars"].iloc[0], found["reason"].iloc[0]) == (0, "insufficient_history")
    assert found["bar_start"].isna().tolist() == [True, False]


def test_the_volume_baseline_is_the_same_bar_of_the_day_in_the_sessions_before() -> None:
    frame = calm("1h", 7 * 30)
    first_bars = frame["start"].dt.hour == 14
    frame.loc[first_bars, "volume"] = 5000.0
    first_of_last = frame.iloc[: 7 * 29 + 1].copy()

    first_of_last.loc[first_of_last.index[-1], "volume"] = 4000.0
    assert screen(first_of_last)["rule_volume"]
    assert screen(first_of_last, CoarseRules(volume_baseline="bars"))["rule_volume"]
    first_of_last.loc[first_of_last.index[-1], "volume"] = 3999.0
    assert not screen(first_of_last)["rule_volume"]
    assert screen(first_of_last, CoarseRules(volume_baseline="bars"))["rule_volume"]


def test_the_baseline_leaves_out_the_current_session_and_all_beyond_twenty() -> None:
    frame = calm("1h", 7 * 22)
    frame.loc[frame["session"] == DAYS[0], "volume"] = 1e9
    frame.loc[frame.index[-1], "volume"] = 800.0

    assert screen(frame)["rule_volume"]
    frame.loc[frame["session"] == DAYS[1], "volume"] = 1e9
    assert not screen(frame)["rule_volume"]


def test_the_baseline_uses_the_sessions_present_and_needs_one() -> None:
    frame = calm("1h", 7 * 10)
    same_bar = frame["start"].dt.hour == frame["start"].iloc[-1].hour
    earlier = frame["session"] < DAYS[9]

    one_left = frame[~(same_bar & earlier & (frame["session"] != DAYS[4]))]
    none_left = frame[~(same_bar & earlier)]

    assert screen(one_left)["rule_volume"]
    assert screen(none_left)["reason"] == "insufficient_history"


def test_the_hand_off_takes_the_best_scores_then_the_symbol_order() -> None:
    better: Changes = {**ALL_CONDITIONS, "stoch_k": [10.0, 20.0, 20.0, 20.0, 31.0]}
    frame = pd.concat(
        [calm("1h", 40, better if symbol == "C" else ALL_CONDITIONS, symbol=symbol) for symbol in "ABCD"],
        ignore_index=True,
    )

    found = coarse_screen(
        frame, [frame["end"].iloc[-1]], list("DBCA"), CoarseRules(max_handed_off=2), timeframe=Timeframe.HOUR1,
        opens_at=OPENS,
    ).set_index("symbol")  # fmt: skip

    assert found["rank"].to_dict() == {"C": 1, "A": 2, "B": 3, "D": 4}
    assert found["reason"].to_dict() == {"C": "", "A": "", "B": "not_in_top", "D": "not_in_top"}


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(min_value=0, max_value=10_000), cut=st.integers(min_value=1, max_value=7 * 40))
def test_appending_future_bars_changes_no_earlier_screen(seed: int, cut: int) -> None:
    ind = compute_indicators(random_bars(seed, ["AAA", "BBB"], 40, "1h", missing=0.02), IndicatorRules())
    moments = list(pd.DatetimeIndex(sorted(ind["end"].unique()))[max(0, cut - 30) : cut])
    known = ind[ind["end"] <= moments[-1]].reset_index(drop=True)

    whole, cut_off = (
        coarse_screen(frame, moments, ["AAA", "BBB"], CoarseRules(), timeframe=Timeframe.HOUR1, opens_at=OPENS)
        for frame in (ind, known)
    )

    pd.testing.assert_frame_equal(whole, cut_off, check_exact=True)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(min_value=0, max_value=10_000), order=st.permutations(["A", "B", "C", "D", "E"]))
def test_every_symbol_has_one_row_one_reason_and_a_score_of_its_own(seed: int, order: list[str]) -> None:
    ind = compute_indicators(random_bars(seed, ["A", "B", "C", "D"], 30, "1h", missing=0.02), IndicatorRules())
    moments = list(pd.DatetimeIndex(sorted(ind["end"].unique()))[-20:])
    rules = CoarseRules(max_handed_off=2)

    found = coarse_screen(ind, moments, order, rules, timeframe=Timeframe.HOUR1, opens_at=OPENS)

    assert len(found) == len(moments) * 5
    assert ((found["reason"] == "") == found["handed_off"]).all()
    assert found["score"].dropna().between(0, 100).all()
    assert (found.groupby("as_of")["handed_off"].sum() <= 2).all()
    alone = coarse_screen(ind[ind["symbol"] == "B"], moments, ["B"], rules, timeframe=Timeframe.HOUR1, opens_at=OPENS)
    same = found[found["symbol"] == "B"].reset_index(drop=True)
    ranked = ["rank", "handed_off", "reason"]
    pd.testing.assert_frame_equal(same.drop(columns=ranked), alone.drop(columns=ranked), check_exact=True)


def test_bad_input_is_named() -> None:
    frame = calm("1h", 40)
    moment = [frame["end"].iloc[-1]]

    with pytest.raises(FrameContractError, match="given twice"):
        coarse_screen(frame, moment, ["AAA", "AAA"], CoarseRules(), timeframe=Timeframe.HOUR1, opens_at=OPENS)
    with pytest.raises(FrameContractError, match="no opening time"):
        coarse_screen(
            frame, moment, ["AAA"], CoarseRules(), timeframe=Timeframe.HOUR1, opens_at={DAYS[0]: OPENS[DAYS[0]]}
        )
    with pytest.raises(FrameContractError, match="lacks"):
        coarse_screen(
            frame.drop(columns="rsi"), moment, ["AAA"], CoarseRules(), timeframe=Timeframe.HOUR1, opens_at=OPENS
        )


def test_unusual_screens_raise_alerts_in_words() -> None:
    moment = pd.Timestamp("2025-03-03 15:00", tz="UTC")
    calm_rows = pd.DataFrame(
        {"as_of": moment, "symbol": [f"S{i}" for i in range(100)], "passed": False, "reason": "volume", "score": 50.0}
    )
    usual = calm_rows.assign(passed=[True] * 10 + [False] * 90)
    rules = ScreeningAlertRules()

    assert screening_alerts(usual, rules, duration_seconds=60) == ()
    assert "took 60.1 s" in screening_alerts(usual, rules, duration_seconds=60.1)[0]
    assert "0.0% of 100 symbols pass" in screening_alerts(calm_rows, rules)[0]
    assert "pass, over 20.0%" in screening_alerts(usual.assign(passed=[True] * 21 + [False] * 79), rules)[0]
    failing = usual.assign(reason=["insufficient_history"] * 11 + ["volume"] * 89)
    assert "11.0% of 100 symbols lack history" in screening_alerts(failing, rules)[0]
    assert "1 scores over 80: S0 81" in screening_alerts(usual.assign(score=[81.0] + [80.0] * 99), rules)[0]
