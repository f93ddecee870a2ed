"""SABR20, transcribed: six components, state, phase, recorded fields, grade, watchlist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trading_pipeline_tests.oracle.bars import (
    Bar,
    Bars,
    band_position,
    crosses_up,
    first_not_above,
    first_reached,
    is_null,
    last,
    touched_lower_band,
)

RAW_MAX = {
    "setup_strength": 35,
    "bottom_phase": 25,
    "accumulation_intensity": 18,
    "trend_momentum": 20,
    "risk_reward": 10,
    "volume_profile": 2,
}
WEIGHT = {
    "setup_strength": 30,
    "bottom_phase": 22,
    "accumulation_intensity": 18,
    "trend_momentum": 18,
    "risk_reward": 10,
    "volume_profile": 2,
}
STATE_POINTS = {"BottomActive": 7.0, "BottomSoon": 5.0, "PreBottom": 3.0, "PostBottom": 0.0}


@dataclass(frozen=True)
class Scored:
    """All that is recorded of one symbol at one instant."""

    raw: Mapping[str, float]
    score: float
    grade: str
    state: str
    phase: str
    ratio: float
    rr: float
    entry: float
    stop: float
    target: float
    bars_since_pivot: int
    drawdown_percent: float
    exhaustion: float
    quartile: str


# What the rules read: column → how many of the last bars must be there and not null.
T1_READS = {
    "stoch_k": 50,
    "stoch_d": 50,
    "rsi": 50,
    "low": 20,
    "close": 10,
    "bb_lower": 5,
    "bb_mid": 1,
    "bb_upper": 1,
    "macd_hist": 3,
    "sma_20": 5,
    "volume": 3,
    "volume_ratio": 1,
}
T2_READS = {"macd_hist": 2, "stoch_k": 1, "stoch_d": 1, "bb_mid": 1, "rsi": 1, "close": 1, "high": 20}
T3_READS = {"macd_hist": 2, "atr": 1, "rsi": 1}


def lacking(bars: Bars, reads: Mapping[str, int]) -> bool:
    """True when a column a rule reads is null on a bar it reads."""
    return any(
        len(bars) < count or any(is_null(value) for value in last(bars, name, count)) for name, count in reads.items()
    )


def lacking_timeframe(t1: Bars, t2: Bars, t3: Bars) -> str:
    """The first timeframe with insufficient history, "" when none."""
    for name, bars, reads in (("T1", t1, T1_READS), ("T2", t2, T2_READS), ("T3", t3, T3_READS)):
        if lacking(bars, reads):
            return name
    return ""


def score(t1: Bars, t2: Bars, t3: Bars) -> Scored:
    """Score one symbol; its history must suffice."""
    state, (phase, ratio) = state_of(t1), phase_and_ratio(t1)
    entry, stop, target = levels(t1, t2)
    rr = (target - entry) / (entry - stop) if entry > stop else 0.0
    raw = {
        "setup_strength": setup_t1(t1) + setup_t2(t2) + setup_t3(t3),
        "bottom_phase": bottom_phase(t1, state),
        "accumulation_intensity": accumulation(t1, phase),
        "trend_momentum": trend_momentum(t1),
        "risk_reward": reward_risk_points(rr, entry, stop),
        "volume_profile": volume_profile(t1),
    }
    total = sum(raw[name] / RAW_MAX[name] * WEIGHT[name] for name in RAW_MAX)
    return Scored(
        raw=raw,
        score=total,
        grade=grade(total, state, rr),
        state=state,
        phase=phase,
        ratio=ratio,
        rr=rr,
        entry=entry,
        stop=stop,
        target=target,
        bars_since_pivot=bars_since_lowest(last(t1, "low", 20)),
        drawdown_percent=(t2[-1]["close"] / max(last(t2, "high", 20)) - 1) * 100,
        exhaustion=max(0.0, t2[-1]["rsi"] - 50) + t2[-1]["stoch_k"] / 2,
        quartile=quartile(t2[-1]),
    )


def setup_t1(bars: Bars) -> float:
    """Setup strength on the trigger timeframe, at most 15."""
    previous, bar = bars[-2], bars[-1]
    points = 0.0
    if previous["stoch_k"] <= 20 and previous["stoch_d"] <= 20 and bar["stoch_k"] > bar["stoch_d"]:
        rise = max(0.0, bar["stoch_k"] - previous["stoch_k"])
        points += min(5.0, rise / 4)
    if previous["macd_hist"] < 0 <= bar["macd_hist"]:
        points += 5.0
    elif bar["macd_hist"] > previous["macd_hist"]:
        points += 3.0
    if bar["close"] >= bar["bb_mid"]:
        points += 5.0 if touched_lower_band(bars) else 3.0
    return points


def setup_t2(bars: Bars) -> float:
    """Setup strength on the confirmation timeframe, at most 12."""
    previous, bar = bars[-2], bars[-1]
    points = 0.0
    if bar["macd_hist"] > previous["macd_hist"]:
        points += 6.0 if bar["macd_hist"] > 0 else 4.0
    if bar["stoch_k"] < 70 and bar["stoch_d"] < 70:
        points += 3.0
    if bar["close"] >= bar["bb_mid"]:
        points += 3.0
    return points


def setup_t3(bars: Bars) -> float:
    """Setup strength on the regime timeframe, at most 8."""
    previous, bar = bars[-2], bars[-1]
    points = 0.0
    if bar["macd_hist"] >= previous["macd_hist"]:
        points += 4.0
    elif bar["atr"] > 0 and bar["macd_hist"] / bar["atr"] > -2:
        points += 2.0
    return points + first_reached(bar["rsi"], [(45, 4), (35, 2)])


def bars_since_lowest(values: list[float]) -> int:
    """Bars since the earliest lowest value; 0 when it is the last."""
    return len(values) - 1 - values.index(min(values))


def bottom_phase(bars: Bars, state: str) -> float:
    """Bottom phase, at most 25."""
    points = first_not_above(min(last(bars, "stoch_k", 10)), [(10, 6), (15, 4), (20, 2)])
    points += first_not_above(min(last(bars, "rsi", 10)), [(25, 4), (30, 2)])
    since = bars_since_lowest(last(bars, "close", 10))
    if 1 <= since <= 5:
        points += 8.0
    elif 6 <= since <= 10:
        points += 4.0
    return points + STATE_POINTS[state]


def state_of(bars: Bars) -> str:
    """Where in its bottom the symbol is."""
    previous, bar = bars[-2], bars[-1]
    crossed = crosses_up(previous, bar)
    if (bar["stoch_k"] <= 25 or bar["stoch_d"] <= 25) and not crossed:
        return "BottomSoon" if bar["stoch_k"] > previous["stoch_k"] else "PreBottom"
    position = band_position(bar)
    if crossed or 0.2 <= position <= 0.5:
        return "BottomActive"
    return "PostBottom" if position > 0.6 else "BottomSoon"


def stoch_signal(previous: Bar, bar: Bar) -> bool:
    """K crosses above D from at most 20, rising."""
    was_low = previous["stoch_k"] <= 20 and previous["stoch_d"] <= 20
    return was_low and crosses_up(previous, bar) and bar["stoch_k"] > previous["stoch_k"]


def rsi_signal(previous: Bar, bar: Bar) -> bool:
    """RSI leaves the oversold zone upwards."""
    return previous["rsi"] <= 30 < bar["rsi"]


def stoch_signals(bars: Bars, transitions: int) -> int:
    """Signals on the last `transitions` steps from bar to bar."""
    window = bars[-transitions - 1 :]
    return sum(stoch_signal(window[i - 1], window[i]) for i in range(1, len(window)))


def rsi_signals(bars: Bars, transitions: int) -> int:
    """Signals on the last `transitions` steps from bar to bar."""
    window = bars[-transitions - 1 :]
    return sum(rsi_signal(window[i - 1], window[i]) for i in range(1, len(window)))


def phase_and_ratio(bars: Bars) -> tuple[str, float]:
    """Accumulation phase over 50 bars, which have 49 transitions."""
    ratio = stoch_signals(bars, 49) / (rsi_signals(bars, 49) + 0.5)
    rsi = bars[-1]["rsi"]
    if ratio > 5 and rsi < 45:
        return "Early", ratio
    if 3 <= ratio <= 5 and rsi < 50:
        return "Mid", ratio
    if 1.5 <= ratio <= 3 and 40 <= rsi <= 55:
        return "Late", ratio
    if 0.8 <= ratio <= 1.5 and rsi > 50:
        return "Breakout", ratio
    return "Distribution", ratio


def accumulation(bars: Bars, phase: str) -> float:
    """Accumulation intensity, at most 18."""
    points = {"Early": 18.0, "Mid": 14.0, "Late": 10.0, "Breakout": 6.0, "Distribution": 0.0}[phase]
    points += first_reached(stoch_signals(bars, 10), [(3, 2), (2, 1)])
    return min(points, 18.0)


def trend_momentum(bars: Bars) -> float:
    """Trend momentum, at most 20."""
    before_previous, previous, now = last(bars, "macd_hist", 3)
    points = 0.0
    if now - previous > 0:
        points = 8.0 if previous - before_previous > 0 else 5.0
    points += first_reached(bars[-1]["rsi"] - bars[-2]["rsi"], [(5, 6), (3, 4), (1, 2)])
    if bars[-1]["close"] > bars[-1]["sma_20"]:
        points += 6.0 if bars[-1]["sma_20"] > bars[-5]["sma_20"] else 3.0
    return points


def levels(t1: Bars, t2: Bars) -> tuple[float, float, float]:
    """Entry, stop and target in USD per share."""
    stop = min(*last(t1, "low", 10), t1[-1]["bb_lower"])
    target = max(t1[-1]["bb_upper"], t2[-1]["bb_mid"] * 1.02)
    return t1[-1]["close"], stop, target


def reward_risk_points(rr: float, entry: float, stop: float) -> float:
    """Risk/reward, at most 10; a setup without a distance to its stop earns nothing."""
    if entry <= stop:
        return 0.0
    risk_percent = (entry - stop) / entry * 100
    points = first_reached(rr, [(3, 7), (2.5, 6), (2, 5), (1.5, 3)])
    return points + first_not_above(risk_percent, [(1.5, 3), (2.5, 2), (3.5, 1)])


def volume_profile(bars: Bars) -> float:
    """Volume profile, at most 2."""
    points = first_reached(bars[-1]["volume_ratio"], [(1.5, 1.5), (1.0, 1.0), (0.7, 0.5)])
    before_previous, previous, now = last(bars, "volume", 3)
    return points + (0.5 if before_previous < previous < now else 0.0)


def quartile(bar: Bar) -> str:
    """Strength of the confirmation timeframe."""
    if bar["rsi"] >= 60 and bar["macd_hist"] > 0:
        return "Q1"
    if bar["rsi"] >= 50 or bar["macd_hist"] > 0:
        return "Q2"
    return "Q3" if bar["rsi"] >= 40 else "Q4"


def grade(total: float, state: str, rr: float) -> str:
    """A+, A, B or C."""
    if total >= 75 and state == "BottomActive" and rr >= 2.0:
        return "A+"
    if total >= 65 and state in ("BottomActive", "BottomSoon") and rr >= 1.5:
        return "A"
    return "B" if total >= 55 and rr >= 1.2 else "C"


def ranking(scored: Mapping[str, Scored]) -> list[str]:
    """Every scored symbol, by score then symbol."""
    return sorted(scored, key=lambda symbol: (-scored[symbol].score, symbol))


def watchlist(scored: Mapping[str, Scored]) -> list[str]:
    """Grades A+ and A, by score then symbol, at most 20."""
    return [symbol for symbol in ranking(scored) if scored[symbol].grade in ("A+", "A")][:20]


def trigger(t1: Bars, t2: Bars, t3: Bars) -> bool:
    """The strict trigger, without its optional band expansion."""
    return _trigger_t1(t1) and _trigger_t2(t2) and _trigger_t3(t3)


def _trigger_t1(bars: Bars) -> bool:
    previous, bar = bars[-2], bars[-1]
    low_stoch = previous["stoch_k"] <= 20 and previous["stoch_d"] <= 20
    turned = bar["stoch_k"] > bar["stoch_d"] and bar["stoch_k"] >= 25
    change = bar["macd_hist"] - previous["macd_hist"]
    macd = bars[-3]["macd_hist"] < previous["macd_hist"] < 0 <= change
    rsi = bar["rsi"] >= previous["rsi"] and 30 <= bar["rsi"] <= 60
    return touched_lower_band(bars) and bar["close"] >= bar["bb_mid"] and low_stoch and turned and macd and rsi


def _trigger_t2(bars: Bars) -> bool:
    previous, bar = bars[-2], bars[-1]
    calm = bar["stoch_k"] < 80 and bar["stoch_d"] < 80
    return bar["macd_hist"] > previous["macd_hist"] and calm and bar["close"] >= 0.99 * bar["bb_mid"]


def _trigger_t3(bars: Bars) -> bool:
    previous, bar = bars[-2], bars[-1]
    fresh_low = bar["low"] < min(last(bars, "low", 20)[:-1])
    holds = bar["rsi"] >= 35 or bar["rsi"] > previous["rsi"]
    return bar["macd_hist"] >= previous["macd_hist"] and holds and not fresh_low
