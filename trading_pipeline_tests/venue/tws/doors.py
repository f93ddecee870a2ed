"""A venue's TWS door served from a thread, with its control door beside it, and the real client to knock with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import requests

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.venue.door import LOOPBACK, Door, listen, port_of, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline.venue.tape import Tape
from trading_pipeline.venue.tws.control import Control, serve_beside
from trading_pipeline.venue.tws.door import TwsDoor
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline_tests.venue.builders import OPEN

ROOMY = TwsDoorRules(messages_per_second=1_000)


@dataclass(frozen=True, slots=True)
class TwsDoors:
    """Where the TWS door and the control door are; `market` moves the venue by the latter."""

    host: str
    port: int
    control_url: str
    door: TwsDoor

    @property
    def market(self) -> RemoteMarket:
        """What moves prices and time."""
        return RemoteMarket(self.control_url)

    def act(self, name: str, **details: object) -> None:
        """Do something to TWS as its operator; see control.Act."""
        answer = requests.post(f"{self.control_url}/tws", json={"act": name, **details}, timeout=5)
        assert answer.ok, answer.text


@contextmanager
def a_tws_door(
    venue: SimulatedVenue,
    tape: Tape | None = None,
    faults: Faults | None = None,
    rules: TwsDoorRules = ROOMY,
    start: datetime = OPEN,
) -> Iterator[TwsDoors]:
    """Both doors on free ports; the venue's time begins at `start` unless it has seen later things."""
    played = faults or Faults()
    hub = Hub(venue, VenueTime(max(start, venue.seen_until())), tape)
    door = TwsDoor(hub, rules, played)
    with listen() as listening, listen() as control:
        server = server_of(Control(hub, Door(hub, played), door))
        thread = threading.Thread(
            target=lambda: asyncio.run(serve_beside(door, listening, server, control)), daemon=True
        )
        thread.start()
        try:
            yield TwsDoors(LOOPBACK, port_of(listening), url_of(control), door)
        finally:
            server.should_exit = True
            thread.join(10)
