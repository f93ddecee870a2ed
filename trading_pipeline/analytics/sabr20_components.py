"""The six components of SABR20, each raw points per candidate (strategy specification, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from trading_pipeline.analytics.points import at_least, at_most, ratio
from trading_pipeline.analytics.sabr20_rules import RAW_MAX, Sabr20Rules
from trading_pipeline.analytics.windows import BoolArray, FloatArray, IntArray, Windows

TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Sight:
    """What each candidate sees at its as_of: the windows of the three timeframes, and what several rules share."""

    t1: Windows
    t2: Windows
    t3: Windows
    rules: Sabr20Rules

    @cached_property
    def accumulation_k(self) -> FloatArray:
        """T1 K over the accumulation window, oldest first."""
        return self.t1.window("stoch_k", self.rules.accumulation_bars)

    @cached_property
    def accumulation_d(self) -> FloatArray:
        """T1 D over the accumulation window, oldest first."""
        return self.t1.window("stoch_d", self.rules.accumulation_bars)

    @cached_property
    def accumulation_rsi(self) -> FloatArray:
        """T1 rsi over the accumulation window, oldest first."""
        return self.t1.window("rsi", self.rules.accumulation_bars)

    @cached_property
    def k(self) -> FloatArray:
        """T1 K, before and now: candidates × 2."""
        return self.accumulation_k[:, -2:]

    @cached_property
    def d(self) -> FloatArray:
        """T1 D, before and now: candidates × 2."""
        return self.accumulation_d[:, -2:]

    @cached_property
    def hist(self) -> FloatArray:
        """T1 macd_hist of the last three bars."""
        return self.t1.window("macd_hist", 3)

    @cached_property
    def close(self) -> FloatArray:
        """T1 close."""
        return self.t1.back("close")

    @cached_property
    def mid(self) -> FloatArray:
        """T1 Bollinger mid."""
        return self.t1.back("bb_mid")

    @cached_property
    def was_oversold(self) -> BoolArray:
        """K and D of the bar before were both oversold."""
        return (self.k[:, 0] <= self.rules.oversold) & (self.d[:, 0] <= self.rules.oversold)

    @cached_property
    def touched_band(self) -> BoolArray:
        """One of the last closes was at or near its own lower band."""
        bars = self.rules.band_touch_bars
        touch = self.t1.window("close", bars) <= self.t1.window("bb_lower", bars) * self.rules.band_touch_factor
        return np.asarray(touch.any(axis=1))

    @cached_property
    def stoch_signals(self) -> BoolArray:
        """Per transition of the accumulation window: K crosses above D out of the oversold zone."""
        k, d, level = self.accumulation_k, self.accumulation_d, self.rules.oversold
        before_k, before_d = k[:, :-1], d[:, :-1]
        crossed = (before_k <= before_d) & (k[:, 1:] > d[:, 1:])
        return np.asarray((before_k <= level) & (before_d <= level) & crossed & (k[:, 1:] > before_k))

    @cached_property
    def rsi_signals(self) -> BoolArray:
        """Per transition of the accumulation window: rsi leaves the oversold zone."""
        rsi, level = self.accumulation_rsi, self.rules.rsi_signal
        return np.asarray((rsi[:, :-1] <= level) & (rsi[:, 1:] > level))


def states(sight: Sight) -> TextArray:
    """PreBottom, BottomSoon, BottomActive or PostBottom per candidate, on T1.

    The band position is null when the bands have no width, and then decides nothing.
    """
    rules, (before_k, now_k), (before_d, now_d) = sight.rules, sight.k.T, sight.d.T
    oversold = (now_k <= rules.oversold_state) | (now_d <= rules.oversold_state)
    crossed = (before_k <= before_d) & (now_k > now_d)
    lower = sight.t1.back("bb_lower")
    position = ratio(sight.close - lower, sight.t1.back("bb_upper") - lower)
    active = crossed | ((position >= rules.active_band_min) & (position <= rules.active_band_max))
    waiting = oversold & ~crossed
    gates = [waiting & (now_k > before_k), waiting, active, position > rules.post_band_above]
    return first_named(gates, ["BottomSoon", "PreBottom", "BottomActive", "PostBottom"], "BottomSoon")


def first_named(gates: list[BoolArray], names: list[str], default: str) -> TextArray:
    """The name of the first gate that holds per row, `default` where none does; gates of equal lengths."""
    first = np.argmax(np.stack([*gates, np.ones_like(gates[0])]), axis=0)
    return np.asarray(np.array([*names, default], dtype=object)[first])


def setup_strength(sight: Sight) -> FloatArray:
    """Raw points, at most 35: T1 15, T2 12, T3 8."""
    return _capped("setup_strength", _t1_setup(sight) + _t2_setup(sight) + _t3_setup(sight))


def _t1_setup(sight: Sight) -> FloatArray:
    rules, k, d, hist = sight.rules, sight.k, sight.d, sight.hist
    rise = np.maximum(k[:, 1] - k[:, 0], 0.0)
    turning = sight.was_oversold & (k[:, 1] > d[:, 1])
    stoch = turning * np.minimum(rules.t1_max_k_points, rise * rules.t1_points_per_k)
    turned, rising = (hist[:, 1] < 0) & (hist[:, 2] >= 0), hist[:, 2] > hist[:, 1]
    macd = np.select([turned, rising], [rules.t1_turn_points, rules.t1_rising_points])
    above = sight.close >= sight.mid
    band = above * np.where(sight.touched_band, rules.t1_band_points, rules.t1_mid_points)
    return np.asarray(stoch + macd + band)


def _t2_setup(sight: Sight) -> FloatArray:
    rules, hist = sight.rules, sight.t2.window("macd_hist", 2)
    rising = hist[:, 1] > hist[:, 0]
    points = np.select([rising & (hist[:, 1] > 0), rising], [rules.t2_positive_points, rules.t2_rising_points])
    room = (sight.t2.back("stoch_k") < rules.t2_stoch_below) & (sight.t2.back("stoch_d") < rules.t2_stoch_below)
    above = sight.t2.back("close") >= sight.t2.back("bb_mid")
    return np.asarray(points + room * rules.t2_stoch_points + above * rules.t2_mid_points)


def _t3_setup(sight: Sight) -> FloatArray:
    rules, hist = sight.rules, sight.t3.window("macd_hist", 2)
    shallow = ratio(hist[:, 1], sight.t3.back("atr")) > rules.t3_hist_over_atr_above
    points = np.select([hist[:, 1] >= hist[:, 0], shallow], [rules.t3_rising_points, rules.t3_shallow_points])
    return np.asarray(points + at_least(sight.t3.back("rsi"), rules.t3_rsi_points))


def bottom_phase(sight: Sight, state: TextArray) -> FloatArray:
    """Raw points, at most 25, over the last T1 bars: how deep, how long ago, and the state."""
    rules, bars = sight.rules, sight.rules.bottom_bars
    points = at_most(sight.t1.window("stoch_k", bars).min(axis=1), rules.lowest_k_points)
    points += at_most(sight.t1.window("rsi", bars).min(axis=1), rules.lowest_rsi_points)
    since = bars_since_lowest(sight.t1.window("close", bars))
    points += np.where(since >= 1, at_most(since.astype(np.float64), rules.since_low_points), 0.0)
    for name, worth in rules.state_points.items():
        points += np.where(state == name, worth, 0.0)
    return _capped("bottom_phase", points)


def bars_since_lowest(values: FloatArray) -> IntArray:
    """Bars since the earliest lowest of each window (candidates × bars, oldest first); 0 when it is the newest."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    return np.asarray(values.shape[1] - 1 - np.argmin(values, axis=1), dtype=np.int64)


