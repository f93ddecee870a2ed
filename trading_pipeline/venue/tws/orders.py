"""Orders as the wire knows them: ids, owner and wording; everything else of them is the engine's.

Each is a fact in the engine's own file, saved in the change that puts the order on the book, so that a kill of the
venue loses none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from trading_pipeline.domain.orders import OrdStatus
from trading_pipeline.venue.book import Book
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.tickets import Ticket
from trading_pipeline.venue.tws.contracts import Stock
from trading_pipeline.venue.tws.placing import Terms

FIRST_PERM_ID = 1_800_000_001
ORDERS, FLOORS = "tws:order:", "tws:next:"


@dataclass(frozen=True, slots=True, kw_only=True)
class WireOrder:
    """One order of one client. engine_id: its id at the engine; empty while it has not been transmitted.

    order_id is the client's own and may come again; perm_id never does. is_withdrawn: cancelled before transmission.
    """

    perm_id: int
    client_id: int
    order_id: int
    symbol: str
    exchange: str
    terms: Terms
    engine_id: str = ""
    is_withdrawn: bool = False

    @property
    def stock(self) -> Stock:
        return Stock(self.symbol)

    @property
    def fact(self) -> dict[str, Any]:
        """As it is remembered, by name."""
        return {f"{ORDERS}{self.perm_id}": _WIRE_ORDER.dump_python(self, mode="json")}


_WIRE_ORDER = TypeAdapter(WireOrder)


class WireOrders:
    """All of a door's orders, with what the engine's file remembers of them."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self._venue, self._book = venue, venue.book()  # to look at: it shows the engine as it stands
        self.reload()

    def reload(self) -> None:
        """Know what the engine's file knows, and nothing else."""
        self._orders: dict[int, WireOrder] = {}
        self._by_id: dict[tuple[int, int], int] = {}
        self._by_engine_id: dict[str, int] = {}
        self._children: dict[tuple[int, int], list[int]] = {}
        self._highest: dict[int, int] = {}
        self._newest = FIRST_PERM_ID - 1
        found = [fact for name, fact in self._book.facts.items() if name.startswith(ORDERS)]
        for order in sorted(map(_WIRE_ORDER.validate_python, found), key=lambda order: order.perm_id):
            self.put(order)

    def __iter__(self) -> Iterator[WireOrder]:
        return iter(self._orders.values())

    def put(self, order: WireOrder) -> WireOrder:
        """Take an order over as it now is; the newest under a client's id is the one it means."""
        if order.perm_id not in self._orders and order.terms.parent_id:
            self._children.setdefault((order.client_id, order.terms.parent_id), []).append(order.perm_id)
        self._orders[order.perm_id] = order
        self._newest = max(self._newest, order.perm_id)
        self._highest[order.client_id] = max(self._highest.get(order.client_id, 0), order.order_id)
        if order.order_id:
            self._by_id[order.client_id, order.order_id] = order.perm_id
        if order.engine_id:
            self._by_engine_id[order.engine_id] = order.perm_id
        return order

    def own(self, client_id: int, order_id: int) -> WireOrder | None:
        """A client's order by its own id."""
        perm_id = self._by_id.get((client_id, order_id))
        return None if perm_id is None else self._orders[perm_id]

    def at_engine(self, engine_id: str) -> WireOrder | None:
        """The order that is under this id at the engine."""
        perm_id = self._by_engine_id.get(engine_id)
        return None if perm_id is None else self._orders[perm_id]

    def parent_of(self, order: WireOrder) -> WireOrder | None:
        """The entry of a child."""
        return self.own(order.client_id, order.terms.parent_id) if order.terms.parent_id else None

    def children_of(self, parent: WireOrder) -> Sequence[WireOrder]:
        """Orders that name it as their parent, as they came."""
        named = self._children.get((parent.client_id, parent.order_id), [])
        return [self._orders[perm_id] for perm_id in named if perm_id > parent.perm_id]

    def ticket(self, order: WireOrder) -> Ticket | None:
        """The engine's side of it; None while there is none."""
        return self._book.tickets.get(order.engine_id)

    @property
    def book(self) -> Book:
        """The engine's book, to look at."""
        return self._book

    def is_staged(self, order: WireOrder) -> bool:
        """True for an order that waits to be transmitted."""
        return not order.engine_id and not order.is_withdrawn

    def is_open(self, order: WireOrder) -> bool:
        """True while it may still be executed, or transmitted."""
        ticket = self.ticket(order)
        return self.is_staged(order) if ticket is None else ticket.is_open

    def next_perm_id(self) -> int:
        """One no order has had."""
        return self._newest + 1

    def next_order_id(self, client_id: int) -> int:
        """The next valid id of a client: above all it used, unless the ids were rolled back since."""
        floor = self._book.facts.get(f"{FLOORS}{client_id}")
        if floor is None:
            return self._highest.get(client_id, 0) + 1
        since = [o.order_id for o in self if o.client_id == client_id and o.perm_id >= floor["perm_id"]]
        return int(max([floor["order_id"], *(order_id + 1 for order_id in since)]))

    def roll_back(self, client_id: int, count: int) -> dict[str, Any]:
        """What to remember so that a client's next id is `count` lower: ids of the orders it has come again."""
        floor = max(self.next_order_id(client_id) - count, 1)
        return {f"{FLOORS}{client_id}": {"order_id": floor, "perm_id": self.next_perm_id()}}

    def named(self, orders: Sequence[WireOrder]) -> list[WireOrder]:
        """Orders with ids for the engine. orderRef is nobody's promise: the same again is another order."""
        taken: set[str] = set()
        found = []
        for order in orders:
            wanted = order.terms.order_ref or f"ib-{order.perm_id}"
            is_taken = wanted in self._book.tickets or wanted in taken
            found.append(replace(order, engine_id=f"{wanted}~{order.perm_id}" if is_taken else wanted))
            taken.add(found[-1].engine_id)
        return found

    def adopt(self, engine_id: str) -> WireOrder:
        """An order that did not come by this door: one somebody entered by hand, of client 0, without an order id."""
        ticket = self._book.tickets[engine_id]
        order = WireOrder(
            perm_id=self.next_perm_id(), client_id=0, order_id=0, symbol=ticket.symbol, exchange="SMART",
            terms=_terms_of(ticket), engine_id=ticket.client_order_id,
        )  # fmt: skip
        self._venue.note(order.fact)
        return self.put(order)


