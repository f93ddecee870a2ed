"""The tape up to an instant: bars of any timeframe, of what was known by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import chain, groupby

from trading_pipeline.domain.market import MarketBar, SessionTimes, Timeframe
from trading_pipeline.domain.money import ZERO
from trading_pipeline.venue.alpaca.data_frames import Frame, day_of, midnight
from trading_pipeline.venue.tape import CorporateAction, Tape

BARS_AT_ONCE = 12_000
"""Base bars of a symbol read in one go: a page holds 10,000."""
LOOK_BACK = timedelta(days=14)
"""A symbol that has not traded for longer has no latest trade."""
A_WHILE = timedelta(minutes=30)
"""Most symbols have traded in the last so long: less to read than a session."""
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)
LONGEST = {"Day": DAY, "Week": timedelta(days=7), "Month": timedelta(days=366)}
SHARES_PER_TRADE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A bar as it is told: USD per share, shares. A tape knows neither vwap nor trades: both are made up of the bar."""

    start_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    vwap: Decimal
    trades: int


class NoTape:
    """The tape of a venue that has none."""

    def symbols(self) -> Sequence[str]:
        return ()

    def base_timeframe(self) -> Timeframe | None:
        return None

    def bars(self, symbol: str, timeframe: Timeframe, first: datetime, last: datetime) -> Sequence[MarketBar]:  # noqa: ARG002
        return ()

    def actions(self, first: date, last: date) -> Sequence[CorporateAction]:  # noqa: ARG002
        return ()

    def sessions(self, first: date, last: date) -> Sequence[SessionTimes]:  # noqa: ARG002
        return ()


