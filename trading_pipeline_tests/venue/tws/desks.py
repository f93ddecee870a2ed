"""A client at a TWS door, and the market it trades in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline_tests.venue.builders import a_venue, flat
from trading_pipeline_tests.venue.tws.clients import Client, a_client
from trading_pipeline_tests.venue.tws.doors import ROOMY, TwsDoors, a_tws_door


class Desk:
    """A door with one client at it, and a market that has traded at 100 for its first minute."""

    def __init__(self, venue: SimulatedVenue, doors: TwsDoors, client: Client) -> None:
        self.venue, self.doors, self.client, self.minute = venue, doors, client, 0
        self.trade(100)

    def trade(self, *prices: float, volume: int = 1_000_000) -> None:
        """The market trades at each price for a minute, and the client hears of it."""
        for price in prices:
            self.deliver(flat(self.minute, str(price), volume=volume))

    def deliver(self, bar: MarketBar) -> None:
        self.doors.market.on_bars([bar], bar.end_at)
        self.minute += 1
        self.client.settle()


@contextmanager
def a_desk(venue: SimulatedVenue | None = None, rules: TwsDoorRules = ROOMY, client_id: int = 1) -> Iterator[Desk]:
    account = venue or a_venue()
    with a_tws_door(account, rules=rules) as doors, a_client(doors, client_id) as client:
        yield Desk(account, doors, client)
