"""A venue's TWS door served from a thread, with its control door beside it, and the real client to knock with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.venue.door import LOOPBACK, Door, listen, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline.venue.tape import Tape
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
        return RemoteMarket(self.control_url)


@contextmanager
def a_tws_door(
    venue: SimulatedVenue, tape: Tape | None = None, faults: Faults | None = None, rules: TwsDoorRules = ROOMY
) -> Iterator[TwsDoors]:
    """Both doors on free ports; the venue's time begins at OPEN unless it has seen later things."""
    played = faults or Faults()
    hub = Hub(venue, VenueTime(max(OPEN, venue.seen_until())), tape)
    door = TwsDoor(hub, rules, played)
    with listen() as listening, listen() as control:
        server = server_of(Door(hub, played))
        ended = threading.Thread(target=lambda: asyncio.run(_serve_both()), daemon=True)

        async def _serve_both() -> None:
            serving = asyncio.create_task(door.serve(listening))
            await server.serve(sockets=[control])
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

        ended.start()
        try:
            yield TwsDoors(LOOPBACK, listening.getsockname()[1], url_of(control), door)
        finally:
            server.should_exit = True
            ended.join(10)
