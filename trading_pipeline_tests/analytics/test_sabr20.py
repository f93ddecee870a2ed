"""SABR20 as a whole: laws on random markets, who is rejected and why, and the grade table."""

from __future__ import annotations

import time
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_pipeline.analytics.indicators import IndicatorRules, compute_indicators
from trading_pipeline.analytics.sabr20 import COMPONENTS, RAW_MAX, SETUP_COLUMNS, Sabr20Rules, grades, score_setups
from trading_pipeline.domain.errors import FrameContractError, NaiveDatetimeError
from trading_pipeline_tests.indicator_rows import calm
from trading_pipeline_tests.random_market import MINUTES, OPENS_AT, random_bars, sessions_from

SESSIONS = 30
RULES = Sabr20Rules()
seeds = st.integers(min_value=0, max_value=10_000)
slow = settings(deadline=None, max_examples=8)


class Market(NamedTuple):
    """Indicator frames of the three timeframes."""

    t1: pd.DataFrame
    t2: pd.DataFrame
    t3: pd.DataFrame

    def where(self, keep: str) -> Market:
        """The rows a query keeps, on every timeframe."""
        return Market(*(frame.query(keep).reset_index(drop=True) for frame in self))


def a_market(seed: int, symbols: int | list[str], *, missing: float = 0.0) -> Market:
    bars = (random_bars(seed, symbols, SESSIONS, timeframe, missing=missing) for timeframe in MINUTES)
    return Market(*(compute_indicators(frame, IndicatorRules()) for frame in bars))


def snapshots(session: int, symbols: list[str]) -> pd.DataFrame:
    """Every symbol at each of the 26 closes of a session."""
    opened = (sessions_from("2025-01-06", SESSIONS)[session] + OPENS_AT).tz_localize("UTC")
    moments = pd.DatetimeIndex([opened + pd.Timedelta(minutes=15 * (i + 1)) for i in range(26)])
    return pd.DataFrame({"as_of": moments.repeat(len(symbols)), "symbol": symbols * 26})


@slow
@given(seed=seeds)
def test_scores_and_components_stay_within_their_bounds(seed: int) -> None:
    names = [f"S{i:03d}" for i in range(6)]
    found = score_setups(*a_market(seed, 6, missing=0.02), snapshots(-1, names), RULES)
    scored = found[found["scored"]]

    assert tuple(found.columns) == SETUP_COLUMNS
    assert scored["score"].between(0, 100).all()
    assert all(scored[name].between(0, RAW_MAX[name]).all() for name in COMPONENTS)
    assert np.isfinite(scored.select_dtypes("number").to_numpy()).all()
    assert (scored["stop"] <= scored["entry"]).all()
    assert (scored["drawdown_pct"] <= 0).all()
    assert scored["bars_since_pivot"].between(0, 19).all()
    weighed = sum(scored[name] / RAW_MAX[name] * RULES.weights.of(name) for name in COMPONENTS)
    np.testing.assert_allclose(scored["score"], weighed, rtol=1e-12)


@slow
@given(seed=seeds, snapshot=st.integers(min_value=0, max_value=25))
def test_appending_future_bars_changes_no_earlier_setup(seed: int, snapshot: int) -> None:
    market = a_market(seed, ["AAA", "BBB"], missing=0.02)
    candidates = snapshots(-2, ["AAA", "BBB"]).iloc[2 * snapshot : 2 * snapshot + 2].reset_index(drop=True)
    as_of = candidates["as_of"].iloc[0]

    known = Market(*(frame[frame["end"] <= as_of].reset_index(drop=True) for frame in market))

    whole, cut = (score_setups(*frames, candidates, RULES) for frames in (market, known))
    pd.testing.assert_frame_equal(whole, cut, check_exact=True)


