"""Coarse filter of the whole universe on one timeframe (strategy specification, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_pipeline.analytics.points import CeilingSteps, FloorSteps, at_least, at_most, ratio
from trading_pipeline.analytics.schemas import BAR_COLUMNS, require_columns
from trading_pipeline.analytics.windows import (
    BoolArray,
    FloatArray,
    IntArray,
    Windows,
    first_rows,
    last_closed_rows,
    nanoseconds,
    segments,
)
from trading_pipeline.domain.errors import FrameContractError
from trading_pipeline.domain.market import Timeframe

CONDITIONS = ("band", "stoch", "macd", "rsi")
_READS = ("bb_lower", "bb_upper", "stoch_k", "stoch_d", "macd_hist", "rsi", "atr")


class CoarseRules(BaseModel):
    """Thresholds of the coarse filter; oscillators in [0, 100], band positions in band widths above the lower band."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_bars: int = Field(default=30, ge=2, le=1000)
    lookback_bars: int = Field(
        default=5, ge=1, le=50, description="bars in which a band touch or an oversold K or D counts"
    )
    max_band_position: float = Field(default=0.6, ge=-1, le=2)
    band_touch_factor: float = Field(
        default=1.02, ge=1, le=2, description="a close at or below lower band × this touches it"
    )
    oversold: float = Field(default=25, ge=0, le=100)
    k_below: float = Field(default=65, ge=0, le=100)
    macd_rule: Literal["relative", "absolute"] = Field(
        default="relative",
        description="relative: hist / atr below the limit; absolute: hist in USD, as the source has it",
    )
    hist_below: float = Field(default=1.0, gt=0, description="atr multiples (relative) or USD (absolute)")
    min_rsi: float = Field(default=25, ge=0, le=100)
    max_rsi: float = Field(default=65, ge=0, le=100)
    min_conditions: int = Field(default=3, ge=1, le=4)
    volume_baseline: Literal["time_of_day", "bars"] = Field(
        default="time_of_day",
        description="mean of the same bar of the day over baseline_sessions, or the SMA of volume",
    )
    baseline_sessions: int = Field(default=20, ge=1, le=260)
    baseline_bars: int = Field(default=20, ge=1, le=1000)
    min_volume_ratio: float = Field(default=0.8, ge=0)
    min_score: float = Field(default=60, ge=0, le=100)
    max_handed_off: int = Field(default=100, ge=1)

    lowest_k_points: CeilingSteps = ((10, 15), (20, 10), (30, 5))
    k_rise_points: FloorSteps = ((10, 15), (5, 10), (2, 5))
    both_slopes_points: float = Field(default=20, ge=0, le=30)
    last_slope_points: float = Field(default=10, ge=0, le=30)
    zero_cross_points: float = Field(default=10, ge=0, le=30)
    rsi_rise_points: FloorSteps = ((3, 10), (1, 5))

    @model_validator(mode="after")
    def _rsi_bounds_leave_room(self) -> Self:
        if self.min_rsi >= self.max_rsi:
            raise ValueError(f"min_rsi ({self.min_rsi}) must be below max_rsi ({self.max_rsi}): nothing could pass")
        return self


