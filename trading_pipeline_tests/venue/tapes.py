"""A tape in memory for tests: sessions of one exchange week, and bars on a grid of base bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.market import MarketBar, SessionTimes, Timeframe
from trading_pipeline.venue.tape import CorporateAction
from trading_pipeline_tests.venue.builders import SESSION

DAY = timedelta(days=1)


def a_session(days: int = 0) -> SessionTimes:
    """The session so many calendar days after SESSION (a Tuesday in June), of its hours."""
    return SessionTimes(SESSION.session + days * DAY, SESSION.opens_at + days * DAY, SESSION.closes_at + days * DAY)


@dataclass
class ListedTape:
    """Implements Tape: what it is given. Daily bars are made of the base ones where `daily` has none for a session."""

    base: list[MarketBar] = field(default_factory=list)
    daily: list[MarketBar] = field(default_factory=list)
    days: list[SessionTimes] = field(default_factory=lambda: [a_session(day) for day in (-4, -1, 0, 1, 2, 3)])
    taken: list[CorporateAction] = field(default_factory=list)
    timeframe: Timeframe | None = Timeframe.MIN1

    def symbols(self) -> Sequence[str]:
        return sorted({bar.symbol for bar in (*self.base, *self.daily)})

    def base_timeframe(self) -> Timeframe | None:
        return self.timeframe

    def bars(self, symbol: str, timeframe: Timeframe, first: datetime, last: datetime) -> Sequence[MarketBar]:
        rows = (
            self._days_of(symbol) if timeframe is Timeframe.DAY1 else [one for one in self.base if one.symbol == symbol]
        )
        chosen = rows if timeframe in {Timeframe.DAY1, self.timeframe} else []
        return sorted((bar for bar in chosen if first <= bar.start_at <= last), key=lambda bar: bar.start_at)

    def actions(self, first: date, last: date) -> Sequence[CorporateAction]:
        return sorted((a for a in self.taken if first <= a.ex_date <= last), key=lambda a: (a.ex_date, a.symbol))

    def sessions(self, first: date, last: date) -> Sequence[SessionTimes]:
        return [times for times in self.days if first <= times.session <= last]

    def _days_of(self, symbol: str) -> list[MarketBar]:
        found = {bar.start_at.date(): bar for bar in self.daily if bar.symbol == symbol}
        for times in self.days:
            rows = [b for b in self.base if b.symbol == symbol and times.opens_at <= b.start_at < times.closes_at]
            if rows and times.session not in found:
                found[times.session] = _day(times, rows)
        return list(found.values())


def _day(times: SessionTimes, rows: Sequence[MarketBar]) -> MarketBar:
    return MarketBar(
        symbol=rows[0].symbol, start_at=times.opens_at, end_at=times.closes_at, open=rows[0].open,
        high=max(bar.high for bar in rows), low=min(bar.low for bar in rows), close=rows[-1].close,
        volume=sum((bar.volume for bar in rows), Decimal(0)),
    )  # fmt: skip


def a_day_bar(days: int, close: str, *, symbol: str = "AAA", volume: int = 1_000_000) -> MarketBar:
    """The daily bar of the session so many calendar days after SESSION, at one price."""
    times, price = a_session(days), Decimal(close)
    return MarketBar(
        symbol=symbol, start_at=times.opens_at, end_at=times.closes_at, open=price, high=price, low=price, close=price,
        volume=Decimal(volume),
    )  # fmt: skip