@slow
@given(seed=seeds, order=st.randoms(use_true_random=False))
def test_a_setup_does_not_depend_on_other_symbols_other_snapshots_or_their_order(seed: int, order: object) -> None:
    names = ["AAA", "BBB", "CCC", "DDD"]
    market, candidates = a_market(seed, names, missing=0.02), snapshots(-1, names)
    shuffled = candidates.sample(frac=1, random_state=seed)

    together = score_setups(*market, shuffled, RULES).set_index(["as_of", "symbol"]).sort_index()

    one = candidates[candidates["symbol"] == "CCC"].iloc[10:12]
    alone = score_setups(*market.where("symbol == 'CCC'"), one, RULES).set_index(["as_of", "symbol"])
    pd.testing.assert_frame_equal(together.loc[alone.index], alone, check_exact=True)


def test_every_candidate_keeps_its_row_in_the_order_given() -> None:
    market, candidates = a_market(1, ["AAA", "BBB"]), snapshots(-1, ["BBB", "NONE", "AAA"])

    found = score_setups(*market, candidates, RULES)

    pd.testing.assert_frame_equal(found[["as_of", "symbol"]], candidates)
    rejected = found[~found["scored"]]
    assert set(rejected["symbol"]) == {"NONE"}
    assert set(rejected["reason"]) == {"no_bar_at_as_of"}
    assert rejected["score"].isna().all()
    assert (rejected[["state", "phase", "grade", "quartile"]] == "").all(axis=None)
    assert not rejected["trigger"].any()


def test_a_symbol_that_did_not_trade_in_the_bar_that_just_closed_is_not_scored() -> None:
    market, candidates = a_market(1, ["AAA"]), snapshots(-1, ["AAA"])
    gap = candidates["as_of"].iloc[5]

    t1 = market.t1[market.t1["end"] != gap].reset_index(drop=True)
    found = score_setups(t1, market.t2, market.t3, candidates, RULES)

    assert found.loc[~found["scored"], "as_of"].tolist() == [gap]


@pytest.mark.parametrize(
    ("bars", "reason"),
    [
        ((81, 35, 35), ""),
        ((80, 35, 35), "insufficient_history:15min:80"),
        ((81, 34, 35), "insufficient_history:1h:34"),
        ((81, 35, 34), "insufficient_history:4h:34"),
        ((80, 34, 34), "insufficient_history:15min:80"),
        ((81, 0, 35), "insufficient_history:1h:0"),
        ((0, 35, 35), "no_bar_at_as_of"),
    ],
)
def test_too_little_history_is_rejected_with_timeframe_and_count(bars: tuple[int, int, int], reason: str) -> None:
    raw = [random_bars(5, ["AAA"], SESSIONS, timeframe) for timeframe in MINUTES]
    kept = (frame.iloc[len(frame) - count :] for frame, count in zip(raw, bars, strict=True))
    market = Market(*(compute_indicators(frame, IndicatorRules()) for frame in kept))

    found = score_setups(*market, snapshots(-1, ["AAA"]).tail(1), RULES).iloc[0]

    assert (found["reason"], found["scored"]) == (reason, reason == "")


def test_a_null_anywhere_a_rule_reads_is_insufficient_history() -> None:
    t1, t2, t3 = calm("15min", 468), calm("1h", 126), calm("4h", 36)
    candidate = pd.DataFrame({"as_of": [t1["end"].iloc[-1]], "symbol": ["AAA"]})
    reads = [
        *((t1, name, bars) for name, bars in {"stoch_k": 50, "stoch_d": 50, "rsi": 50, "macd_hist": 3}.items()),
        *((t1, name, bars) for name, bars in {"bb_lower": 5, "sma_20": 5, "volume_ratio": 1}.items()),
        *((t2, name, bars) for name, bars in {"macd_hist": 2, "stoch_k": 1, "rsi": 1, "bb_mid": 1}.items()),
        *((t3, name, bars) for name, bars in {"macd_hist": 2, "rsi": 2, "atr": 1}.items()),
    ]

    for frame, column, bars in reads:
        kept = frame[column].copy()
        for back, scored in ((bars, False), (bars + 1, True)):
            frame.loc[len(frame) - back, column] = np.nan
            assert score_setups(t1, t2, t3, candidate, RULES)["scored"].iloc[0] == scored, (column, back)
            frame[column] = kept


