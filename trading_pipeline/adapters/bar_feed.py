"""Base bars of a session as a feed: what the simulated venue matches against and positions are marked with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from trading_pipeline.domain.errors import MissingBarsError
from trading_pipeline.domain.market import MarketBar, Quote, SessionTimes, Timeframe
from trading_pipeline.domain.money import to_price
from trading_pipeline.ports import BarStore

PRICES = ("open", "high", "low", "close")
MOST_UNCONFIRMED_JUMP = 0.5
"""Change between two closes of a session that is not believed before a next close stands by it. A fraction."""


@dataclass(frozen=True)
class SymbolBars:
    """One symbol's bars, ascending: end instants (ns since epoch, ascending) beside the rows."""

    ends: np.ndarray
    starts: np.ndarray
    prices: np.ndarray
    volumes: np.ndarray

    def believed(self, row: int) -> int:
        """`row`, or the last one believed before it while nothing stands by a jump of the price to it.

        A close is believed when it lies within MOST_UNCONFIRMED_JUMP of the close before it, or of the last one
        believed: what follows one wrong print does not make that print right.
        """
        closes, first = self.prices[:, 3], row
        while first > 0 and _jumps(closes[first - 1], closes[first]):
            first -= 1
        held = first
        for later in range(first + 1, row + 1):
            held = held if _jumps(closes[held], closes[later]) else later
        return held

    def bar(self, symbol: str, row: int) -> MarketBar:
        """The row as Decimals."""
        open_, high, low, close = (to_price(level) for level in self.prices[row])
        return MarketBar(
            symbol=symbol, start_at=_instant(self.starts[row]), end_at=_instant(self.ends[row]),
            open=open_, high=high, low=low, close=close, volume=Decimal(int(self.volumes[row])),
        )  # fmt: skip


def _jumps(before: float, after: float) -> bool:
    return not abs(after - before) <= MOST_UNCONFIRMED_JUMP * before


def _instant(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(int(nanoseconds) // 1_000_000_000, tz=UTC)


def _nanoseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000_000


class StoredBarFeed:
    """The bar store's finest intraday bars, in the session's own units. Implements BarFeed.

    live: read the store again at each new instant, because bars of the running session keep arriving.
    """

    def __init__(self, store: BarStore, *, live: bool = False) -> None:
        self._store = store
        self._live = live
        self._loaded: tuple[date, datetime | None] | None = None
        self._bars: dict[str, SymbolBars] = {}

    def base_minutes(self) -> int:
        """Length of a base bar in minutes; raises MissingBarsError when no intraday bars are stored."""
        return self._timeframe().minutes

    def actions(self, times: SessionTimes) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal]]:
        """Splits (new shares for one old) and dividends (USD per share) with this ex-date, known before the open."""
        known = self._store.actions(known_at=times.opens_at)
        today = known[known["ex_date"] == pd.Timestamp(times.session)]
        return _values(today[today["kind"] == "split"]), _values(today[today["kind"] == "dividend"])

    def bar_ends(self, times: SessionTimes) -> Sequence[datetime]:
        """Instants at which base bars of the session end, ascending, the close included."""
        step = self._timeframe().length
        count = -(-(times.closes_at - times.opens_at) // step)
        return [min(times.opens_at + (n + 1) * step, times.closes_at) for n in range(count)]

    def bars_after(self, times: SessionTimes, since: Mapping[str, datetime], instant: datetime) -> Sequence[MarketBar]:
        """Each symbol's bars that end after its own `since`, up to `instant`: by symbol, then time."""
        self._load(times, instant)
        found = []
        for symbol in sorted(since):
            bars = self._bars.get(symbol)
            if bars is not None:
                span = [_nanoseconds(since[symbol]), _nanoseconds(instant)]
                first, last = np.searchsorted(bars.ends, span, "right").tolist()
                found += [bars.bar(symbol, row) for row in range(first, last)]
        return found

    def quotes(self, times: SessionTimes, instant: datetime, symbols: Iterable[str]) -> dict[str, Quote]:
        """Last believed close of each symbol at `instant`; a symbol not traded yet this session has none.

        One print ten times too high is neither a peak of equity nor a reason to move a stop.
        """
        self._load(times, instant)
        moment, quotes = _nanoseconds(instant), {}
        for symbol in sorted(symbols):
            bars = self._bars.get(symbol)
            row = -1 if bars is None else bars.believed(int(np.searchsorted(bars.ends, moment, "right")) - 1)
            if bars is not None and row >= 0:
                quotes[symbol] = Quote(symbol, to_price(float(bars.prices[row, 3])), _instant(bars.ends[row]))
        return quotes

    def _timeframe(self) -> Timeframe:
        timeframe = self._store.base_timeframe()
        if timeframe is None:
            raise MissingBarsError(date.min, [], "1min or 5min")
        return timeframe

    def _load(self, times: SessionTimes, instant: datetime) -> None:
        wanted = (times.session, instant if self._live else None)
        if self._loaded != wanted:
            frame = self._store.view(self._timeframe(), [times.session], as_of=times.session)
            if frame.empty and not self._live:
                raise MissingBarsError(times.session, [], self._timeframe().value)
            self._bars = bars_by_symbol(frame)
            self._loaded = wanted


def _values(actions: pd.DataFrame) -> dict[str, Decimal]:
    pairs = zip(actions["symbol"], actions["value"], strict=True)
    return {str(symbol): Decimal(repr(float(value))) for symbol, value in pairs}


def bars_by_symbol(frame: pd.DataFrame) -> dict[str, SymbolBars]:
    """Rows of one session or more (a bar frame) by symbol."""
    codes, symbols = pd.factorize(frame["symbol"])
    cuts = np.flatnonzero(np.diff(codes, prepend=-1))
    bounds = [*cuts.tolist(), len(frame)]
    ends, starts = (frame[name].astype("int64").to_numpy() for name in ("end", "start"))
    prices, volumes = frame[list(PRICES)].to_numpy(np.float64), frame["volume"].to_numpy(np.float64)
    return {
        str(symbol): SymbolBars(ends[a:b], starts[a:b], prices[a:b], volumes[a:b])
        for symbol, a, b in zip(symbols, bounds[:-1], bounds[1:], strict=True)
    }
