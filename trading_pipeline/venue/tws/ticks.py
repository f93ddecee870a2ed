"""What bars say as ticks, and as five-second bars.

A base bar tells no quotes: bid and ask stand one cent around its close. It tells no path either: open, low, high, close
in a bar that rose; high before low in one that fell.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.money import ZERO, tick_size
from trading_pipeline.venue.tws.history import average_of
from trading_pipeline.venue.tws.wire import Message

FIVE_SECONDS = timedelta(seconds=5)
BID, ASK, LAST, HIGH, LOW, VOLUME, OPEN, LAST_TIME, RT_VOLUME = 1, 2, 4, 6, 7, 8, 14, 45, 48
DELAYED = {BID: 66, ASK: 67, LAST: 68, HIGH: 72, LOW: 73, VOLUME: 74, OPEN: 76, LAST_TIME: 88}
LIVE_TYPE, DELAYED_TYPE = 1, 3
LOT = 100


def ticks_of(request_id: int, bar: MarketBar, *, is_delayed: bool, with_rt_volume: bool = False) -> Iterator[Message]:
    """Messages 1, 2 and 46 for a bar that has just ended: quote, last, the bar's range and volume, the trade's time."""

    def number(kind: int) -> int:
        return DELAYED[kind] if is_delayed else kind

    cent, at = tick_size(bar.close), int(bar.end_at.timestamp())
    quote = {BID: max(bar.close - cent, cent), ASK: bar.close + cent, LAST: bar.close}
    for kind, price in quote.items():
        yield (1, 6, request_id, number(kind), price, LOT, 0)
    for kind, price in {HIGH: bar.high, LOW: bar.low, OPEN: bar.open}.items():
        yield (1, 6, request_id, number(kind), price, 0, 0)
    yield (2, 6, request_id, number(VOLUME), bar.volume)
    yield (46, 6, request_id, number(LAST_TIME), str(at))
    if with_rt_volume:
        trade = f"{bar.close:f};{LOT};{at}000;{bar.volume:f};{average_of(bar)};true"
        yield (46, 6, request_id, RT_VOLUME, trade)


def five_second_bars(bar: MarketBar) -> list[MarketBar]:
    """A bar cut into fives that add up to it exactly: three with the path, the rest stand at the close.

    Whole shares are spread evenly, what is left over goes to the first.
    """
    count = max(int((bar.end_at - bar.start_at) / FIVE_SECONDS), 1)
    extremes = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
    path = [bar.open, *extremes, bar.close, *[bar.close] * count]
    if count < len(extremes) + 1:
        return [bar]
    each = bar.volume // count
    volumes = [bar.volume - each * (count - 1), *[each] * (count - 1)]
    return [_piece(bar, number, path[number], path[number + 1], volumes[number]) for number in range(count)]


def real_time_bar(request_id: int, bar: MarketBar) -> Message:
    """Message 50."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    count = -1 if bar.volume > ZERO else 0
    return (50, 3, request_id, int(bar.start_at.timestamp()), *prices, bar.volume, average_of(bar), count)


def _piece(bar: MarketBar, number: int, opened: Decimal, closed: Decimal, volume: Decimal) -> MarketBar:
    start = bar.start_at + number * FIVE_SECONDS
    return MarketBar(
        symbol=bar.symbol, start_at=start, end_at=start + FIVE_SECONDS, open=opened, high=max(opened, closed),
        low=min(opened, closed), close=closed, volume=volume,
    )  # fmt: skip
