"""Every symbol, one value per session: beta to the market, own shocks, overnight gaps, and reversals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from trading_pipeline.adapters.synthetic.factors import MarketFactors, cluster, fat_tailed
from trading_pipeline.adapters.synthetic.roster import FloatArray, Roster
from trading_pipeline.adapters.synthetic.spec import SyntheticMarketSpec, random_stream

SESSIONS_A_YEAR: Final = 252
_OVERNIGHT_SHARE: Final = 0.45  # of a stock's own daily standard deviation
_NEWS_GAPS_A_YEAR, _NEWS_GAP = 4.0, 0.045
_TURN_CHANCE: Final = 0.66


@dataclass(frozen=True, slots=True)
class Reversals:
    """Sell-offs and their turns, arrays of symbols × sessions.

    drift: own log return spread over the session; depth: fall of the intraday washout; rebound: rise from it to the
    close; begin, length: when and how long it falls, as fractions of the session; volume: factor on shares traded.
    """

    drift: FloatArray
    depth: FloatArray
    rebound: FloatArray
    begin: FloatArray
    length: FloatArray
    volume: FloatArray = field(repr=False)


@dataclass(frozen=True, slots=True)
class DailyPaths:
    """Arrays of symbols × sessions: log price at the open (units after the split), own move, own volatility, shares."""

    log_open: FloatArray
    own_intraday: FloatArray
    own_vol: FloatArray
    shares: FloatArray
    reversals: Reversals


def make_daily(spec: SyntheticMarketSpec, roster: Roster, market: MarketFactors) -> DailyPaths:
    """Draw every symbol's sessions around the market's."""
    draw = random_stream(spec, 3)
    shape = (len(roster.symbols), spec.sessions)
    shocks = fat_tailed(draw, shape)
    own_vol = roster.own_vol[:, None] * cluster(shocks)
    reversals = make_reversals(spec, roster)
    own_intraday = shocks * own_vol * np.sqrt(1 - _OVERNIGHT_SHARE**2) + reversals.drift
    overnight = own_vol * _OVERNIGHT_SHARE * draw.standard_normal(shape) + _news_gaps(roster, draw, shape)
    overnight += roster.beta[:, None] * market.overnight
    whole = own_intraday + roster.beta[:, None] * market.intraday - reversals.depth + reversals.rebound
    before = np.cumsum(whole, axis=1) - whole
    log_open = np.log(roster.price)[:, None] + np.cumsum(overnight, axis=1) + before
    activity = np.exp(draw.normal(0, 0.2, shape) - 0.02) * (0.7 + 0.3 * np.abs(shocks) + 0.1 * np.abs(overnight) * 100)
    shares = roster.daily_shares[:, None] * activity * reversals.volume
    return DailyPaths(log_open, own_intraday, own_vol, shares, reversals)


def _news_gaps(roster: Roster, draw: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Rare large overnight moves of single stocks, as on earnings; ETFs have none."""
    happens = draw.random(shape) < _NEWS_GAPS_A_YEAR / SESSIONS_A_YEAR
    return np.where(happens & roster.is_stock[:, None], draw.normal(0, _NEWS_GAP, shape), 0.0)


def make_reversals(spec: SyntheticMarketSpec, roster: Roster) -> Reversals:
    """Place sell-offs of two to four sessions, each ending in a washout; two in three turn, with a retest next day."""
    draw = random_stream(spec, 4)
    shape = (len(roster.symbols), spec.sessions)
    happens = draw.random(shape) < spec.reversals_per_symbol_year / SESSIONS_A_YEAR
    happens &= roster.is_stock[:, None]
    size = np.maximum(roster.own_vol, 0.012)[:, None]
    turns = happens & (draw.random(shape) < _TURN_CHANCE)
    retests = np.zeros(shape, np.bool_)
    retests[:, 1:] = turns[:, :-1] & ~happens[:, 1:]
    depth = size * np.select([happens, retests], [draw.uniform(0.9, 1.7, shape), draw.uniform(0.35, 0.7, shape)], 0.0)
    kept = [draw.uniform(0.5, 1.1, shape), draw.uniform(-0.1, 0.3, shape), draw.uniform(1.2, 2.2, shape)]
    rebound = depth * np.select([turns, happens, retests], kept, 0.0)
    drift, volume = _sell_offs(happens, size[:, 0], draw)
    volume[retests] *= 1.2
    return Reversals(drift, depth, rebound, draw.uniform(0.08, 0.45, shape), draw.uniform(0.12, 0.25, shape), volume)


def _sell_offs(
    happens: npt.NDArray[np.bool_], size: FloatArray, draw: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Downward drift (log return per session) and factor on volume in the sessions that lead to a washout."""
    fall, lengths = draw.uniform(0.5, 1.1, happens.shape), draw.integers(2, 5, happens.shape)
    drift, volume = np.zeros(happens.shape), np.ones(happens.shape)
    for place, day in zip(*np.nonzero(happens), strict=True):
        before = slice(max(day - int(lengths[place, day]), 0), day)
        drift[place, before] -= fall[place, day] * size[place]
        volume[place, before] *= 1.15
        volume[place, day] *= 1.7
    return drift, volume
