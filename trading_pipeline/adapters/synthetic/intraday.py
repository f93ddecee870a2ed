"""One session bar by bar, every symbol at once: prices that lead from its open to its close, and the shares traded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trading_pipeline.adapters.synthetic.daily import DailyPaths, Reversals
from trading_pipeline.adapters.synthetic.factors import OVERNIGHT_VARIANCE, MarketFactors
from trading_pipeline.adapters.synthetic.roster import SPLIT_RATIO, FloatArray, Roster
from trading_pipeline.adapters.synthetic.spec import SyntheticMarketSpec, random_stream

HALT_MINUTES: Final = (120, 195)  # from the open; inside a half-day too
_SHARES_A_TRADE: Final = 110.0
_CENT: Final = 0.01


@dataclass(frozen=True, slots=True)
class SessionArrays:
    """Raw bars of one session, symbols × bars; `traded` says which exist."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    vwap: FloatArray
    trade_count: FloatArray
    traded: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Market:
    """Everything drawn before single bars."""

    spec: SyntheticMarketSpec
    roster: Roster
    factors: MarketFactors
    daily: DailyPaths


def u_shape(bars: int, step_minutes: int, at_open: float, at_close: float) -> FloatArray:
    """Shares of the session per bar (sum 1): most after the open, more again before the close, least at midday."""
    since_open = (np.arange(bars) + 0.5) * step_minutes
    weights = 1 + at_open * np.exp(-since_open / 22) + at_close * np.exp(-since_open[::-1] / 22)
    shares: FloatArray = weights / weights.sum()
    return shares


def session_arrays(market: Market, day: int, bars: int) -> SessionArrays:
    """Bars of session `day` (ordinal) with `bars` base bars, as traded: before the split in the old shares."""
    draw = random_stream(market.spec, 5, day)
    step = market.spec.timeframe.minutes
    pace = u_shape(bars, step, 2.4, 0.9)
    path = _log_path(market, day, pace, draw)
    units = _units(market.roster, day)
    closes = _cents(np.exp(path[:, 1:]) * units)
    noise = np.abs(draw.standard_normal((2, *closes.shape))) * 0.4
    wick = closes * _bar_vol(market, day, pace) * noise
    opens = _opens(np.exp(path[:, 0]) * units[:, 0], closes, draw)
    high = _cents(np.maximum(opens, closes) + wick[0])
    low = _cents(np.minimum(opens, closes) - wick[1])
    trades, volume = _volume(market, day, bars, np.abs(np.diff(path, axis=1)), draw)
    vwap = np.clip(np.round((high + low + 2 * closes) / 4, 4), low, high)
    traded = (trades > 0) & _open_for_trading(market.roster, day, bars, step)
    return SessionArrays(opens, high, low, closes, np.round(volume / units), vwap, trades, traded)


def _log_path(market: Market, day: int, pace: FloatArray, draw: np.random.Generator) -> FloatArray:
    """Log prices at the open and at the end of each bar: the market's path by beta, an own path, and any washout."""
    factors, daily, roster = market.factors, market.daily, market.roster
    common_vol = factors.vol[day : day + 1] * np.sqrt(1 - OVERNIGHT_VARIANCE)
    common = _bridge(factors.intraday[day : day + 1], common_vol, pace, draw)
    own = _bridge(daily.own_intraday[:, day], daily.own_vol[:, day] * 0.9, pace, draw)
    moves = roster.beta[:, None] * common + own + _washout(daily.reversals, day, len(pace))
    start = daily.log_open[:, day : day + 1]
    return np.concatenate([start, start + moves], axis=1)


def _bridge(target: FloatArray, vol: FloatArray, pace: FloatArray, draw: np.random.Generator) -> FloatArray:
    """Paths that end at `target` (log return), wander with `vol` and move fastest where `pace` is highest."""
    walk = np.cumsum(draw.standard_normal((len(target), len(pace))) * np.sqrt(pace), axis=1) * vol[:, None]
    elapsed = np.cumsum(pace)
    bridge: FloatArray = walk + (target - walk[:, -1])[:, None] * elapsed
    return bridge


def _washout(reversals: Reversals, day: int, bars: int) -> FloatArray:
    """A fall of `depth` from `begin` over `length` of the session, then a rise of `rebound` that slows to the close."""
    clock = (np.arange(bars) + 1.0) / bars
    begin, length = reversals.begin[:, day, None], reversals.length[:, day, None]
    falling = np.clip((clock - begin) / length, 0, 1)
    rising = np.clip((clock - begin - length) / (1 - begin - length), 0, 1)
    shape: FloatArray = reversals.rebound[:, day, None] * np.sqrt(rising) - reversals.depth[:, day, None] * falling**1.5
    return shape


def _bar_vol(market: Market, day: int, pace: FloatArray) -> FloatArray:
    common = market.roster.beta * market.factors.vol[day]
    vol: FloatArray = np.hypot(common, market.daily.own_vol[:, day])[:, None] * np.sqrt(pace)
    return vol


def _units(roster: Roster, day: int) -> FloatArray:
    """Factor from prices after the split to prices as traded on that session."""
    units = np.ones((len(roster.symbols), 1))
    if day < roster.split_session:
        units[roster.split] = SPLIT_RATIO
    return units


def _opens(first: FloatArray, closes: FloatArray, draw: np.random.Generator) -> FloatArray:
    """A bar opens where the last one closed, or a cent beside it."""
    before = np.concatenate([_cents(first)[:, None], closes[:, :-1]], axis=1)
    aside = draw.integers(-1, 2, closes.shape) * _CENT
    aside[:, 0] = 0.0
    return _cents(before + aside)


def _volume(
    market: Market, day: int, bars: int, moves: FloatArray, draw: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Trades and shares per bar: U-shaped, more when the price moves; below one usual trade there is none."""
    step = market.spec.timeframe.minutes
    shape = u_shape(bars, step, 2.8, 2.2) * bars * step / 390
    typical = moves.mean(axis=1, keepdims=True) + 1e-12
    lively = np.exp(draw.normal(0, 0.5, moves.shape)) * (0.45 + 0.4 * np.minimum(moves / typical, 4))
    shares = np.round(market.daily.shares[:, day, None] * shape * lively)
    return np.floor(shares / _SHARES_A_TRADE), shares


def _open_for_trading(roster: Roster, day: int, bars: int, step_minutes: int) -> npt.NDArray[np.bool_]:
    """Listed on that session, and not halted."""
    listed = (roster.first <= day) & (day <= roster.last)
    allowed = np.repeat(listed[:, None], bars, axis=1)
    if day == roster.halt_session:
        allowed[roster.halted, HALT_MINUTES[0] // step_minutes : HALT_MINUTES[1] // step_minutes] = False
    return allowed


def _cents(level: FloatArray) -> FloatArray:
    rounded: FloatArray = np.maximum(np.round(level, 2), _CENT)
    return rounded
