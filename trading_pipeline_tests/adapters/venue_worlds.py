"""Venues for the broker contract: in this process, or behind a door on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.ports import Broker, SimulatedMarket
from trading_pipeline.venue.door import Door, listen, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults
from trading_pipeline.venue.hub import Hub
from trading_pipeline_tests.venue.builders import SESSION, flat

DAY = timedelta(days=1)


class StandingClock:
    """Time stands until the market moves it."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant

    def sleep_until(self, instant: datetime) -> None:
        self.instant = max(self.instant, instant)


class TradedWorld:
    """A broker and its market, which trades one minute per call."""

    def __init__(self, clock: StandingClock, broker: Broker, market: SimulatedMarket) -> None:
        self.clock, self.broker, self.market = clock, broker, market
        self.minute = 0

    def trade(self, price: int) -> None:
        bar = flat(self.minute, price)
        self.minute += 1
        self.clock.sleep_until(bar.end_at)
        self.market.on_bars([bar], self.clock.now())

    def close_session(self) -> None:
        self.clock.sleep_until(SESSION.closes_at)
        self.market.on_session_close(SESSION)

    def pay_dividend(self, usd_per_share: str) -> None:
        times = next_session()
        self.clock.sleep_until(times.opens_at)
        self.market.on_session_open(times, {}, {"AAA": Decimal(usd_per_share)})


def next_session(days: int = 1) -> SessionTimes:
    """The session so many days after SESSION."""
    return SessionTimes(SESSION.session + days * DAY, SESSION.opens_at + days * DAY, SESSION.closes_at + days * DAY)


@contextmanager
def a_door(venue: SimulatedVenue, faults: Faults | None = None) -> Iterator[str]:
    """The URL of a venue served from a thread."""
    with listen() as listening:
        server = server_of(Door(Hub(venue), faults))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield url_of(listening)
        finally:
            server.should_exit = True
            thread.join(10)
