"""A venue behind Alpaca's protocol, served from a thread, with the native control door beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache

from alpaca.trading.client import TradingClient

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.ports import TradingCalendar
from trading_pipeline.venue.alpaca.door import AlpacaDoor
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.door import ByPort, Door, listen, port_of, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.tape import Tape
from trading_pipeline_tests.venue.builders import at

GENEROUS = AlpacaDoorRules(requests_per_minute=1_000_000, data_requests_per_minute=1_000_000)
ALPACA = VenueRules(commission_usd_per_order=Decimal(0), slippage_fraction=Decimal(0), legs_wait_for_whole_entry=True)
"""A venue that costs nothing and treats brackets as Alpaca does."""


@dataclass(frozen=True, slots=True)
class AlpacaDoors:
    """Where it is, and its keys. `door` belongs to the server's thread: look at it, change its keys, no more."""

    url: str
    control_url: str
    door: AlpacaDoor

    @property
    def stream_url(self) -> str:
        return f"{self.url.replace('http', 'ws', 1)}/stream"

    @property
    def keys(self) -> tuple[str, str]:
        return self.door.context.rules.key_id, self.door.context.rules.secret_key

    def client(self, *, raw_data: bool = False) -> TradingClient:
        """The vendor's own client."""
        return TradingClient(*self.keys, url_override=self.url, raw_data=raw_data)

    def market(self) -> RemoteMarket:
        """What moves prices and time."""
        return RemoteMarket(self.control_url)


@cache
def new_york() -> ExchangeCalendar:
    """One calendar for all tests: it takes a second to make."""
    return ExchangeCalendar()


@contextmanager
def an_alpaca_door(
    venue: SimulatedVenue,
    *,
    start: datetime | None = None,
    rules: AlpacaDoorRules = GENEROUS,
    faults: Faults | None = None,
    tape: Tape | None = None,
    calendar: TradingCalendar | None = None,
) -> Iterator[AlpacaDoors]:
    """Both doors on free ports. The venue's time stands at `start` (default: the open of the tests' session)."""
    played = faults or Faults()
    hub = Hub(venue, VenueTime(max(venue.seen_until(), start or at(0))), tape)
    door = AlpacaDoor(hub, rules, calendar or new_york(), played)
    with listen() as trading, listen() as control:
        server = server_of(ByPort({port_of(trading): door, port_of(control): Door(hub, played)}))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [trading, control]}, daemon=True)
        thread.start()
        try:
            yield AlpacaDoors(url_of(trading), url_of(control), door)
        finally:
            server.should_exit = True
            thread.join(10)
