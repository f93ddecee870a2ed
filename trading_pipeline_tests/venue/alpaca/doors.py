"""A venue behind Alpaca's protocol, served from a thread, with the native control door beside it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
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
from trading_pipeline_tests.venue.builders import at, flat

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
    trading, control = listen(), listen()
    server = server_of(ByPort({port_of(trading): door, port_of(control): Door(hub, played)}))
    threading.Thread(target=server.run, kwargs={"sockets": [trading, control]}, daemon=True).start()
    try:
        yield AlpacaDoors(url_of(trading), url_of(control), door)
    finally:
        server.should_exit = True  # it closes its sockets within a tenth of a second; nobody need wait for it


class Desk:
    """A trader at the door with the vendor's client, and the market it cannot touch."""

    def __init__(self, doors: AlpacaDoors) -> None:
        self.doors, self.client, self.market = doors, doors.client(), doors.market()
        self.raw: Any = doors.client(raw_data=True)
        self.minute = 0

    def trade(self, price: int | str, *, volume: int = 1_000_000) -> None:
        """AAA trades for a minute at one price."""
        bar = flat(self.minute, price, volume=volume)
        self.minute += 1
        self.market.on_bars([bar], bar.end_at)

    def post(self, **fields: object) -> dict[str, Any]:
        """An order as JSON: a limit buy of 100 AAA for the day unless said otherwise."""
        body = {"symbol": "AAA", "qty": "100", "side": "buy", "type": "limit", "time_in_force": "day"} | fields
        if body["type"] == "limit" and body.get("order_class") != "oco":
            body = {"limit_price": "100"} | body
        answer: dict[str, Any] = self.raw.post("/orders", {k: v for k, v in body.items() if v is not None})
        return answer

    def bracket(self, name: str = "b", **fields: object) -> dict[str, Any]:
        """Entry 100, stop 95, target 110."""
        legs = {"take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "95"}}
        return self.post(**({"client_order_id": name, "order_class": "bracket"} | legs | fields))

    def order(self, order_id: object, *, nested: bool = False) -> dict[str, Any]:
        answer: dict[str, Any] = self.raw.get(f"/orders/{order_id}", {"nested": nested})
        return answer

    def listed(self, **query: object) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self.raw.get("/orders", query)
        return answer

    def statuses(self, *order_ids: object) -> list[str]:
        return [self.order(order_id)["status"] for order_id in order_ids]


@contextmanager
def a_desk(house: VenueRules = ALPACA, **options: Any) -> Iterator[Desk]:
    """A desk at a fresh account's door; options are those of an_alpaca_door."""
    with an_alpaca_door(SimulatedVenue(None, house), **options) as doors:
        yield Desk(doors)


@contextmanager
def refused(status: int, code: int | None = None, message: str = "") -> Iterator[list[dict[str, Any]]]:
    """The door answers an error of that status, code and text (regular expression); its body is put in the list."""
    body: list[dict[str, Any]] = []
    with pytest.raises(APIError) as caught:
        yield body
    body.append(json.loads(str(caught.value)))
    assert (caught.value.status_code, body[0].get("code")) == (status, code)
    assert re.search(message, body[0]["message"]), body[0]


def leg_ids(bracket: dict[str, Any]) -> tuple[str, str]:
    """Target and stop."""
    target, stop = bracket["legs"]
    return target["id"], stop["id"]


def names(orders: list[dict[str, Any]]) -> list[str]:
    """Client ids, in order."""
    return [order["client_order_id"] for order in orders]
