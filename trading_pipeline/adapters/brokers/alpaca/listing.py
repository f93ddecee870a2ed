"""Finding out how orders stand, in few requests: lists page by page, single orders only where lists leave them out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from trading_pipeline.adapters.brokers.alpaca.book import OrderBook
from trading_pipeline.adapters.brokers.alpaca.fills import Fills
from trading_pipeline.adapters.brokers.alpaca.rest import AlpacaRest
from trading_pipeline.adapters.brokers.alpaca.wire import WireOrder, read_order, read_orders
from trading_pipeline.adapters.brokers.venue_ids import Family, VenueIds
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.ports import Clock
from trading_pipeline.venue.checks import orders_of

MOST_ORDERS, MOST_ACTIVITIES = 500, 100
"""Of one page, as Alpaca allows."""
SKEW = timedelta(minutes=5)
"""Farthest our clock and Alpaca's are thought to be apart."""
TICK = timedelta(seconds=1)
"""Farthest apart the orders of a family are submitted."""
ON_ITS_WAY = timedelta(minutes=10)
"""Longest a request can travel: what is not at the venue after that never arrives."""
PATIENCE = timedelta(seconds=5)
"""Between two looks for fills an order has had and Alpaca does not list."""
KEPT = timedelta(days=2)
"""How long a family that has ended is looked up again after a restart: its last reports may not be on record."""


class Unreadable(OutcomeUnknown):
    """An order nobody can read: nothing is known of this one, which says nothing of the others."""