def phases(sight: Sight) -> tuple[TextArray, FloatArray, FloatArray]:
    """Accumulation phase, its points, and the ratio of stoch to rsi signals, per candidate."""
    signals = sight.stoch_signals.sum(axis=1) / (sight.rsi_signals.sum(axis=1) + 0.5)
    rsi = sight.accumulation_rsi[:, -1]
    gates, names, points = [], [], []
    for phase in sight.rules.phases:
        above = signals > phase.min_ratio if phase.min_ratio_exclusive else signals >= phase.min_ratio
        rsi_above = rsi > phase.min_rsi if phase.min_rsi_exclusive else rsi >= phase.min_rsi
        rsi_below = rsi < phase.max_rsi if phase.max_rsi_exclusive else rsi <= phase.max_rsi
        gates.append(above & (signals <= phase.max_ratio) & rsi_above & rsi_below)
        names.append(phase.name)
        points.append(phase.points)
    return first_named(gates, names, "Distribution"), np.asarray(np.select(gates, points, 0.0)), np.asarray(signals)


def accumulation_intensity(sight: Sight, phase_points: FloatArray) -> FloatArray:
    """Raw points, at most 18: the phase, and more for signals in the last bars."""
    recent = sight.stoch_signals[:, -sight.rules.recent_bars :].sum(axis=1).astype(np.float64)
    return _capped("accumulation_intensity", phase_points + at_least(recent, sight.rules.recent_signal_points))


