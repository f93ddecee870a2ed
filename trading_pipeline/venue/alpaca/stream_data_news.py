"""What a data stream tells of a delivery of bars: trades, quotes, bars, running days, halts.

A bar delivered is told as it is, whatever its length; its last trade and the quote it closed under come before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.alpaca.data_frames import day_of, midnight
from trading_pipeline.venue.alpaca.data_past import Told, merged, told_of
from trading_pipeline.venue.alpaca.data_wire import Tick, Wire, bar_wire, quote_at, trades_in
from trading_pipeline.venue.alpaca.stream_data_codec import Message
from trading_pipeline.venue.hours import Halt

HALTED = {"sc": "H", "sm": "Trading Halt", "rc": "T1", "rm": "Halt News Pending", "z": "C"}
RESUMED = {"sc": "T", "sm": "Trading Resumption", "rc": "T3", "rm": "News and Resumption Times", "z": "C"}

Wanted = Callable[[str, str], bool]
"""Whether anybody follows a channel's symbol."""


class Days:
    """The running day's bar of each symbol, made of the bars delivered since the door opened."""

    def __init__(self) -> None:
        self._bars: dict[str, Told] = {}

    def add(self, symbol: str, bar: Told) -> Told:
        """The day so far, with this bar."""
        start, known = midnight(day_of(bar.start_at)), self._bars.get(symbol)
        parts = [known, bar] if known is not None and known.start_at == start else [bar]
        self._bars[symbol] = merged(parts, start)
        return self._bars[symbol]


class News:
    """Turns deliveries of one feed into messages. spread: of quotes; volume: the fraction of it the feed sees."""

    def __init__(self, feed: str, spread: Decimal, volume: Decimal) -> None:
        self._feed, self._spread, self._volume = feed, spread, volume
        self._days = Days()
        self._last_at: dict[str, datetime] = {}
        self._told_halts: set[tuple[Halt, bool]] = set()

    def of_bars(self, bars: Sequence[MarketBar], is_wanted: Wanted) -> Iterator[Message]:
        """What anybody follows: all trades, then quotes, bars, days. A bar delivered again is not told again."""
        bars = [bar for bar in bars if bar.symbol not in self._last_at or self._last_at[bar.symbol] < bar.start_at]
        self._last_at |= {bar.symbol: bar.start_at for bar in bars}
        told = [told_of(bar, self._volume) for bar in bars]
        days = [self._days.add(bar.symbol, one) for bar, one in zip(bars, told, strict=True)]
        wires: dict[str, Callable[[int], Wire]] = {
            "trades": lambda n: _ticked("t", bars[n].symbol, trades_in(bars[n], self._feed)[-1]),
            "quotes": lambda n: _ticked("q", bars[n].symbol, quote_at(bars[n], self._feed, self._spread)),
            "bars": lambda n: bar_message("b", bars[n].symbol, told[n]),
            "dailyBars": lambda n: bar_message("d", bars[n].symbol, days[n]),
        }
        for channel, wire_of in wires.items():
            for number, bar in enumerate(bars):
                if is_wanted(channel, bar.symbol):
                    yield Message(channel, bar.symbol, wire_of(number))

    def of_halts(self, halts: Sequence[Halt], now: datetime) -> Iterator[Message]:
        """Halts that have begun or ended and were not told yet."""
        for halt in halts:
            for is_over, at in ((False, halt.from_at), (True, halt.until_at)):
                if at <= now and (halt, is_over) not in self._told_halts:
                    self._told_halts.add((halt, is_over))
                    wire = {"T": "s", "S": halt.symbol, "t": at} | (RESUMED if is_over else HALTED)
                    yield Message("statuses", halt.symbol, wire)


def bar_message(kind: str, symbol: str, bar: Told) -> Wire:
    """A bar under its channel's letter."""
    return {"T": kind, "S": symbol} | bar_wire(bar) | {"t": bar.start_at}


def _ticked(kind: str, symbol: str, tick: Tick) -> Wire:
    return {"T": kind, "S": symbol} | tick.wire | {"t": tick.at}
