"""Alpaca's broker over a venue that speaks Alpaca's protocol on loopback, through the vendor's own client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker, AlpacaKeys
from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.orders import ExecutionReport
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults, FaultScript
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.venue_worlds import StandingClock, TradedWorld
from trading_pipeline_tests.venue.alpaca.doors import ALPACA, GENEROUS, AlpacaDoors, an_alpaca_door
from trading_pipeline_tests.venue.builders import at

ACCOUNT = "demo"


@dataclass
class AlpacaWorld(TradedWorld):
    """A broker, the market behind it, and the door between them."""

    doors: AlpacaDoors
    venue: SimulatedVenue
    faults: Faults
    ids: VenueIds
    rules: AlpacaRules
    clock: StandingClock
    market: RemoteMarket
    ids_path: Path | None = None
    broker: AlpacaBroker = field(init=False)
    minute: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self, ids: VenueIds | None = None) -> AlpacaBroker:
        """The broker anew: only what is in the file of ids is left. ids: another file, as when it was lost."""
        self.ids = ids or self.ids
        self.broker = AlpacaBroker(self.rules, self.clock, self.ids, account=ACCOUNT)
        return self.broker

    def play(self, *rules: dict[str, object]) -> None:
        """Begin another fault script."""
        self.faults.load(FaultScript.model_validate({"rules": rules}))

    def reports(self) -> list[ExecutionReport]:
        return list(self.broker.execution_reports(at(-1000)))


def rules_for(doors: AlpacaDoors, **changes: object) -> AlpacaRules:
    """Settings of a client of that door."""
    key_id, secret = doors.keys
    found = {
        "key_id": SecretStr(key_id), "secret_key": SecretStr(secret), "trading_url": doors.url,
        "trading_stream_url": doors.stream_url, "requests_per_minute": 1_000_000, "timeout_seconds": 5.0,
    }  # fmt: skip
    return AlpacaRules.model_validate(found | changes)


@contextmanager
def an_alpaca_world(
    path: Path | None = None,
    *,
    venue_rules: VenueRules = ALPACA,
    door_rules: AlpacaDoorRules = GENEROUS,
    start: datetime | None = None,
    **changes: object,
) -> Iterator[AlpacaWorld]:
    """A fresh account, at the open of the tests' session unless said otherwise. changes: of the broker's settings."""
    venue, faults = SimulatedVenue(None, venue_rules), Faults()
    with an_alpaca_door(venue, start=start, faults=faults, rules=door_rules) as doors:
        rules = rules_for(doors, **changes)
        clock, market = StandingClock(start or at(0)), doors.market()
        world = AlpacaWorld(doors, venue, faults, VenueIds(path), rules, clock, market, path)
        try:
            yield world
        finally:
            world.broker.close()
            market.close()


def keys_of(world: AlpacaWorld) -> AlpacaKeys:
    return AlpacaKeys.of(world.rules)


def requests_made(world: AlpacaWorld) -> int:
    """By the venue's own count."""
    return world.doors.door.context.trading_limit._used