def coarse_screen(
    ind: pd.DataFrame,
    as_of: Sequence[pd.Timestamp],
    symbols: Sequence[str],
    rules: CoarseRules,
    *,
    timeframe: Timeframe,
    opens_at: Mapping[pd.Timestamp, pd.Timestamp],
) -> pd.DataFrame:
    """Screen every symbol at every instant, all at once, from bars with end <= as_of.

    ind: an indicator frame of `timeframe` (compute_indicators). as_of: aware instants. symbols: the universe; one
    without bars is rejected, not dropped. opens_at: session (naive midnight) -> its open (aware) for every session of
    `ind` and of the baseline; it says which bar of the day a bar is.
    Returns one row per instant and symbol, in the order given: as_of, symbol, timeframe, bar_start (NaT without bar),
    bars, passed, reason ("" when handed off; insufficient_history, conditions:<failed>, volume, score_below_minimum,
    not_in_top), rule_band, rule_stoch, rule_macd, rule_rsi, rule_volume, score (0–100, NaN without history),
    rank (among those passed, by score then symbol; 0 when not passed), handed_off.
    A null indicator meets no condition and earns no points; a ratio with a zero denominator is null.
    Raises FrameContractError for missing columns, unsorted rows, duplicate symbols or a session without open.
    """
    require_columns(ind, (*BAR_COLUMNS[:9], *_READS), "indicator")
    if len(set(symbols)) != len(symbols):
        raise FrameContractError(f"{len(symbols) - len(set(symbols))} symbols are given twice; give each one once")
    located, moments = segments(ind), pd.DatetimeIndex(list(as_of))
    rows = last_closed_rows(ind, located, symbols, moments).ravel()
    at = Windows(ind, rows, first_rows(located, rows))
    found = pd.DataFrame({"as_of": moments.repeat(len(symbols)), "symbol": np.tile(list(symbols), len(moments))})
    found["timeframe"] = str(timeframe)
    found["bar_start"] = ind["start"].take(np.maximum(rows, 0)).where(rows >= 0).array if len(ind) else pd.NaT
    found["bars"] = at.bars
    baseline = _baseline(at, rules, timeframe, opens_at)
    enough = (at.bars >= rules.min_bars) & np.isfinite(baseline)
    for name, holds in _conditions(at, rules).items():
        found[f"rule_{name}"] = holds & enough
    found["rule_volume"] = enough & (at.back("volume") >= rules.min_volume_ratio * baseline)
    found["score"] = np.where(enough, _score(at, rules), np.nan)
    return _judged(found, enough, rules)


def _judged(found: pd.DataFrame, enough: BoolArray, rules: CoarseRules) -> pd.DataFrame:
    """Add passed, reason, rank and handed_off: the first gate that fails names the reason."""
    held = found[[f"rule_{name}" for name in CONDITIONS]].to_numpy(dtype=bool)
    conditions = held.sum(axis=1) >= rules.min_conditions
    found["passed"] = conditions & found["rule_volume"].to_numpy()
    passed = found["passed"].to_numpy()
    found["rank"] = ranks(found, passed)
    scored = passed & (found["score"].to_numpy() >= rules.min_score)
    found["handed_off"] = scored & (found["rank"].to_numpy() <= rules.max_handed_off)
    gates = [~enough, ~conditions, ~passed, ~scored, ~found["handed_off"].to_numpy()]
    names = ["insufficient_history", "", "volume", "score_below_minimum", "not_in_top"]
    reasons = [np.full(len(found), name, dtype=object) for name in names]
    reasons[1] = _failed_conditions(held)
    found["reason"] = np.select(gates, reasons, np.full(len(found), "", dtype=object))
    order = ["as_of", "symbol", "timeframe", "bar_start", "bars", "passed", "reason"]
    return found[[*order, *(f"rule_{name}" for name in (*CONDITIONS, "volume")), "score", "rank", "handed_off"]]


def _failed_conditions(held: BoolArray) -> npt.NDArray[np.object_]:
    """ "conditions:" and the failed ones, looked up by the bits that say which hold."""
    names = [
        "conditions:" + ",".join(name for bit, name in enumerate(CONDITIONS) if not code >> bit & 1)
        for code in range(2 ** len(CONDITIONS))
    ]
    bits = (held * 2 ** np.arange(len(CONDITIONS))).sum(axis=1)
    return np.asarray(np.array(names, dtype=object)[bits])


def ranks(frame: pd.DataFrame, among: BoolArray) -> IntArray:
    """Rank from 1 within each as_of, by score descending, then symbol, of the rows `among`; 0 for the others.

    frame: columns as_of, symbol, score. Stable: the same rows in any order get the same ranks.
    """
    chosen = frame.loc[among, ["as_of", "symbol", "score"]]
    ordered = chosen.sort_values(["as_of", "score", "symbol"], ascending=[True, False, True], kind="stable")
    ranked = (ordered.groupby("as_of", sort=False).cumcount() + 1).reindex(frame.index, fill_value=0)
    return np.asarray(ranked.to_numpy(dtype=np.int64))


