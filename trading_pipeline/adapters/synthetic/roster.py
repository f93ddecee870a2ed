"""Who is traded: invented stocks with their traits, the four index ETFs, and the roles of the special cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trading_pipeline.adapters.synthetic.spec import SyntheticMarketSpec, random_stream

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LISTED_SESSIONS_BEFORE_END: Final = 30
DELISTED_SESSIONS_BEFORE_END: Final = 12
SPLIT_RATIO: Final = 4.0
_CONSONANTS: Final = "BCDFGHJKLMNPRSTVW"
_VOWELS: Final = "AEIOU"
_ENDINGS: Final = "ZXQ"
_STRIDE: Final = 547  # prime to 17 × 5 × 17, so that neighbours do not look alike


class EtfTraits(NamedTuple):
    """An index ETF: beta to the market, own daily volatility, price in USD, shares a day."""

    beta: float
    own_vol: float
    price: float
    daily_shares: float


ETFS: Final = {
    "SPY": EtfTraits(1.00, 0.0004, 540.0, 55e6),
    "QQQ": EtfTraits(1.15, 0.0060, 470.0, 38e6),
    "IWM": EtfTraits(1.10, 0.0080, 205.0, 30e6),
    "DIA": EtfTraits(0.85, 0.0035, 390.0, 3.5e6),
}


@dataclass(frozen=True, slots=True)
class Roster:
    """Traits by position in `symbols` (sorted). Prices are in the units after the split; sessions are ordinals."""

    symbols: tuple[str, ...]
    is_stock: npt.NDArray[np.bool_]
    beta: FloatArray
    own_vol: FloatArray
    price: FloatArray
    daily_shares: FloatArray
    first: IntArray
    last: IntArray
    split: int
    split_session: int
    halted: int
    halt_session: int


def ticker(number: int) -> str:
    """An invented ticker: consonant, vowel, consonant and a rare last letter; distinct for 0 <= number < 4335."""
    size = len(_CONSONANTS) ** 2 * len(_VOWELS)
    ending, rest = divmod(number, size)
    rest = (rest * _STRIDE + 101) % size
    rest, last = divmod(rest, len(_CONSONANTS))
    first, vowel = divmod(rest, len(_VOWELS))
    return _CONSONANTS[first] + _VOWELS[vowel] + _CONSONANTS[last] + _ENDINGS[ending]


def make_roster(spec: SyntheticMarketSpec) -> Roster:
    """Draw every symbol's traits; the second to fifth stock are split, halted, listed late and delisted."""
    symbols = tuple(sorted([*(ticker(number) for number in range(spec.symbols)), *ETFS]))
    stocks = [place for place, symbol in enumerate(symbols) if symbol not in ETFS]
    split, halted, late, gone = stocks[1:5]
    traits = _traits(spec, symbols)
    traits[split, 2] = np.clip(traits[split, 2], 40, 90)  # four times as much before the split
    traits[[split, halted], 3] = np.maximum(traits[[split, halted], 3], 3e6)
    first, last = np.zeros(len(symbols), np.int64), np.full(len(symbols), spec.sessions - 1, np.int64)
    first[late] = spec.sessions - LISTED_SESSIONS_BEFORE_END
    last[gone] = spec.sessions - 1 - DELISTED_SESSIONS_BEFORE_END
    return Roster(
        symbols=symbols,
        is_stock=np.isin(np.arange(len(symbols)), stocks),
        beta=traits[:, 0],
        own_vol=traits[:, 1],
        price=traits[:, 2],
        daily_shares=traits[:, 3],
        first=first,
        last=last,
        split=split,
        split_session=spec.sessions // 2,
        halted=halted,
        halt_session=spec.sessions - 3,
    )


def _traits(spec: SyntheticMarketSpec, symbols: tuple[str, ...]) -> FloatArray:
    """Rows (beta, own daily volatility, price, shares a day); about one stock in seven is thinly traded."""
    draw, count = random_stream(spec, 1), len(symbols)
    beta = np.clip(draw.normal(1.0, 0.3, count), 0.3, 1.9)
    own_vol = np.clip(np.exp(draw.normal(np.log(0.013), 0.35, count)), 0.007, 0.032)
    price = np.clip(np.exp(draw.normal(np.log(65.0), 0.75, count)), 9.0, 320.0)
    thin = draw.random(count) < 1 / 7
    shares = np.exp(draw.normal(np.log(3.2e6), 0.8, count)).clip(7e5, 4e7)
    shares = np.where(thin, draw.uniform(4e4, 4e5, count), shares)
    traits = np.column_stack([beta, own_vol, price, shares])
    for place, symbol in enumerate(symbols):
        if symbol in ETFS:
            traits[place] = ETFS[symbol]
    return traits
