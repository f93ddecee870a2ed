"""Bars as if every later split and dividend had been long ago: what Alpaca's `adjustment` asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.money import ZERO
from trading_pipeline.venue.alpaca.context import AlpacaError
from trading_pipeline.venue.alpaca.data_frames import day_of, midnight
from trading_pipeline.venue.alpaca.data_past import LOOK_BACK, Told
from trading_pipeline.venue.tape import CorporateAction, Tape

LONG_AGO = date(1970, 1, 1)
KINDS = {
    "raw": frozenset[str](),
    "split": frozenset({"split"}),
    "dividend": frozenset({"dividend"}),
    "spin-off": frozenset[str](),
    "all": frozenset({"split", "dividend"}),
}
"""Kinds of corporate actions by name of the adjustment; a tape knows no spin-offs."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What to multiply bars before `ex_date` by."""

    ex_date: date
    price: Decimal
    volume: Decimal


def kinds_of(text: str) -> frozenset[str]:
    """Of `split`, `split,dividend`, `all`...; raises AlpacaError for any other name."""
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise AlpacaError(400, None, f"invalid adjustment: {unknown[0]}")
    return frozenset().union(*(KINDS[name] for name in names))


class Adjuster:
    """Back-adjusts bars for the actions that took effect by a date; a split 2:1 halves prices and doubles volume.

    A dividend multiplies earlier prices by 1 - dividend / close before the ex-date (CRSP).
    """

    def __init__(self, tape: Tape, kinds: frozenset[str], today: date) -> None:
        self._tape, self._actions = tape, dict[str, list[CorporateAction]]()
        for action in tape.actions(LONG_AGO, today) if kinds else ():
            if action.kind in kinds:
                self._actions.setdefault(action.symbol, []).append(action)

    def adjusted(self, symbol: str, bars: Iterable[Told]) -> Iterator[Told]:
        """The same bars in today's units."""
        steps = [self._step(symbol, action) for action in self._actions.get(symbol, ())]
        return (_times(bar, steps) for bar in bars) if steps else iter(bars)

    def _step(self, symbol: str, action: CorporateAction) -> _Step:
        if action.kind == "split":
            return _Step(action.ex_date, 1 / action.value, action.value)
        close = self._close_before(symbol, action.ex_date)
        price = 1 - action.value / close if close > action.value else Decimal(1)
        return _Step(action.ex_date, price, Decimal(1))

    def _close_before(self, symbol: str, ex_date: date) -> Decimal:
        """In the units of the ex-date; zero when the tape has none."""
        end = midnight(ex_date) - timedelta(microseconds=1)
        bars = self._tape.bars(symbol, Timeframe.DAY1, end - LOOK_BACK, end)
        splits = (a.value for a in self._actions[symbol] if a.ex_date == ex_date and a.kind == "split")
        return bars[-1].close / next(splits, Decimal(1)) if bars else ZERO


def _times(bar: Told, steps: Sequence[_Step]) -> Told:
    day, price, volume = day_of(bar.start_at), Decimal(1), Decimal(1)
    for step in steps:
        if day < step.ex_date:
            price, volume = price * step.price, volume * step.volume
    if price == volume == 1:
        return bar
    return replace(
        bar, open=bar.open * price, high=bar.high * price, low=bar.low * price, close=bar.close * price,
        vwap=bar.vwap * price, volume=(bar.volume * volume).to_integral_value(),
    )  # fmt: skip
