"""Alpaca's data door over a tape, served from a thread, and our settings pointed at it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.types import ASGIApp

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.venue.alpaca.context import DoorContext
from trading_pipeline.venue.alpaca.data import data_routes
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.alpaca.stream_data import data_streams
from trading_pipeline.venue.door import ByPort, Door, abortable, listen, port_of, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.tape import Tape
from trading_pipeline_tests.venue.alpaca.doors import GENEROUS, new_york
from trading_pipeline_tests.venue.builders import at

SIP = GENEROUS.model_copy(update={"recent_sip": True})


@dataclass(frozen=True, slots=True)
class DataDoor:
    """Where it is. `context` belongs to the server's thread: its keys may be changed."""

    url: str
    control_url: str
    context: DoorContext

    def rules(self, **changes: object) -> AlpacaRules:
        """Settings of a client of this door."""
        told: dict[str, object] = {
            "key_id": SecretStr(self.context.rules.key_id), "secret_key": SecretStr(self.context.rules.secret_key),
            "data_url": self.url, "data_stream_url": f"{self.url.replace('http', 'ws', 1)}/v2",
            "feed": "sip" if self.context.rules.recent_sip else "iex", "data_requests_per_minute": 1_000_000,
            "timeout_seconds": 2.0,
        }  # fmt: skip
        return AlpacaRules.model_validate(told | changes)

    def market(self) -> RemoteMarket:
        """What moves prices and time."""
        return RemoteMarket(self.control_url)


@contextmanager
def a_data_door(
    tape: Tape,
    *,
    now: datetime | None = None,
    running: Callable[[], datetime] | None = None,
    rules: AlpacaDoorRules = SIP,
    faults: Faults | None = None,
) -> Iterator[DataDoor]:
    """Both doors on free ports; its time stands at `now` until the market moves it, or runs."""
    played, venue = faults or Faults(), SimulatedVenue(None, VenueRules())
    hub = Hub(venue, VenueTime(now or at(0), running), tape)
    context = DoorContext(hub, rules, new_york(), played)
    app = abortable(Starlette(routes=[*data_routes(context), *data_streams(context)]))
    with listen() as data, listen() as control:
        server = server_of(ByPort({port_of(data): _App(app), port_of(control): Door(hub, played)}))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [data, control]}, daemon=True)
        thread.start()
        try:
            yield DataDoor(url_of(data), url_of(control), context)
        finally:
            server.should_exit = True
            thread.join(10)


class _App:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app
