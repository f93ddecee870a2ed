"""SABR20: the fine, multi-timeframe score of all candidates at once (strategy specification, section 5)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trading_pipeline.analytics import sabr20_components as components
from trading_pipeline.analytics.indicators import INDICATOR_COLUMNS
from trading_pipeline.analytics.sabr20_components import Levels, Sight, TextArray
from trading_pipeline.analytics.sabr20_rules import COMPONENTS, RAW_MAX, Sabr20Rules
from trading_pipeline.analytics.schemas import BAR_COLUMNS, require_columns
from trading_pipeline.analytics.windows import BoolArray, FloatArray, Windows, nanoseconds, windows_at
from trading_pipeline.domain.errors import FrameContractError

__all__ = ["COMPONENTS", "RAW_MAX", "SETUP_COLUMNS", "Sabr20Rules", "score_setups"]

SETUP_COLUMNS = (
    *("as_of", "symbol", "scored", "reason", "score", *COMPONENTS, "state", "phase", "ratio", "grade", "rr"),
    *("entry", "stop", "target", "lowest_low", "lower_band", "atr", "atr_mean", "bars_since_pivot"),
    *("drawdown_pct", "exhaustion", "quartile", "trigger"),
)
"""What score_setups returns: prices in USD per share, components in raw points, drawdown_pct in % from the high."""

_TEXTS = ("state", "phase", "grade", "quartile")


def score_setups(
    t1: pd.DataFrame, t2: pd.DataFrame, t3: pd.DataFrame, candidates: pd.DataFrame, rules: Sabr20Rules
) -> pd.DataFrame:
    """Score every candidate at its own as_of, from bars with end <= as_of; all at once.

    t1, t2, t3: indicator frames (compute_indicators) of rules.t1, rules.t2 and rules.t3, sorted by symbol and start.
    candidates: columns as_of (aware; the close of a T1 bar) and symbol, in any order, each pair once.
    Returns SETUP_COLUMNS, one row per candidate in the order given. Where `scored` is False, `reason` says why
    ("no_bar_at_as_of", or "insufficient_history:<timeframe>:<bars>"), numbers are NaN and texts empty.
    score lies in [0, 100], each component in [0, RAW_MAX]; bars_since_pivot counts from the earliest lowest low of
    20 T1 bars; drawdown_pct = (close / high − 1) × 100 over 20 T2 bars, at most 0.
    rr is (target − close) / (close − stop), so negative when the close is past the target; 0 when the stop is not
    below the close.
    Raises FrameContractError for missing columns, unsorted rows or a candidate given twice.
    """
    require_columns(candidates, ("as_of", "symbol"), "candidate")
    if candidates.duplicated(["as_of", "symbol"]).any():
        twice = int(candidates.duplicated(["as_of", "symbol"]).sum())
        raise FrameContractError(f"{twice} candidates are given twice; give each as_of and symbol once")
    seen = [windows_at(_checked(frame), candidates["symbol"], candidates["as_of"]) for frame in (t1, t2, t3)]
    reasons = _rejections(seen, candidates, rules)
    kept = np.flatnonzero(reasons == "")
    at_t1, at_t2, at_t3 = (at.only(kept) for at in seen)
    scored = _scored(Sight(at_t1, at_t2, at_t3, rules))
    return _assemble(candidates, reasons, scored, kept)


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    return require_columns(frame, (*BAR_COLUMNS[:9], *INDICATOR_COLUMNS), "indicator")


def _assemble(candidates: pd.DataFrame, reasons: TextArray, scored: pd.DataFrame, kept: np.ndarray) -> pd.DataFrame:
    out = candidates[["as_of", "symbol"]].reset_index(drop=True)
    out["scored"], out["reason"] = reasons == "", reasons
    out = out.join(scored.set_axis(kept))
    out[list(_TEXTS)] = out[list(_TEXTS)].astype(object).where(out["scored"], "").astype(str)
    out["trigger"] = out["trigger"].astype(object).where(out["scored"], False).astype(bool)
    return out[list(SETUP_COLUMNS)]


def _reads(rules: Sabr20Rules) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """The indicators the rules read on T1, T2 and T3, and over how many bars back from the newest."""
    long, touch = rules.accumulation_bars, rules.band_touch_bars
    t1 = {"stoch_k": long, "stoch_d": long, "rsi": long, "macd_hist": 3, "bb_mid": 1, "bb_upper": 1}
    t1 |= {"bb_lower": touch, "sma_20": rules.average_rise_bars, "atr": rules.atr_mean_bars, "volume_ratio": 1}
    t1 |= {"low": max(rules.stop_bars, rules.pivot_bars), "close": rules.bottom_bars}
    t2 = {"macd_hist": 2, "stoch_k": 1, "stoch_d": 1, "bb_mid": 1, "rsi": 1, "high": rules.drawdown_bars}
    return t1, t2, {"macd_hist": 2, "atr": 1, "rsi": 2, "low": rules.pivot_bars}


def _rejections(seen: list[Windows], candidates: pd.DataFrame, rules: Sabr20Rules) -> TextArray:
    """Why each candidate cannot be scored; "" when it can. The first reason found is the reason."""
    reasons = np.full(len(candidates), "", dtype=object)
    reasons[~_has_bar_at(seen[0], candidates["as_of"])] = "no_bar_at_as_of"
    for at, reads, timeframe in zip(seen, _reads(rules), (rules.t1, rules.t2, rules.t3), strict=True):
        short = np.flatnonzero(~_readable(at, reads) & (reasons == ""))
        reasons[short] = [f"insufficient_history:{timeframe}:{bars}" for bars in at.bars[short]]
    return reasons


def _has_bar_at(at: Windows, as_of: pd.Series) -> BoolArray:
    if not len(at.frame):
        return np.zeros(len(as_of), dtype=np.bool_)
    ends = nanoseconds(at.frame["end"])[np.maximum(at.rows, 0)]
    return np.asarray((at.rows >= 0) & (ends == nanoseconds(as_of)))


def _readable(at: Windows, reads: dict[str, int]) -> BoolArray:
    """True where every value that is read is a number."""
    held = [np.isfinite(at.window(column, bars)).all(axis=1) for column, bars in reads.items()]
    return np.asarray(np.logical_and.reduce(held))


def _scored(sight: Sight) -> pd.DataFrame:
    state = components.states(sight)
    phase, phase_points, signals = components.phases(sight)
    level = components.levels(sight)
    raw = {
        "setup_strength": components.setup_strength(sight),
        "bottom_phase": components.bottom_phase(sight, state),
        "accumulation_intensity": components.accumulation_intensity(sight, phase_points),
        "trend_momentum": components.trend_momentum(sight),
        "risk_reward": components.risk_reward(sight, level),
        "volume_profile": components.volume_profile(sight),
    }
    score, trigger = _total(raw, sight.rules), _trigger(sight)
    grade = grades(score, state, level.reward_risk, sight.rules, trigger)
    judged = {"score": score, **raw, "state": state, "phase": phase, "ratio": signals, "grade": grade}
    return pd.DataFrame({**judged, **_levels(sight, level), **_context(sight), "trigger": trigger})


def _total(raw: dict[str, FloatArray], rules: Sabr20Rules) -> FloatArray:
    """Sum of raw / raw_max × weight, in [0, 100]; the cap only takes off rounding."""
    parts = [raw[name] / RAW_MAX[name] * rules.weights.of(name) for name in COMPONENTS]
    return np.asarray(np.minimum(sum(parts[1:], parts[0]), 100.0))


def grades(
    score: FloatArray, state: TextArray, reward_risk: FloatArray, rules: Sabr20Rules, trigger: BoolArray
) -> TextArray:
    """A+, A, B or C per candidate; equal lengths. With rules.require_trigger, A+ and A also need `trigger`."""
    least, gate = rules.grades, trigger if rules.require_trigger else np.ones_like(trigger)
    active = state == "BottomActive"
    bottoming = active | (state == "BottomSoon")
    a_plus = (score >= least.a_plus_min_score) & active & (reward_risk >= least.a_plus_min_reward_risk) & gate
    a = (score >= least.a_min_score) & bottoming & (reward_risk >= least.a_min_reward_risk) & gate
    b = (score >= least.b_min_score) & (reward_risk >= least.b_min_reward_risk)
    return components.first_named([a_plus, a, b], ["A+", "A", "B"], "C")


def _levels(sight: Sight, level: Levels) -> dict[str, FloatArray]:
    atr = sight.t1.window("atr", sight.rules.atr_mean_bars)
    prices = {"rr": level.reward_risk, "entry": sight.close, "stop": level.stop, "target": level.target}
    bases = {"lowest_low": level.lowest_low, "lower_band": level.lower_band}
    return {**prices, **bases, "atr": atr[:, -1], "atr_mean": atr.mean(axis=1)}


def _context(sight: Sight) -> dict[str, object]:
    """What is recorded beside the score, on T1 (pivot) and T2."""
    rules, rsi, hist = sight.rules, sight.t2.back("rsi"), sight.t2.back("macd_hist")
    high = sight.t2.window("high", rules.drawdown_bars).max(axis=1)
    quarter = [(rsi >= 60) & (hist > 0), (rsi >= 50) | (hist > 0), rsi >= 40]
    return {
        "bars_since_pivot": components.bars_since_lowest(sight.t1.window("low", rules.pivot_bars)).astype(np.float64),
        "drawdown_pct": (sight.t2.back("close") / high - 1.0) * 100.0,
        "exhaustion": np.maximum(0.0, rsi - 50.0) + sight.t2.back("stoch_k") / 2.0,
        "quartile": components.first_named(quarter, ["Q1", "Q2", "Q3"], "Q4"),
    }


def _trigger(sight: Sight) -> BoolArray:
    """The strict trigger: all three timeframes agree."""
    return _t1_trigger(sight) & _t2_trigger(sight) & _t3_trigger(sight)


def _t3_trigger(sight: Sight) -> BoolArray:
    hist, rsi = sight.t3.window("macd_hist", 2), sight.t3.window("rsi", 2)
    low = sight.t3.window("low", sight.rules.pivot_bars)
    strong = (rsi[:, 1] >= sight.rules.trigger.t3_min_rsi) | (rsi[:, 1] > rsi[:, 0])
    return np.asarray((hist[:, 1] >= hist[:, 0]) & strong & (low[:, -1] >= low[:, :-1].min(axis=1)))


def _t2_trigger(sight: Sight) -> BoolArray:
    rules, hist = sight.rules.trigger, sight.t2.window("macd_hist", 2)
    room = (sight.t2.back("stoch_k") < rules.t2_stoch_below) & (sight.t2.back("stoch_d") < rules.t2_stoch_below)
    near = sight.t2.back("close") >= sight.t2.back("bb_mid") * rules.t2_min_close_of_mid
    return np.asarray((hist[:, 1] > hist[:, 0]) & room & near)


def _t1_trigger(sight: Sight) -> BoolArray:
    rules, k, d, hist = sight.rules.trigger, sight.k, sight.d, sight.hist
    rsi_before, rsi = sight.accumulation_rsi[:, -2:].T
    turn = sight.touched_band & (sight.close >= sight.mid) & sight.was_oversold
    stoch = (k[:, 1] > d[:, 1]) & (k[:, 1] >= rules.t1_min_k)
    macd = (hist[:, 0] < hist[:, 1]) & (hist[:, 1] < 0) & (hist[:, 2] >= hist[:, 1])
    strength = (rsi >= rsi_before) & (rsi >= rules.t1_min_rsi) & (rsi <= rules.t1_max_rsi)
    return np.asarray(turn & stoch & macd & strength & (_bands_widen(sight) | (not rules.require_band_expansion)))


def _bands_widen(sight: Sight) -> BoolArray:
    width = sight.t1.window("bb_upper", 2) - sight.t1.window("bb_lower", 2)
    return np.asarray(width[:, 1] > width[:, 0])
