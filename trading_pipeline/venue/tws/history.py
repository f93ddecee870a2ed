"""Historical bars from the venue's tape: never one that has not ended by the venue's own time.

As IB's TRADES: adjusted for splits known by then, not for dividends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import prod

from trading_pipeline.domain.market import MarketBar, Timeframe
from trading_pipeline.venue.tape import Tape
from trading_pipeline.venue.tws.checks import Trouble
from trading_pipeline.venue.tws.contracts import Asked, Stock
from trading_pipeline.venue.tws.wire import NEW_YORK, Field, Fields, Message, local_time, parsed_time

BAR_SIZES = {
    "1 min": Timeframe.MIN1,
    "5 mins": Timeframe.MIN5,
    "15 mins": Timeframe.MIN15,
    "1 hour": Timeframe.HOUR1,
    "4 hours": Timeframe.HOUR4,
    "1 day": Timeframe.DAY1,
}
SHOWN = frozenset({"TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST"})
INVALID = "Error validating request.-'bN' : cause - "
NO_DATA = "Historical Market Data Service error message:HMDS query returned no data: {symbol}@SMART {what}"
PACING = "Historical Market Data Service error message:Historical data request pacing violation"
_DURATION = re.compile(r"([1-9]\d{0,5}) ([SDWMY])")
_DAYS = {"W": 7, "M": 31, "Y": 366}
_LONGEST = timedelta(days=20_000)


@dataclass(frozen=True, slots=True)
class BarRequest:
    """Message 20. end None: now."""

    request_id: int
    contract: Asked
    end: datetime | None
    bar_size: str
    duration: str
    what: str
    as_epoch: bool
    keeps_up_to_date: bool

    @classmethod
    def read(cls, fields: Fields) -> BarRequest:
        """Raises InputError for an end that is no time."""
        request_id, contract = fields.to(1).whole(), Asked.read(fields.to(2))
        late = fields.to(15)
        end, bar_size, duration, _ = parsed_time(late.text()), late.text(), late.text(), late.text()
        what, date_format = late.text().upper(), late.text()
        return cls(request_id, contract, end, bar_size, duration, what, date_format == "2", late.flag())

    @property
    def timeframe(self) -> Timeframe:
        """Raises Trouble for a size no bar here has."""
        if self.bar_size not in BAR_SIZES:
            legal = ", ".join(BAR_SIZES)
            raise Trouble(321, f"{INVALID}Historical data bar size setting is invalid. Legal ones are: {legal}.")
        return BAR_SIZES[self.bar_size]

    @property
    def weight(self) -> int:
        """What it counts in pacing."""
        return 2 if self.what == "BID_ASK" else 1

    def check(self) -> None:
        """Raises Trouble for what IB would not even look up."""
        if self.what not in SHOWN:
            raise Trouble(321, f"{INVALID}Invalid data type {self.what!r}")
        if not _DURATION.fullmatch(self.duration):
            raise Trouble(321, f"{INVALID}Historical data duration {self.duration!r} is invalid")
        if self.keeps_up_to_date and self.end is not None:
            raise Trouble(321, f"{INVALID}End date not supported with keep up to date")


def bars_for(tape: Tape | None, asked: BarRequest, stock: Stock, now: datetime) -> Sequence[MarketBar]:
    """The bars a request is about. Raises Trouble 162 when there are none."""
    end = min(asked.end or now, now)
    found: Sequence[MarketBar] = ()
    if tape is not None and asked.what == "TRADES":
        bars = tape.bars(stock.symbol, asked.timeframe, _start(tape, asked.duration, end), end)
        found = [bar for bar in bars if bar.end_at <= end]
    if not found:
        raise Trouble(162, NO_DATA.format(symbol=stock.name, what=asked.what.capitalize()))
    assert tape is not None
    return _split_adjusted(tape, found, now)


def historical_data(asked: BarRequest, bars: Sequence[MarketBar]) -> Message:
    """Message 17."""
    rows = [field for bar in bars for field in _row(asked, bar)]
    span = (local_time(bars[0].start_at), local_time(bars[-1].end_at))
    return (17, asked.request_id, *span, len(bars), *rows)


def historical_update(asked: BarRequest, bar: MarketBar) -> Message:
    """Message 90."""
    date, opened, high, low, close, volume, average, count = _row(asked, bar)
    return (90, asked.request_id, count, date, opened, close, high, low, average, volume)


def average_of(bar: MarketBar) -> Decimal:
    """What stands for the volume-weighted price, which a bar does not tell: the mean of high, low and close."""
    return round((bar.high + bar.low + bar.close) / 3, 4)


def _row(asked: BarRequest, bar: MarketBar) -> tuple[Field, ...]:
    """The count of trades is not known: -1, as IB says where it has none."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    return (_date(asked, bar), *prices, bar.volume, average_of(bar), -1)


def _date(asked: BarRequest, bar: MarketBar) -> str:
    if asked.timeframe is Timeframe.DAY1:
        return f"{bar.start_at.astimezone(NEW_YORK):%Y%m%d}"
    return str(int(bar.start_at.timestamp())) if asked.as_epoch else local_time(bar.start_at)


def _start(tape: Tape, duration: str, end: datetime) -> datetime:
    """Days are sessions; the other units run by the calendar."""
    count, unit = int(duration[:-2]), duration[-1]
    if unit == "S":
        return end - timedelta(seconds=count)
    if unit != "D":
        return end - min(timedelta(days=count * _DAYS[unit]), _LONGEST)
    last = end.astimezone(NEW_YORK).date()
    first = last - min(timedelta(days=count * 2 + 10), _LONGEST)
    begun = [times for times in tape.sessions(first, last) if times.opens_at < end]
    return begun[-count:][0].opens_at if begun else end - timedelta(days=count)


def _split_adjusted(tape: Tape, bars: Sequence[MarketBar], now: datetime) -> Sequence[MarketBar]:
    first, today = (instant.astimezone(NEW_YORK).date() for instant in (bars[0].start_at, now))
    actions = tape.actions(first, today)
    splits = [(one.ex_date, one.value) for one in actions if (one.kind, one.symbol) == ("split", bars[0].symbol)]
    return [_divided(bar, prod((value for day, value in splits if _day(bar) < day), start=Decimal(1))) for bar in bars]


def _divided(bar: MarketBar, ratio: Decimal) -> MarketBar:
    """In shares of today: so many new ones for each old."""
    if ratio == 1:
        return bar
    prices = {name: round(getattr(bar, name) / ratio, 8) for name in ("open", "high", "low", "close")}
    return replace(bar, volume=bar.volume * ratio, **prices)


def _day(bar: MarketBar) -> date:
    return bar.start_at.astimezone(NEW_YORK).date()
