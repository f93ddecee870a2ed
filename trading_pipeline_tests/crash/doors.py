"""Three ways to the venue of a crash: its own door, Alpaca's and TWS's; each with the vendor's own client library."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path

from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker, AlpacaKeys, AlpacaOrderNews
from trading_pipeline.adapters.brokers.ib import IbBroker, ToldReports
from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.broker_rules import AlpacaRules, IbRules
from trading_pipeline.ports import Clock
from trading_pipeline.venue.door import ByPort, Door, listen, port_of, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults, FaultScript
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.wiring.venues import Line
from trading_pipeline_tests.services.scripted import TIMES

LOTS = 1_000_000
BRACKET_MESSAGES = 3
PATIENCE_SECONDS = 2.0
"""How long a client waits for an answer where answers are delayed on purpose."""
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

    @property
    def ports(self) -> tuple[int, int]:
        """Of both."""
        return int(self.control.rpartition(":")[2]), int(self.broker.rpartition(":")[2])


Listening = tuple[socket.socket, socket.socket]
"""Of the venue's own door and of the loop's."""


def house_rules(kind: DoorKind, rules: VenueRules) -> VenueRules:
    """The day's rules as the vendor has them."""
    alpaca = {"legs_wait_for_whole_entry": True, "commission_schedule": "zero"}
    return rules.model_copy(update=alpaca) if kind is DoorKind.ALPACA else rules


def scripted(kind: DoorKind, script: FaultScript) -> FaultScript:
    """The day's faults under the door's names of what is asked.

    TWS hears of a bracket by three messages, and carries none out before the last: that is the one to be lost.
    """
    if kind is DoorKind.SIMULATED:
        return script
    nth = {"submit": BRACKET_MESSAGES} if kind is DoorKind.IB else {}
    rules = (rule.model_copy(update={"op": f"orders.{rule.op}", "nth": nth.get(rule.op, 1)}) for rule in script.rules)
    return script.model_copy(update={"rules": tuple(rules)})


def serve_door(
    kind: DoorKind, path: Path, rules: VenueRules, script: FaultScript, told: Connection, known: Addresses | None = None
) -> None:
    """The venue process: says where it listens (where it was known before), then serves until it is killed."""
    venue = SimulatedVenue(path, house_rules(kind, rules))
    hub, faults = Hub(venue, VenueTime(max(TIMES.opens_at, venue.seen_until()))), Faults(script)
    native, ports = Door(hub, faults), known.ports if known else (0, 0)
    if kind is DoorKind.SIMULATED:
        control = listen(ports[0])
        told.send(Addresses(url_of(control), url_of(control)))
        server_of(native).run([control])
        return
    listening = listen(ports[0]), listen(ports[1])
    (_serve_alpaca if kind is DoorKind.ALPACA else _serve_tws)(hub, native, faults, told, listening)


def _serve_alpaca(hub: Hub, native: Door, faults: Faults, told: Connection, listening: Listening) -> None:
    from trading_pipeline.adapters.calendar import ExchangeCalendar
    from trading_pipeline.venue.alpaca.door import AlpacaDoor
    from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules

    rules = AlpacaDoorRules(key_id=KEY, secret_key=SECRET, requests_per_minute=LOTS, data_requests_per_minute=LOTS)
    control, trading = listening
    door = AlpacaDoor(hub, rules, ExchangeCalendar(), faults)
    told.send(Addresses(url_of(control), url_of(trading)))
    server_of(ByPort({port_of(trading): door, port_of(control): native})).run([trading, control])


def _serve_tws(hub: Hub, native: Door, faults: Faults, told: Connection, listening: Listening) -> None:
    from trading_pipeline.venue.tws.control import Control, serve_beside
    from trading_pipeline.venue.tws.door import TwsDoor
    from trading_pipeline.venue.tws.rules import TwsDoorRules

    control, trading = listening
    door = TwsDoor(hub, TwsDoorRules(account="DU1", messages_per_second=LOTS), faults)
    told.send(Addresses(url_of(control), f"127.0.0.1:{port_of(trading)}"))
    asyncio.run(serve_beside(door, trading, server_of(Control(hub, native, door)), control))


@contextmanager
def line_at(
    kind: DoorKind, addresses: Addresses, folder: Path, clock: Clock, *, as_wired: bool = False
) -> Iterator[Line]:
    """The loop's broker; what it must remember between processes lies in the folder.

    as_wired: with the news and the knowledge of reconnections that a real session has, and little patience.
    """
    if kind is DoorKind.SIMULATED:
        yield Line(RemoteBroker(addresses.broker, clock))
        return
    patience = {"timeout_seconds": PATIENCE_SECONDS} if as_wired else {}
    with closing(VenueIds(folder / "ids.sqlite3")) as ids, ExitStack() as ends:
        if kind is DoorKind.IB:
            broker = ends.enter_context(_ib(addresses, folder, clock, ids, patience))
            yield Line(broker, (lambda: broker.health().connections) if as_wired else once)
        else:
            rules = _alpaca_rules(addresses, patience)
            alpaca = ends.enter_context(closing(AlpacaBroker(rules, clock, ids, account="A")))
            yield Line(alpaca, ends.enter_context(_alpaca_news(rules)) if as_wired else once)


def once() -> int:
    """Of a connection that stands from before the day to its end."""
    return 1


def _alpaca_rules(addresses: Addresses, patience: Mapping[str, float]) -> AlpacaRules:
    stream = f"{addresses.broker.replace('http://', 'ws://')}/stream"
    return AlpacaRules.model_validate(
        {"key_id": KEY, "secret_key": SECRET, "trading_url": addresses.broker, "trading_stream_url": stream,
         "requests_per_minute": LOTS, **patience}
    )  # fmt: skip


@contextmanager
def _alpaca_news(rules: AlpacaRules) -> Iterator[Callable[[], int]]:
    """How often the stream was connected so far."""
    news = AlpacaOrderNews(rules, AlpacaKeys(lambda: rules), on_news=lambda: None, on_connected=lambda: None)
    news.start()
    try:
        yield lambda: news.health().connections
    finally:
        news.stop()


@contextmanager
def _ib(
    addresses: Addresses, folder: Path, clock: Clock, ids: VenueIds, patience: Mapping[str, float]
) -> Iterator[IbBroker]:
    host, _, port = addresses.broker.rpartition(":")
    rules = IbRules.model_validate({"host": host, "port": int(port), "messages_per_second": 100_000, **patience})
    with (
        closing(ToldReports(folder / "told.sqlite3")) as told,
        closing(IbBroker(rules, clock, ids, told, "DU1")) as broker,
    ):
        broker.check_account("DU1", is_live=False)
        broker.restore(())  # the folder was new when the first of these processes began
        yield broker
