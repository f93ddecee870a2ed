"""The market as a whole, one value per session: regimes, clustered volatility, gaps and the VIX that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from trading_pipeline.adapters.synthetic.roster import FloatArray, IntArray
from trading_pipeline.adapters.synthetic.spec import SyntheticMarketSpec, random_stream

OVERNIGHT_VARIANCE: Final = 0.25
TAIL_DEGREES: Final = 5
_ARCH, _GARCH = 0.12, 0.82  # GARCH(1,1) of the shape found in daily index returns
_VIX_REVERSION, _VIX_LEVERAGE, _VIX_BOUNDS = 0.12, 1.1, (10.0, 65.0)


class Regime(NamedTuple):
    """Drift and volatility per session, and how many sessions it lasts on average."""

    drift: float
    vol: float
    mean_sessions: float


REGIMES: Final = (Regime(0.0009, 0.0068, 40), Regime(-0.0014, 0.0115, 15), Regime(0.0, 0.0080, 22))  # bull, bear, chop


@dataclass(frozen=True, slots=True)
class MarketFactors:
    """Log returns over the night before and during each session, daily volatility, and VIX (open, high, low, close)."""

    overnight: FloatArray
    intraday: FloatArray
    vol: FloatArray
    vix: FloatArray


def make_factors(spec: SyntheticMarketSpec) -> MarketFactors:
    """Draw the market's sessions."""
    draw = random_stream(spec, 2)
    regimes = _regimes(spec, draw)
    drift = np.array([REGIMES[regime].drift for regime in regimes])
    base = np.array([REGIMES[regime].vol for regime in regimes])
    shocks = fat_tailed(draw, (1, spec.sessions))[0]
    vol = base * cluster(shocks[None, :])[0]
    total = shocks * vol
    overnight = OVERNIGHT_VARIANCE * total + np.sqrt(OVERNIGHT_VARIANCE * (1 - OVERNIGHT_VARIANCE)) * vol * (
        draw.standard_normal(spec.sessions)
    )
    return MarketFactors(overnight, total - overnight + drift, vol, _vix(vol, total + drift, draw))


def fat_tailed(draw: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Student t shocks with unit variance, cut at four standard deviations: a crash is a regime, not one draw."""
    scale = np.sqrt((TAIL_DEGREES - 2) / TAIL_DEGREES)
    shocks: FloatArray = np.clip(draw.standard_t(TAIL_DEGREES, shape) * scale, -4.0, 4.0)
    return shocks


def cluster(shocks: FloatArray) -> FloatArray:
    """Volatility multipliers (mean square 1) by GARCH(1,1) along the last axis: large moves follow large moves."""
    variance = np.ones_like(shocks)
    for day in range(1, shocks.shape[1]):
        before = variance[:, day - 1]
        variance[:, day] = (1 - _ARCH - _GARCH) + before * (_ARCH * shocks[:, day - 1] ** 2 + _GARCH)
    multipliers: FloatArray = np.sqrt(np.minimum(variance, 6.0))
    return multipliers


def _regimes(spec: SyntheticMarketSpec, draw: np.random.Generator) -> IntArray:
    """The regime of each session: stays for a random while, then changes to one of the others; ends in an uptrend."""
    found = np.zeros(spec.sessions, np.int64)
    current = int(draw.integers(len(REGIMES)))
    leave, step = draw.random(spec.sessions), draw.integers(1, len(REGIMES), spec.sessions)
    for day in range(spec.sessions):
        if leave[day] < 1 / REGIMES[current].mean_sessions:
            current = (current + int(step[day])) % len(REGIMES)
        found[day] = current
    found[max(spec.sessions - spec.final_uptrend_sessions, 0) :] = 0
    return found


def _vix(vol: FloatArray, returns: FloatArray, draw: np.random.Generator) -> FloatArray:
    """VIX per session: reverts to a premium over realised volatility, jumps when the market falls."""
    anchor = 3.0 + 1.05 * 100 * np.sqrt(252) * vol
    noise = draw.normal(0, 0.03, (3, len(vol)))
    vix = np.empty((4, len(vol)))
    last = anchor[0]
    for day, fall in enumerate(-100 * returns):
        jump = _VIX_LEVERAGE * (fall if fall > 0 else 0.6 * fall)
        close = last + _VIX_REVERSION * (anchor[day] - last) + jump + last * noise[0, day]
        opened, close = np.clip([last + 0.25 * jump + last * noise[1, day] / 3, close], *_VIX_BOUNDS)
        spread = last * np.abs(noise[1:, day])
        vix[:, day] = opened, max(opened, close) + spread[0], min(opened, close) - spread[1], close
        last = close
    rounded: FloatArray = np.round(vix, 2)
    return rounded