def status_of(order: WireOrder, ticket: Ticket | None, *, waits_for_open: bool, entry_cum: bool) -> str:
    """TWS's word for where an order stands. entry_cum: a child's parent has bought something."""
    if ticket is None:
        return "ApiCancelled" if order.is_withdrawn else "PreSubmitted" if not order.engine_id else "Inactive"
    if ticket.status in _ENDED:
        return _ENDED[ticket.status]
    held = (ticket.is_stop and not ticket.triggered) or (ticket.entry_id is not None and not entry_cum)
    return "PreSubmitted" if held or waits_for_open else "Submitted"


def why_held(ticket: Ticket | None, *, entry_cum: bool) -> str:
    """What a working order waits for: its parent's fill, its trigger."""
    if ticket is None or not ticket.is_open:
        return ""
    waits = ["child"] if ticket.entry_id is not None and not entry_cum else []
    return ",".join([*waits, *(["trigger"] if ticket.is_stop and not ticket.triggered else [])])


_ENDED = {
    OrdStatus.FILLED: "Filled",
    OrdStatus.CANCELED: "Cancelled",
    OrdStatus.EXPIRED: "Cancelled",
    OrdStatus.REJECTED: "Inactive",
}
_NAMES = {"MARKET": "MKT", "LIMIT": "LMT", "STOP": "STP", "STOP_LIMIT": "STP LMT", "TRAILING_STOP": "TRAIL"}


def _terms_of(ticket: Ticket) -> Terms:
    request, prices = ticket.request, ticket.terms[-1]
    trails = ticket.trail_amount is not None
    return Terms(
        action=request.side.value, quantity=ticket.quantity, order_type=_NAMES[request.order_type.value],
        limit_price=prices.limit_price, aux_price=ticket.trail_amount if trails else prices.stop_price,
        tif=request.time_in_force.value, oca_group="", oca_type=3, account="", order_ref="",
        transmit=True, parent_id=0, outside_rth=False, trail_stop_price=prices.stop_price if trails else None,
        trailing_percent=None,
    )  # fmt: skip