def _conditions(at: Windows, rules: CoarseRules) -> dict[str, BoolArray]:
    bars = rules.lookback_bars
    k, d = at.window("stoch_k", bars), at.window("stoch_d", bars)
    hist, rsi = at.window("macd_hist", 3), at.window("rsi", 2)
    touched = at.window("close", bars) <= at.window("bb_lower", bars) * rules.band_touch_factor
    height = hist[:, -1] if rules.macd_rule == "absolute" else ratio(hist[:, -1], at.back("atr"))
    rising_hist = (hist[:, 0] <= hist[:, 1]) & (hist[:, 1] <= hist[:, 2])
    k_rising = at.back("stoch_k") > at.back("stoch_k", 1)
    return {
        "band": (_band_position(at) <= rules.max_band_position) | touched.any(axis=1),
        "stoch": ((k <= rules.oversold) | (d <= rules.oversold)).any(axis=1) & k_rising & (k[:, -1] < rules.k_below),
        "macd": rising_hist & (height < rules.hist_below),
        "rsi": (rsi[:, 1] >= rules.min_rsi) & (rsi[:, 1] <= rules.max_rsi) & (rsi[:, 1] >= rsi[:, 0]),
    }


def _band_position(at: Windows) -> FloatArray:
    lower = at.back("bb_lower")
    return ratio(at.back("close") - lower, at.back("bb_upper") - lower)


def _score(at: Windows, rules: CoarseRules) -> FloatArray:
    """Preliminary score, 0–100: StochRSI 30, MACD 30, RSI 20, band 20."""
    # fmin skips the nulls of a short history; a window of nulls stays null and has no points
    lowest_k = np.fmin.reduce(at.window("stoch_k", rules.lookback_bars), axis=1)
    k_rise = at.back("stoch_k") - at.back("stoch_k", 1)
    hist, rsi = at.window("macd_hist", 3), at.window("rsi", 2)
    slope_before, slope = hist[:, 1] - hist[:, 0], hist[:, 2] - hist[:, 1]
    slope_points = [rules.both_slopes_points, rules.last_slope_points]
    slopes = np.select([(slope > 0) & (slope_before > 0), slope > 0], slope_points)
    crossed = (hist[:, 1] <= 0) & (hist[:, 2] > 0)
    level, position = rsi[:, 1], _band_position(at)
    score = at_most(lowest_k, rules.lowest_k_points) + at_least(k_rise, rules.k_rise_points)
    score += slopes + crossed * rules.zero_cross_points
    score += np.select([(level >= 30) & (level <= 50), (level >= 25) & (level <= 55)], [10.0, 5.0])
    score += at_least(level - rsi[:, 0], rules.rsi_rise_points)
    between = [(position >= 0.2) & (position <= 0.4), (position >= 0.4) & (position <= 0.5), position <= 0.2]
    return np.asarray(np.minimum(score + np.select(between, [20.0, 15.0, 10.0]), 100.0))


def _baseline(
    at: Windows, rules: CoarseRules, timeframe: Timeframe, opens_at: Mapping[pd.Timestamp, pd.Timestamp]
) -> FloatArray:
    """The volume a bar is measured by, in shares; NaN without any history of that bar of the day."""
    if rules.volume_baseline == "bars":
        return np.asarray(np.mean(at.window("volume", rules.baseline_bars), axis=1))
    return _same_slot_mean(at, rules.baseline_sessions, timeframe, opens_at)


def _same_slot_mean(
    at: Windows, sessions: int, timeframe: Timeframe, opens_at: Mapping[pd.Timestamp, pd.Timestamp]
) -> FloatArray:
    """Mean volume of the same bar of the day over the `sessions` sessions before the bar's own, those present.

    All bars are sorted by symbol, slot and session once; each window is then one stretch of that order.
    """
    if not len(at.frame):
        return np.full(len(at.rows), np.nan)
    ordinal, slot = _session_and_slot(at.frame, timeframe, opens_at)
    days, slots = int(ordinal.max()) + sessions + 2, int(slot.max()) + 1
    located = segments(at.frame)
    owner = np.repeat(np.arange(len(located.symbols), dtype=np.int64), located.last - located.first)
    stretch = (owner * slots + slot) * days + ordinal + sessions + 1
    order = np.argsort(stretch, kind="stable")
    here = stretch[np.maximum(at.rows, 0)]
    begin = np.searchsorted(stretch[order], here - sessions)
    end = np.searchsorted(stretch[order], here)
    places = begin[:, None] + np.arange(sessions)
    inside = (places < end[:, None]) & (at.rows >= 0)[:, None]
    volumes = at.frame["volume"].to_numpy(dtype=np.float64)[order[np.where(inside, places, 0)]]
    return ratio(np.where(inside, volumes, 0.0).sum(axis=1), inside.sum(axis=1).astype(np.float64))