GRADED = list(
    product(
        (0.0, 54.999999, 55.0, 64.999999, 65.0, 74.999999, 75.0, 100.0),
        ("BottomActive", "BottomSoon", "PreBottom", "PostBottom"),
        (-1.0, 0.0, 1.19, 1.2, 1.49, 1.5, 1.99, 2.0, 9.0),
        (False, True),
    )
)


def literal_grade(score: float, state: str, ratio: float, opened: bool) -> str:
    if score >= 75 and state == "BottomActive" and ratio >= 2.0 and opened:
        return "A+"
    if score >= 65 and state in {"BottomActive", "BottomSoon"} and ratio >= 1.5 and opened:
        return "A"
    return "B" if score >= 55 and ratio >= 1.2 else "C"


@pytest.mark.parametrize("required", [False, True])
def test_the_grade_is_the_best_row_of_the_table_that_fits(required: bool) -> None:
    score, state, ratio, trigger = (np.array(values) for values in zip(*GRADED, strict=True))

    found = grades(score, state.astype(object), ratio, Sabr20Rules(require_trigger=required), trigger)

    assert found.tolist() == [
        literal_grade(points, phase, rr, fired or not required) for points, phase, rr, fired in GRADED
    ]


def test_weights_must_add_up_and_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="must add up to 100"):
        Sabr20Rules.model_validate({"weights": {"setup_strength": 31}})
    with pytest.raises(ValidationError, match="must fall"):
        Sabr20Rules.model_validate({"reward_risk_points": [[2, 5], [3, 7]]})
    with pytest.raises(ValidationError, match="state_points"):
        Sabr20Rules.model_validate({"state_points": {"BottomActiv": 7}})
    with pytest.raises(ValidationError, match="Extra inputs"):
        Sabr20Rules.model_validate({"wieghts": {}})


def test_candidates_and_frames_that_break_the_contract_are_refused() -> None:
    market, candidates = a_market(1, ["AAA"]), snapshots(-1, ["AAA"])

    with pytest.raises(FrameContractError, match="26 candidates are given twice"):
        score_setups(*market, pd.concat([candidates, candidates]), RULES)
    with pytest.raises(FrameContractError, match="1 of 2 instants are null"):
        score_setups(*market, pd.DataFrame({"as_of": [candidates["as_of"][0], pd.NaT], "symbol": "AAA"}), RULES)
    with pytest.raises(FrameContractError, match="1 of 2 symbols are null"):
        score_setups(*market, candidates.head(2).assign(symbol=pd.Series(["AAA", np.nan], dtype=object)), RULES)
    with pytest.raises(NaiveDatetimeError):
        score_setups(*market, candidates.assign(as_of=candidates["as_of"].dt.tz_localize(None)), RULES)
    with pytest.raises(FrameContractError, match="lacks 1 of"):
        score_setups(market.t1, market.t2.drop(columns="macd_hist"), market.t3, candidates, RULES)


def test_no_candidates_give_an_empty_frame_of_the_same_columns() -> None:
    found = score_setups(*a_market(1, ["AAA"]), snapshots(-1, ["AAA"]).iloc[:0], RULES)

    assert (len(found), tuple(found.columns)) == (0, SETUP_COLUMNS)


def test_a_session_of_snapshots_is_scored_without_a_loop_over_candidates() -> None:
    names = [f"S{i:03d}" for i in range(500)]
    one = a_market(2, ["S000"])
    market = Market(*(pd.concat([frame.assign(symbol=name) for name in names], ignore_index=True) for frame in one))
    candidates = snapshots(-1, names)

    at_once = _cpu_seconds(market, candidates)
    one_by_one = len(candidates) * _cpu_seconds(market.where("symbol == 'S000'"), candidates.iloc[:1])

    assert at_once < one_by_one / 20


def _cpu_seconds(market: Market, candidates: pd.DataFrame) -> float:
    used = []
    for _ in range(3):
        before = time.process_time()
        score_setups(*market, candidates, RULES)
        used.append(time.process_time() - before)
    return min(used)
