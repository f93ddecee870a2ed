"""Three ways to the venue of a crash: its own door, Alpaca's and TWS's; each with the vendor's own client library."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path

from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.broker_rules import AlpacaRules, IbRules
from trading_pipeline.ports import Broker, Clock
from trading_pipeline.venue.door import ByPort, Door, listen, port_of, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults, FaultScript
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.services.scripted import TIMES

LOTS = 1_000_000
KEY, SECRET = "PKCRASH", "crash-secret"


class DoorKind(StrEnum):
    """Whose protocol the loop speaks."""

    SIMULATED = "simulated"
    ALPACA = "alpaca"
    IB = "ib"


@dataclass(frozen=True, slots=True)
class Addresses:
    """control: the venue's own door, which moves the market and is asked for the truth; broker: the loop's door."""

    control: str
    broker: str


def house_rules(kind: DoorKind, rules: VenueRules) -> VenueRules:
    """The day's rules as the vendor has them."""
    alpaca = {"legs_wait_for_whole_entry": True, "commission_schedule": "zero"}
    return rules.model_copy(update=alpaca) if kind is DoorKind.ALPACA else rules


def scripted(kind: DoorKind, script: FaultScript) -> FaultScript:
    """The day's faults under the door's names of what is asked."""
    if kind is DoorKind.SIMULATED:
        return script
    rules = (rule.model_copy(update={"op": f"orders.{rule.op}"}) for rule in script.rules)
    return script.model_copy(update={"rules": tuple(rules)})


def serve_door(kind: DoorKind, path: Path, rules: VenueRules, script: FaultScript, told: Connection) -> None:
    """The venue process: says where it listens, then serves until it is killed."""
    venue = SimulatedVenue(path, house_rules(kind, rules))
    hub, faults = Hub(venue, VenueTime(max(TIMES.opens_at, venue.seen_until()))), Faults(scripted(kind, script))
    control, native = listen(), Door(hub, faults)
    if kind is DoorKind.SIMULATED:
        told.send(Addresses(url_of(control), url_of(control)))
        server_of(native).run([control])
    elif kind is DoorKind.ALPACA:
        _serve_alpaca(hub, native, faults, told)
    else:
        _serve_tws(hub, native, faults, told)


def _serve_alpaca(hub: Hub, native: Door, faults: Faults, told: Connection) -> None:
    from trading_pipeline.adapters.calendar import ExchangeCalendar
    from trading_pipeline.venue.alpaca.door import AlpacaDoor
    from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules

    rules = AlpacaDoorRules(key_id=KEY, secret_key=SECRET, requests_per_minute=LOTS, data_requests_per_minute=LOTS)
    control, trading = listen(), listen()
    door = AlpacaDoor(hub, rules, ExchangeCalendar(), faults)
    told.send(Addresses(url_of(control), url_of(trading)))
    server_of(ByPort({port_of(trading): door, port_of(control): native})).run([trading, control])


def _serve_tws(hub: Hub, native: Door, faults: Faults, told: Connection) -> None:
    from trading_pipeline.venue.tws.control import Control, serve_beside
    from trading_pipeline.venue.tws.door import TwsDoor
    from trading_pipeline.venue.tws.rules import TwsDoorRules

    control, trading = listen(), listen()
    door = TwsDoor(hub, TwsDoorRules(account="DU1", messages_per_second=LOTS), faults)
    told.send(Addresses(url_of(control), f"127.0.0.1:{port_of(trading)}"))
    asyncio.run(serve_beside(door, trading, server_of(Control(hub, native, door)), control))


@contextmanager
def broker_at(kind: DoorKind, addresses: Addresses, folder: Path, clock: Clock) -> Iterator[Broker]:
    """The loop's broker; what it must remember between processes lies in the folder."""
    if kind is DoorKind.SIMULATED:
        yield RemoteBroker(addresses.broker, clock)
        return
    with closing(VenueIds(folder / "ids.sqlite3")) as ids:
        made = _alpaca(addresses, clock, ids) if kind is DoorKind.ALPACA else _ib(addresses, folder, clock, ids)
        with made as broker:
            yield broker


@contextmanager
def _alpaca(addresses: Addresses, clock: Clock, ids: VenueIds) -> Iterator[Broker]:
    from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker

    rules = AlpacaRules.model_validate(
        {"key_id": KEY, "secret_key": SECRET, "trading_url": addresses.broker, "requests_per_minute": LOTS}
    )
    with closing(AlpacaBroker(rules, clock, ids, account="A")) as broker:
        yield broker


@contextmanager
def _ib(addresses: Addresses, folder: Path, clock: Clock, ids: VenueIds) -> Iterator[Broker]:
    from trading_pipeline.adapters.brokers.ib import IbBroker, ToldReports

    host, _, port = addresses.broker.rpartition(":")
    rules = IbRules(host=host, port=int(port), messages_per_second=100_000)
    with (
        closing(ToldReports(folder / "told.sqlite3")) as told,
        closing(IbBroker(rules, clock, ids, told, "DU1")) as broker,
    ):
        broker.check_account("DU1", is_live=False)
        yield broker