def _session_and_slot(
    frame: pd.DataFrame, timeframe: Timeframe, opens_at: Mapping[pd.Timestamp, pd.Timestamp]
) -> tuple[IntArray, IntArray]:
    """Each bar's session as its place in the calendar, and its place in the session, both from 0."""
    sessions = pd.DatetimeIndex(sorted(opens_at)).as_unit("ns")
    codes, own = pd.factorize(frame["session"])
    ordinals = np.asarray(sessions.get_indexer(pd.DatetimeIndex(own).as_unit("ns")), dtype=np.int64)
    unknown = [str(session)[:10] for session, i in zip(own, ordinals, strict=True) if i < 0]
    if unknown:
        raise FrameContractError(
            f"{len(unknown)} sessions of the bars have no opening time (first: {unknown[0]}); "
            "pass the opens of every session the bars cover"
        )
    opens = nanoseconds(pd.DatetimeIndex([opens_at[session] for session in sorted(opens_at)]))
    ordinal = ordinals[codes]
    slot = (nanoseconds(frame["start"]) - opens[ordinal]) // (timeframe.minutes * 60 * 10**9)
    return ordinal, np.asarray(slot, dtype=np.int64)


class ScreeningAlertRules(BaseModel):
    """When a screening run is worth a look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_duration_seconds: float = Field(default=60, gt=0)
    min_pass_fraction: float = Field(default=0.01, ge=0, le=1)
    max_pass_fraction: float = Field(default=0.20, ge=0, le=1)
    max_failure_fraction: float = Field(default=0.10, ge=0, le=1)
    notable_score: float = Field(default=80, ge=0, le=100)


def screening_alerts(
    frame: pd.DataFrame, rules: ScreeningAlertRules, *, duration_seconds: float | None = None
) -> tuple[str, ...]:
    """Alerts of one or more screening instants, in words; none when there is nothing to see.

    frame: rows of coarse_screen. duration_seconds: how long the screen took, None when it was not measured.
    A data failure is a symbol rejected for insufficient_history. Rates are over all symbols of one instant.
    Raises FrameContractError for missing columns.
    """
    require_columns(frame, ("as_of", "symbol", "passed", "reason", "score"), "screening")
    found = []
    if duration_seconds is not None and not duration_seconds <= rules.max_duration_seconds:
        found.append(f"the screen took {duration_seconds:.1f} s, over {rules.max_duration_seconds:g} s")
    for moment, rows in frame.groupby("as_of", sort=True):
        found += [f"{moment:%Y-%m-%d %H:%M} UTC: {alert}" for alert in _alerts_at(rows, rules)]
    return tuple(found)


def _alerts_at(rows: pd.DataFrame, rules: ScreeningAlertRules) -> list[str]:
    passed = float(rows["passed"].mean())
    failed = float((rows["reason"] == "insufficient_history").mean())
    high = rows.loc[rows["score"] > rules.notable_score].sort_values(["score", "symbol"], ascending=[False, True])
    found = []
    if passed < rules.min_pass_fraction:
        found.append(f"{passed:.1%} of {len(rows)} symbols pass, under {rules.min_pass_fraction:.1%}")
    if passed > rules.max_pass_fraction:
        found.append(f"{passed:.1%} of {len(rows)} symbols pass, over {rules.max_pass_fraction:.1%}")
    if failed > rules.max_failure_fraction:
        found.append(f"{failed:.1%} of {len(rows)} symbols lack history, over {rules.max_failure_fraction:.1%}")
    if len(high):
        named = ", ".join(f"{row.symbol} {row.score:.0f}" for row in high.head(5).itertuples())
        found.append(f"{len(high)} scores over {rules.notable_score:g}: {named}")
    return found