class Listing:
    """Keeps a book and the fills up to date. Lists everything submitted since the oldest order that still works."""

    def __init__(self, rest: AlpacaRest, ids: VenueIds, clock: Clock) -> None:
        self._rest, self._ids, self._clock = rest, ids, clock
        self.book, self.fills = OrderBook(ids), Fills()
        self._absent: set[str] = set()
        self._orders_from: datetime | None = None
        self._orders_to: datetime | None = None
        self._fills_from: datetime | None = None
        self._last_fill: str | None = None
        self._asked: dict[tuple[str, Decimal], datetime] = {}

    # orders

    def look(self, since: datetime | None = None, *, with_open: bool = False) -> None:
        """How every order stands that works or was submitted since; with_open: also what others sent, whenever.

        Raises OutcomeUnknown.
        """
        now, known = self._clock.now(), {order.venue_id for order in self.book.working()}
        told: set[str] = set()
        start = self._start(since)
        if start is not None:
            told |= self._list("list orders", {"status": "all", "nested": "true", "after": _stamp(start)})
            self._covered(start, now)
        if with_open or known - told:
            told |= self._list(
                "list open orders", {"status": "open", "nested": "false", "after": "1970-01-01T00:00:00Z"}
            )
        for venue_id in sorted(known - told):
            self._look_at_one(venue_id)
        for venue_id in self.book.missing_links():
            if venue_id not in self._absent:
                self._look_at_one(venue_id)
        self._finish(now)

    def _look_at_one(self, venue_id: str) -> None:
        """One of many: where nobody can read it, the log says so, and the others are told of."""
        try:
            self.look_at(venue_id)
        except Unreadable:
            self._absent.add(venue_id)

    def look_at(self, venue_id: str) -> WireOrder | None:
        """How one order stands, by its Alpaca id, its legs included; None when Alpaca has none of that id."""
        row = self._rest.found(f"/orders/{venue_id}", f"look up order {venue_id}", {"nested": "true"})
        if row is None:
            self._absent.add(venue_id)
            self.book.drop(venue_id)
            return None
        self.take(row)
        return self.book.get(venue_id)

    def look_for(self, client_order_id: str) -> WireOrder | None:
        """How one order stands, by the client_order_id it was sent under, its legs included; None when unknown."""
        query = {"client_order_id": client_order_id}
        row = self._rest.found("/orders:by_client_order_id", f"look up order {client_order_id}", query)
        if row is None:
            return None
        found = self.take(row)
        family = self._ids.family(client_order_id)
        if family is not None and len(orders_of(family.request)) > 1 and not row.get("legs"):
            return self.look_at(found.venue_id)
        return found

    def take(self, row: dict[str, Any]) -> WireOrder:
        """Take in an order as answered. Raises Unreadable, an OutcomeUnknown, for one nobody can read."""
        orders = list(read_order(row))
        if not orders:
            raise Unreadable("Alpaca's answer tells of an order nobody can read; the log says which")
        self.book.put(orders)
        return orders[0]

    def _start(self, since: datetime | None) -> datetime | None:
        """From when on orders are listed; None when none can be of interest."""
        working = (self.book.name(order.venue_id) or "" for order in self.book.working())
        starts = [self.book.family_start(name) - TICK for name in working if self.book.is_ours(name)]
        starts += [family.registered_at - SKEW for family in self._ids.unfinished() if not self._is_whole(family)]
        if since is not None:
            starts.append(self._uncovered(since))
        return min(starts, default=None)

    def _is_whole(self, family: Family) -> bool:
        """True when every order of the family was told of."""
        return all(self.book.chain(order.client_order_id) for order in orders_of(family.request))

    def _members(self, family: Family) -> list[WireOrder]:
        """What was told of a family's orders."""
        return [one for order in orders_of(family.request) for one in self.book.chain(order.client_order_id)]

    def _uncovered(self, since: datetime) -> datetime:
        if self._orders_from is None or self._orders_to is None or since - SKEW < self._orders_from:
            return _before(since, SKEW)
        return max(since, self._orders_to) - SKEW

    def _covered(self, start: datetime, now: datetime) -> None:
        reaches_back = self._orders_to is None or start <= self._orders_to
        if self._orders_from is None or not reaches_back or start < self._orders_from:
            self._orders_from = start
        self._orders_to = now

    def _list(self, what: str, query: dict[str, str]) -> set[str]:
        """Every order of a list, page by page: the next one begins after the last order of the one before."""
        told: set[str] = set()
        place = {"after": query.pop("after")}
        while True:
            rows = self._rest.rows("/orders", what, {**query, **place, "limit": MOST_ORDERS, "direction": "asc"})
            before = len(told)
            told |= self.book.put(read_orders(rows))
            if len(rows) < MOST_ORDERS:
                return told
            last = rows[-1].get("id")
            if len(told) == before or not isinstance(last, str):
                raise OutcomeUnknown(f"Alpaca was asked to {what}: its pages do not go on. Query again")
            place = {"after_order_id": last}

    def _finish(self, now: datetime) -> None:
        """What has ended long ago, and what never arrived, is not looked for any more."""
        for family in self._ids.unfinished():
            members = self._members(family)
            if self.book.has_ended(family):
                is_over = now - max(order.ended_at for order in members) > KEPT
            else:
                is_over = not members and now - family.registered_at > ON_ITS_WAY
            if is_over:
                self._ids.finish(family.first_id)

    # fills

    def look_at_fills(self, since: datetime) -> None:
        """Every execution since; older ones too where an order tells of more shares than were told. Call `look` first.

        Only what came after the last one told is asked for; one that comes out of turn is missing from its order.
        Raises OutcomeUnknown.
        """
        if self._fills_from is None or since - SKEW < self._fills_from:
            self._fills_from, self._last_fill = _before(since, SKEW), None
        try:
            self._fetch_fills(self._fills_from, self._last_fill)
        except OutcomeUnknown:
            self._last_fill = None  # should Alpaca not know the place any more, the next look begins anew
            raise
        self._look_at_missing_fills()
        for order_id in sorted({fill.order_id for fill in self.fills.all()} - self._absent):
            if self.book.get(order_id) is None:
                self._look_at_one(order_id)

    def _fetch_fills(self, after: datetime, last: str | None) -> None:
        query = {"after": _stamp(after)} | ({"page_token": last} if last else {})
        for row in self._rest.activities("/account/activities/FILL", "list fills", query, MOST_ACTIVITIES):
            self.fills.put([row])
            if after == self._fills_from:
                self._last_fill = row.get("id")

    def _look_at_missing_fills(self) -> None:
        """Asked for at once when an order first tells of shares that were not told, then every PATIENCE."""
        now, short = self._clock.now(), {(order.venue_id, order.filled): order for order in self._short_of_fills()}
        self._asked = {key: at for key, at in self._asked.items() if key in short and now - at < PATIENCE}
        due = [order for key, order in short.items() if key not in self._asked]
        if due:
            self._asked |= {(order.venue_id, order.filled): now for order in due}
            names = (self.book.name(order.venue_id) or order.client_id for order in due)
            self._fetch_fills(min(map(self.book.family_start, names)) - TICK, None)

    def _short_of_fills(self) -> Iterable[WireOrder]:
        """The newest of each chain whose orders together tell of more shares than were told."""
        for name in list(self.book.names()):
            chain = self.book.chain(name)
            if self.fills.shares(order.venue_id for order in chain) < sum(order.filled for order in chain):
                yield chain[-1]


def _before(instant: datetime, by: timedelta) -> datetime:
    """Earlier by so much, where a calendar goes back that far."""
    return instant - by if instant.year > 1 else instant


def _stamp(instant: datetime) -> str:
    """RFC 3339, as Alpaca reads it."""
    return instant.isoformat().replace("+00:00", "Z")
