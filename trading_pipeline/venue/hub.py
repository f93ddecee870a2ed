"""What all doors of a venue process share: one engine, one time, and who wants to hear what happened.

Doors run on one event loop and call the engine one at a time. Whatever call changed it, every listener is told the new
execution reports at once, in the order the engine made them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from trading_pipeline.domain.market import MarketBar, require_aware
from trading_pipeline.domain.orders import ExecutionReport
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.tape import Tape
from trading_pipeline.venue.watch import CoverWatch

T = TypeVar("T")
OnReports = Callable[[Sequence[ExecutionReport]], None]
OnBars = Callable[[Sequence[MarketBar], datetime], None]


class VenueTime:
    """The venue's own time: what its market side last said, or a running clock's where one is given."""

    def __init__(self, start: datetime, running: Callable[[], datetime] | None = None) -> None:
        self._now, self._running = require_aware(start), running

    def now(self) -> datetime:
        """Current instant (aware UTC); never goes back."""
        if self._running is not None:
            self.advance(self._running())
        return self._now

    def advance(self, instant: datetime) -> None:
        """Move on to `instant`; an earlier one changes nothing."""
        self._now = max(self._now, require_aware(instant))


class Hub:
    """The engine behind every door of one process."""

    def __init__(self, venue: SimulatedVenue, time: VenueTime | None = None, tape: Tape | None = None) -> None:
        self.venue, self.time, self.tape = venue, time or VenueTime(venue.seen_until()), tape
        self._on_reports: list[OnReports] = []
        self._on_bars: list[OnBars] = []
        self._told = len(venue.reports)
        self.cover = CoverWatch()
        self.cover.look(venue, self.time.now())

    def call(self, work: Callable[[SimulatedVenue, datetime], T]) -> T:
        """Do something at the engine, by the venue's own time, and tell listeners what came of it."""
        try:
            return work(self.venue, self.time.now())
        finally:
            self._tell()

    def on_bars(self, bars: Sequence[MarketBar], now: datetime) -> None:
        """The market moved: time, fills, then the bars themselves for whoever streams them."""
        self.time.advance(now)
        self.call(lambda venue, _: venue.on_bars(bars, now))
        for listener in tuple(self._on_bars):
            listener(bars, now)

    def hear_reports(self, listener: OnReports) -> Callable[[], None]:
        """Tell `listener` of every new report from now on; returns what ends it."""
        self._on_reports.append(listener)
        return lambda: self._on_reports.remove(listener)

    def hear_bars(self, listener: OnBars) -> Callable[[], None]:
        """Tell `listener` of every delivery of bars from now on; returns what ends it."""
        self._on_bars.append(listener)
        return lambda: self._on_bars.remove(listener)

    def _tell(self) -> None:
        reports = self.venue.reports
        fresh, self._told = reports[self._told :], len(reports)
        if fresh:
            orders = (self.venue.order(report.client_order_id) for report in fresh)
            self.cover.look(self.venue, self.time.now(), {order.symbol for order in orders if order is not None})
            for listener in tuple(self._on_reports):
                listener(fresh)