class Past:
    """What a tape told until an instant. volume_fraction: how much of the volume the feed sees."""

    def __init__(self, tape: Tape, until: datetime, volume_fraction: Decimal = Decimal(1)) -> None:
        self._tape, self._until, self._fraction = tape, until, volume_fraction

    def bars(
        self, symbol: str, frame: Frame, first: datetime, last: datetime, *, descending: bool = False
    ) -> Iterator[Told]:
        """Bars that begin in [first, last]; the newest may be unfinished. None of a frame the tape cannot give."""
        reach = min(last, self._until)
        if first > reach:
            return
        for block in self._blocks(frame, first, reach, descending=descending):
            rows = self._of_days(symbol, *block) if frame.minutes is None else self._of_base(symbol, frame, *block)
            parts = groupby(rows, lambda one: frame.start_of(one.start_at))
            made = [merged(list(part), start) for start, part in parts]
            chosen = [one for one in made if first <= one.start_at <= last]
            yield from reversed(chosen) if descending else chosen

    def newest(self, symbol: str) -> MarketBar | None:
        """The last base bar (of a tape of days: daily bar); None when it has not traded lately."""
        if self._tape.base_timeframe() is None:
            return next(reversed(self.days(symbol, day_of(self._until - LOOK_BACK), day_of(self._until))), None)
        sessions = self._tape.sessions(day_of(self._until - LOOK_BACK), day_of(self._until))
        whole = ((times.opens_at, times.closes_at) for times in reversed(sessions))
        for span in chain([(self._until - A_WHILE, self._until)], whole):
            if found := self.base(symbol, *span):
                return found[-1]
        return None

    def base(self, symbol: str, first: datetime, last: datetime) -> Sequence[MarketBar]:
        """Finished base bars that start in [first, last]."""
        timeframe = self._tape.base_timeframe()
        return [] if timeframe is None else self._finished(symbol, timeframe, first, last)

    def base_in_turn(
        self, symbol: str, first: datetime, last: datetime, *, descending: bool = False
    ) -> Iterator[MarketBar]:
        """Finished base bars any part of which may lie in [first, last]."""
        base = self._tape.base_timeframe()
        if base is None:
            return
        frame = Frame(base.minutes, "Min")
        for block in self._blocks(frame, first - base.length, min(last, self._until), descending=descending):
            rows = self.base(symbol, *block)
            yield from reversed(rows) if descending else rows

    def days(self, symbol: str, first: date, last: date) -> Sequence[MarketBar]:
        """Daily bars: the running session's is made of its base bars so far."""
        found = self._finished(symbol, Timeframe.DAY1, midnight(first), midnight(last + DAY) - INSTANT)
        known = {day_of(bar.start_at) for bar in found}
        today = day_of(self._until)
        running = self._tape.sessions(today, today) if first <= today <= last and today not in known else ()
        for times in running:
            if so_far := self.base(symbol, times.opens_at, times.closes_at - INSTANT):
                found.append(summed(so_far))
        return found

    def told(self, bar: MarketBar) -> Told:
        """The bar, with the volume the feed sees."""
        return told_of(bar, self._fraction)

    def _finished(self, symbol: str, timeframe: Timeframe, first: datetime, last: datetime) -> list[MarketBar]:
        return [bar for bar in self._tape.bars(symbol, timeframe, first, last) if bar.end_at <= self._until]

    def _blocks(
        self, frame: Frame, first: datetime, last: datetime, *, descending: bool
    ) -> Iterable[tuple[datetime, datetime]]:
        """Spans to read in turn, for a page needs only some; of days and longer, which are few, all at once."""
        if frame.minutes is None:
            return [(first, min(last + LONGEST[frame.unit], self._until))]
        days = [times.session for times in self._tape.sessions(day_of(first), day_of(last))]
        if descending:
            days.reverse()
        base = self._tape.base_timeframe() or Timeframe.MIN1
        step = BARS_AT_ONCE * base.minutes // Timeframe.DAY1.minutes
        parts = (days[n : n + step] for n in range(0, len(days), step))
        end = last + timedelta(minutes=frame.minutes)
        return ((max(first, midnight(min(part))), min(end, midnight(max(part) + DAY) - INSTANT)) for part in parts)

    def _of_days(self, symbol: str, first: datetime, last: datetime) -> list[Told]:
        return [self.told(bar) for bar in self.days(symbol, day_of(first), day_of(last))]

    def _of_base(self, symbol: str, frame: Frame, first: datetime, last: datetime) -> list[Told]:
        """None where the frame is finer than the tape's bars, or they do not fit into it."""
        base = self._tape.base_timeframe()
        if base is None or frame.minutes is None or frame.minutes % base.minutes:
            return []
        return [self.told(bar) for bar in self.base(symbol, first, last)]


def told_of(bar: MarketBar, volume_fraction: Decimal) -> Told:
    """A bar with that much of its volume, in whole shares; one that traded keeps a share."""
    volume = max((bar.volume * volume_fraction).to_integral_value(), Decimal(1)) if bar.volume else ZERO
    return Told(
        start_at=bar.start_at, open=bar.open, high=bar.high, low=bar.low, close=bar.close, volume=volume,
        vwap=(bar.high + bar.low + bar.close) / 3, trades=max(int(volume) // SHARES_PER_TRADE, 1),
    )  # fmt: skip


def merged(parts: Sequence[Told], start_at: datetime) -> Told:
    """Consecutive bars as one that begins at `start_at`."""
    volume = sum((one.volume for one in parts), ZERO)
    paid = sum((one.vwap * one.volume for one in parts), ZERO)
    return Told(
        start_at=start_at, open=parts[0].open, high=max(one.high for one in parts), low=min(one.low for one in parts),
        close=parts[-1].close, volume=volume, vwap=paid / volume if volume else parts[-1].vwap,
        trades=sum(one.trades for one in parts),
    )  # fmt: skip


def summed(bars: Sequence[MarketBar]) -> MarketBar:
    """Consecutive bars of one symbol as one."""
    return MarketBar(
        symbol=bars[0].symbol, start_at=bars[0].start_at, end_at=bars[-1].end_at, open=bars[0].open,
        high=max(bar.high for bar in bars), low=min(bar.low for bar in bars), close=bars[-1].close,
        volume=sum((bar.volume for bar in bars), ZERO),
    )  # fmt: skip