def trend_momentum(sight: Sight) -> FloatArray:
    """Raw points, at most 20, on T1: slopes of macd_hist, rise of rsi, close against sma_20."""
    rules, hist = sight.rules, sight.hist
    slope_before, slope = hist[:, 1] - hist[:, 0], hist[:, 2] - hist[:, 1]
    slopes = np.select([(slope > 0) & (slope_before > 0), slope > 0], [rules.slopes_points, rules.last_slope_points])
    rsi_rise = sight.accumulation_rsi[:, -1] - sight.accumulation_rsi[:, -2]
    average = sight.t1.window("sma_20", rules.average_rise_bars)
    rose = average[:, -1] > average[:, 0]
    above = sight.close > average[:, -1]
    trend = above * np.where(rose, rules.rising_average_points, rules.above_average_points)
    return _capped("trend_momentum", slopes + at_least(rsi_rise, rules.rsi_rise_points) + trend)


@dataclass(frozen=True, slots=True)
class Levels:
    """Prices of a setup in USD per share, its reward:risk and its risk in % of the close; never NaN or infinite."""

    lowest_low: FloatArray
    lower_band: FloatArray
    stop: FloatArray
    target: FloatArray
    reward_risk: FloatArray
    risk_percent: FloatArray


def levels(sight: Sight) -> Levels:
    """Stop, target and reward:risk per candidate.

    reward_risk is 0 when the stop is not below the close (no risk to measure by), and negative when the close is
    past the target.
    """
    lowest, band = sight.t1.window("low", sight.rules.stop_bars).min(axis=1), sight.t1.back("bb_lower")
    stop = np.minimum(lowest, band)
    target = np.maximum(sight.t1.back("bb_upper"), sight.t2.back("bb_mid") * sight.rules.target_of_t2_mid)
    risk = sight.close - stop
    reward_risk = np.where(risk > 0, ratio(target - sight.close, risk), 0.0)
    return Levels(lowest, band, stop, target, reward_risk, np.asarray(risk / sight.close * 100.0))


def risk_reward(sight: Sight, level: Levels) -> FloatArray:
    """Raw points, at most 10. A stop that is not below the close has no points: it protects nothing."""
    points = at_least(level.reward_risk, sight.rules.reward_risk_points)
    points += at_most(level.risk_percent, sight.rules.risk_percent_points)
    return _capped("risk_reward", np.where(level.stop < sight.close, points, 0.0))


def volume_profile(sight: Sight) -> FloatArray:
    """Raw points, at most 2, on T1: volume against its average, and three strictly rising volumes."""
    volume = sight.t1.window("volume", 3)
    rising = (volume[:, 0] < volume[:, 1]) & (volume[:, 1] < volume[:, 2])
    points = at_least(sight.t1.back("volume_ratio"), sight.rules.volume_ratio_points)
    return _capped("volume_profile", points + rising * sight.rules.rising_volume_points)


def _capped(component: str, points: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(points, RAW_MAX[component]))
